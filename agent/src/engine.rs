//! The engine, as its pages show it. Five times a second the agent asks for `/health` (is it well, which process) and
//! `/metrics` (slots in use): over a connection on the same host that stays open this costs well under a millisecond,
//! works with any engine that has the two pages, and bounds how old a "change" can be without the engine knowing agents.
//! Engines of another API have other pages: see [`openai`].

mod openai;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};
use scheduler::{ModelName, NodeState};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use crate::config::AgentError;
use crate::page::Page;

pub(crate) use openai::OpenAi;

/// Time between two looks at the engine.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// An engine that takes longer for a page counts as failing.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest page that is read, in bytes.
const LONGEST_PAGE: usize = 1 << 20;

/// The engine as last seen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Engine {
    /// What it is up to: `Starting` until it first answered, `Failing` when it no longer does.
    pub(crate) state: NodeState,
    /// Its last figures; all zero until it first answered.
    pub(crate) figures: Figures,
    /// Why it is not serving, for people.
    pub(crate) problem: Option<String>,
}

/// What the engine says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    /// Streams it serves at all.
    pub(crate) slots: u32,
    /// Streams it serves well, where it says so.
    pub(crate) soft_slots: Option<u32>,
    /// Streams it serves now.
    pub(crate) used: u32,
    /// Work that waits inside it.
    pub(crate) queue_depth: u32,
    /// Compute seconds per second of audio.
    pub(crate) realtime_factor: f32,
    /// Audio chunk to result, 95th percentile; zero where it does not say.
    pub(crate) chunk_latency_p95: Duration,
    /// Its process, where it says so.
    pub(crate) pid: Option<u32>,
    /// Models that it serves and what it calls them, where it tells; else those that were configured.
    pub(crate) models: Option<BTreeMap<ModelName, ModelName>>,
}

impl Default for Engine {
    fn default() -> Self {
        let problem = Some("it was not asked yet".to_owned());
        Self { state: NodeState::Starting, figures: Figures::default(), problem }
    }
}

impl Engine {
    /// Returns the engine after one more look at it.
    fn after(&self, look: Result<(NodeState, Figures), ProbeError>) -> Self {
        match look {
            Ok((state, figures)) => Self { state, figures, problem: None },
            Err(error) => {
                let state = match self.state {
                    NodeState::Starting => NodeState::Starting,
                    NodeState::Serving | NodeState::Draining | NodeState::Failing => NodeState::Failing,
                };
                Self { state, figures: self.figures.clone(), problem: Some(error.to_string()) }
            }
        }
    }
}

/// Says why a look at the engine showed nothing.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
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
    #[error("expected a list of models from {0}")]
    NoList(Url),
    #[error("expected one of {wanted} among the models that the engine lists, got {listed}")]
    NoModel { wanted: String, listed: String },
    #[error("cannot read engine.key {}: {error}", .file.display())]
    Key { file: PathBuf, error: std::io::Error },
}

/// The health page, as far as an agent cares. Other engines say nothing, or not in JSON: then 200 is enough.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Health {
    status: Option<String>,
    pid: Option<u32>,
}

impl Health {
    fn state(&self) -> Result<NodeState, ProbeError> {
        match self.status.as_deref() {
            None | Some("ok") => Ok(NodeState::Serving),
            Some("draining") => Ok(NodeState::Draining),
            Some(other) => Err(ProbeError::Unwell(other.chars().take(64).collect())),
        }
    }
}

/// Looks at one engine.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pages: Pages,
    kind: Kind,
}

/// Which pages it has.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Those of our own engine.
    Own {
        /// Is it well, and which process.
        health: Url,
        /// Its slots.
        metrics: Url,
    },
    /// Those of an OpenAI-compatible server.
    OpenAi(OpenAi),
}

/// Reads pages, over one connection that stays open.
#[derive(Clone, Debug)]
struct Pages(Client);

impl Probe {
    /// Makes a probe for an engine of this kind.
    pub(crate) fn new(kind: Kind) -> Result<Self, AgentError> {
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(PATIENCE)
            .pool_max_idle_per_host(1)
            .build()
            .map_err(AgentError::Client)?;
        Ok(Self { pages: Pages(client), kind })
    }

    /// Looks again and again until the watchers are gone.
    pub(crate) async fn keep_looking(mut self, engine: watch::Sender<Engine>) {
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !engine.is_closed() {
            looks.tick().await;
            let look = self.look().await;
            let now = engine.borrow().after(look);
            log_change(&engine.borrow(), &now);
            engine.send_replace(now);
        }
    }

