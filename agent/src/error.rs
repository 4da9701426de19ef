//! Why an agent cannot start.

use std::net::SocketAddr;
use std::time::Duration;

use scheduler::ModelName;

/// Says why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No pool was named.
    #[error("pool is missing: set it to the name of the pool this node belongs to")]
    NoPool,
    /// The host has no name that can name a node.
    #[error("the host's name cannot name this node ({0}): set node")]
    NoNode(String),
    /// No router was named.
    #[error("routers is empty: set at least one router, such as http://127.0.0.1:7400")]
    NoRouter,
    /// A router or engine URL that the agent cannot use.
    #[error("expected {key} to be a URL such as http://127.0.0.1:7400, got {got:?}")]
    BadUrl {
        /// Where it was configured.
        key: &'static str,
        /// What was configured.
        got: String,
    },
    /// An engine of which nobody knows how much it can do.
    #[error("engine.slots is missing: set it to how many files the engine hears at the same time")]
    NoSlots,
    /// An engine whose files proxies would send to another path.
    #[error("expected engine.url without a path, for proxies send files to /v1/audio/transcriptions, got {0:?}")]
    UrlWithPath(String),
    /// A setting that an engine of this API does not heed.
    #[error("engine.{0} is for engine.api openai only: remove it, or set engine.api")]
    NotForListen(&'static str),
    /// A server that does not speak the API.
    #[error("engine.server {server} does not speak engine.api {api}: set one of them")]
    OtherApi {
        /// Whose pages it has.
        server: &'static str,
        /// What it shall speak.
        api: &'static str,
    },
    /// A metadata server of a cloud that is not named.
    #[error("notices.url is set and notices.cloud is not: set it to aws or gcp")]
    NoCloud,
    /// A name for a model that is not served.
    #[error("engine.models names {0}, which models does not list")]
    UnservedModel(ModelName),
    /// An address that proxies could not use.
    #[error("expected advertise to be host:port, got {0:?}")]
    BadAdvertise(String),
    /// An interval out of bounds.
    #[error("expected report_interval from 100ms to 1m, got {}", humantime::format_duration(*.0))]
    BadInterval(Duration),
    /// The metrics listener's address cannot be bound.
    #[error("cannot listen on {address} for metrics: {error}")]
    Bind {
        /// What was configured.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The recorder of metrics cannot be installed.
    #[error(transparent)]
    Metrics(#[from] process::MetricsError),
    /// The HTTP client cannot be built.
    #[error("cannot build the HTTP client: {0}")]
    Client(reqwest::Error),
    /// The system gives no thread for the GPUs.
    #[error("cannot start the thread that reads the GPUs: {0}")]
    Thread(std::io::Error),
}
