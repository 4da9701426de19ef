//! Why an engine's pages showed nothing of use.

use std::path::PathBuf;

use reqwest::{StatusCode, Url};

use super::pages::LONGEST_PAGE;

/// Says why a look at the engine showed nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error("no answer from {url}: {reason}")]
    Unreachable { url: Url, reason: String },
    #[error("expected status 200 from {url}, got {status}")]
    Status { url: Url, status: StatusCode },
    #[error("expected at most {LONGEST_PAGE} bytes from {0}, got more")]
    TooLong(Url),
    #[error("expected status \"ok\" or \"draining\" from /health, got {0:?}")]
    Unwell(String),
    #[error("expected crosspoint_engine_slots and crosspoint_engine_active_streams on /metrics, got neither or one")]
    NoSlots,
    #[error("expected system_health and its state from {0}")]
    NoStatus(Url),
    #[error("Deepgram's system_health is {0}")]
    Sick(String),
    #[error("nobody says how much the engine can do: set engine.slots, or engine.metrics to its metrics page ({0})")]
    NoCapacity(String),
    #[error("engine.slots is missing: Triton does not say how much it can do")]
    NoTritonSlots,
    #[error("no server is known by its pages at {url}: set engine.server; asked as ours: {reason}")]
    Unknown { url: Url, reason: String },
    #[error("expected a list of models from {0}")]
    NoList(Url),
    #[error("expected one of {wanted} among the models that the engine lists, got {listed}")]
    NoModel { wanted: String, listed: String },
    #[error("cannot read engine.key {}: {error}", .file.display())]
    Key { file: PathBuf, error: std::io::Error },
}