    async fn look(&mut self) -> Result<(NodeState, Figures), ProbeError> {
        match &mut self.kind {
            Kind::Own { health, metrics } => {
                let health: Health = serde_json::from_slice(&self.pages.get(health).await?).unwrap_or_default();
                let state = health.state()?;
                Ok((state, figures(&self.pages.get(metrics).await?, health.pid)?))
            }
            Kind::OpenAi(engine) => engine.look(&self.pages).await,
        }
    }
}

impl Pages {
    async fn get(&self, url: &Url) -> Result<Vec<u8>, ProbeError> {
        self.get_with(url, |request| request).await
    }

    async fn get_with(
        &self,
        url: &Url,
        sign: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Vec<u8>, ProbeError> {
        let unreachable = |error: reqwest::Error| ProbeError::Unreachable {
            url: url.clone(),
            reason: innermost(&error.without_url()),
        };
        let response = sign(self.0.get(url.clone())).send().await.map_err(unreachable)?;
        match response.status() {
            StatusCode::OK => {
                body(response).await.map_err(unreachable)?.ok_or_else(|| ProbeError::TooLong(url.clone()))
            }
            status => Err(ProbeError::Status { url: url.clone(), status }),
        }
    }
}

/// Reads a body to its end; nothing when it is too long.
async fn body(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > LONGEST_PAGE {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

#[expect(clippy::cast_possible_truncation, reason = "the factor is near 1, reports carry it in single precision")]
fn figures(page: &[u8], pid: Option<u32>) -> Result<Figures, ProbeError> {
    let text = String::from_utf8_lossy(page);
    let page = Page::parse(&text);
    let latency = page.value("crosspoint_engine_chunk_latency_p95_seconds").unwrap_or_default();
    Ok(Figures {
        slots: page.count("crosspoint_engine_slots").ok_or(ProbeError::NoSlots)?,
        soft_slots: page.count("crosspoint_engine_soft_slots"),
        used: page.count("crosspoint_engine_active_streams").ok_or(ProbeError::NoSlots)?,
        queue_depth: page.count("crosspoint_engine_queue_depth").unwrap_or_default(),
        realtime_factor: page.value("crosspoint_engine_realtime_factor").unwrap_or_default() as f32,
        chunk_latency_p95: Duration::try_from_secs_f64(latency).unwrap_or_default(),
        pid,
        models: None,
    })
}

/// Returns the address of a page under `base`.
pub(crate) fn page_of(base: &Url, page: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{}", base.path().trim_end_matches('/'), page.trim_start_matches('/')));
    url
}

/// Returns the error that caused the others: "connection refused" rather than "error sending request".
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn log_change(before: &Engine, now: &Engine) {
    match (&before.problem, &now.problem) {
        (Some(_), None) => info!(slots = now.figures.slots, pid = now.figures.pid, "engine answers"),
        (None, Some(problem)) => warn!(%problem, "engine stopped answering"),
        (Some(old), Some(problem)) if old != problem => warn!(%problem, "engine does not answer"),
        (Some(_) | None, Some(_) | None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &[u8] = b"crosspoint_engine_slots 5\ncrosspoint_engine_active_streams 2\n\
        crosspoint_engine_queue_depth 3\ncrosspoint_engine_realtime_factor 0.25\n\
        crosspoint_engine_chunk_latency_p95_seconds 0.04\n";

    fn gone() -> Result<(NodeState, Figures), ProbeError> {
        Err(ProbeError::NoSlots)
    }

    #[test]
    fn a_page_becomes_figures() {
        let figures = figures(PAGE, Some(7)).unwrap();
        assert_eq!((figures.slots, figures.used, figures.queue_depth, figures.soft_slots), (5, 2, 3, None));
        assert_eq!(figures.chunk_latency_p95, Duration::from_millis(40));
    }

    #[test]
    fn a_page_without_slots_is_no_engine() {
        assert!(matches!(figures(b"up 1\n", None), Err(ProbeError::NoSlots)));
    }

    #[test]
    fn an_engine_starts_until_it_first_answered_and_fails_only_after_that() {
        let starting = Engine::default().after(gone());
        assert_eq!(starting.state, NodeState::Starting);
        let serving = starting.after(Ok((NodeState::Serving, figures(PAGE, None).unwrap())));
        let failing = serving.after(gone());
        assert_eq!((failing.state, failing.figures.slots), (NodeState::Failing, 5));
    }

    #[test]
    fn a_health_page_without_json_is_enough() {
        assert_eq!(Health::default().state().unwrap(), NodeState::Serving);
        let loading = Health { status: Some("loading".to_owned()), pid: None };
        assert!(loading.state().unwrap_err().to_string().ends_with("got \"loading\""));
    }

    #[test]
    fn pages_are_found_under_the_base_path() {
        let base = Url::parse("http://gpu:9000/engine/").unwrap();
        assert_eq!(page_of(&base, "health").as_str(), "http://gpu:9000/engine/health");
    }
}
