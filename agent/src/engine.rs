//! The engine, as its pages show it. Our own is asked five times a second whether it is well (`/health`) and what it does
//! (`/metrics`): over a connection on the same host that stays open this costs well under a millisecond, and bounds how old
//! a change can be without the engine knowing agents. Others have larger pages and are asked once a second.
//!
//! * [`own`]: ours. [`deepgram`]: Deepgram self-hosted. [`triton`]: NVIDIA Triton.
//! * [`openai`]: servers of `/v1/audio/transcriptions`; [`vllm`]: what one of them tells of its load.
//! * `pages`: reading any of them.

mod deepgram;
mod error;
mod openai;
mod own;
mod pages;
mod triton;
mod vllm;

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Url;
use scheduler::{ModelName, NodeState};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::error::AgentError;

pub(crate) use deepgram::Deepgram;
use error::ProbeError;
pub(crate) use openai::OpenAi;
pub(crate) use own::Own;
use pages::Pages;
pub(crate) use triton::Triton;
pub(crate) use vllm::Vllm;

/// Time between two looks at an engine whose pages are small, ...
const OFTEN: Duration = Duration::from_millis(200);
/// ... and at one whose pages are long.
const SELDOM: Duration = Duration::from_secs(1);

/// Whose pages an engine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Server {
    /// Ours.
    Crosspoint,
    /// Deepgram self-hosted.
    Deepgram,
    /// NVIDIA Triton.
    Triton,
    /// vLLM.
    Vllm,
    /// Another OpenAI-compatible server.
    Openai,
}

impl Server {
    /// Returns its name, for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Crosspoint => "crosspoint",
            Self::Deepgram => "Deepgram",
            Self::Triton => "Triton",
            Self::Vllm => "vLLM",
            Self::Openai => "OpenAI-compatible server",
        }
    }
}

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
    /// Whose pages it has.
    pub(crate) server: Option<Server>,
    /// Streams it serves at all.
    pub(crate) slots: u32,
    /// Streams it serves well, where it says so.
    pub(crate) soft_slots: Option<u32>,
    /// Streams it serves now, where it says so.
    pub(crate) used: Option<u32>,
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
    /// What is not right although it serves, for people.
    pub(crate) remark: Option<String>,
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
#[derive(Debug)]
pub(crate) struct Probe {
    pages: Pages,
    kinds: Kinds,
}

/// Which pages it has.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Those of our own engine.
    Own(Own),
    /// Those of Deepgram self-hosted.
    Deepgram(Box<Deepgram>),
    /// Those of Triton.
    Triton(Box<Triton>),
    /// Those of an OpenAI-compatible server.
    OpenAi(Box<OpenAi>),
}

/// What is known of which pages it has.
#[derive(Debug)]
pub(crate) enum Kinds {
    /// These.
    Known(Kind),
    /// Those of one of these: the first that answers.
    OneOf {
        /// Where they are.
        url: Url,
        /// What it may be, the likeliest first.
        kinds: Vec<Kind>,
    },
}

impl Probe {
    /// Makes a probe for an engine of one of these kinds.
    pub(crate) fn new(kinds: Kinds) -> Result<Self, AgentError> {
        Ok(Self { pages: Pages::new()?, kinds })
    }

    /// Looks again and again until the watchers are gone.
    pub(crate) async fn keep_looking(mut self, engine: watch::Sender<Engine>) {
        while !engine.is_closed() {
            let next = Instant::now() + self.kinds.interval();
            let look = self.look().await;
            let now = engine.borrow().after(look);
            log_change(&engine.borrow(), &now);
            engine.send_replace(now);
            sleep_until(next).await;
        }
    }

    /// Looks once.
    pub(crate) async fn first_look(mut self) -> Engine {
        let look = self.look().await;
        Engine::default().after(look)
    }

    async fn look(&mut self) -> Result<(NodeState, Figures), ProbeError> {
        match &mut self.kinds {
            Kinds::Known(kind) => kind.look(&self.pages).await,
            Kinds::OneOf { url, kinds } => {
                let (found, seen) = recognise(url, kinds, &self.pages).await?;
                self.kinds = Kinds::Known(kinds.swap_remove(found));
                Ok(seen)
            }
        }
    }
}

/// Finds the kind whose pages answer. When none does, the first one's words are told: it is the likeliest.
async fn recognise(url: &Url, kinds: &mut [Kind], pages: &Pages) -> Result<(usize, (NodeState, Figures)), ProbeError> {
    let mut first = None;
    for (place, kind) in kinds.iter_mut().enumerate() {
        match kind.look(pages).await {
            Ok(seen) => return Ok((place, seen)),
            // Its pages are there, and say what is wrong.
            Err(error @ (ProbeError::Sick(_) | ProbeError::NoCapacity(_) | ProbeError::NoTritonSlots)) => {
                return Err(error);
            }
            Err(error @ (ProbeError::Unreachable { .. } | ProbeError::Unwell(_))) if first.is_none() => {
                return Err(error);
            }
            Err(error) => first = first.or_else(|| Some(error.to_string())),
        }
    }
    Err(ProbeError::Unknown { url: url.clone(), reason: first.unwrap_or_default() })
}

impl Kinds {
    fn interval(&self) -> Duration {
        match self {
            Self::Known(Kind::Own(_) | Kind::OpenAi(_)) => OFTEN,
            Self::Known(Kind::Deepgram(_) | Kind::Triton(_)) | Self::OneOf { .. } => SELDOM,
        }
    }
}

impl Kind {
    async fn look(&mut self, pages: &Pages) -> Result<(NodeState, Figures), ProbeError> {
        match self {
            Self::Own(own) => own.look(pages).await,
            Self::Deepgram(deepgram) => deepgram.look(pages).await,
            Self::Triton(triton) => triton.look(pages).await,
            Self::OpenAi(server) => server.look(pages).await,
        }
    }
}

/// Turns seconds into a duration; what is none is zero.
fn seconds(seconds: Option<f64>) -> Duration {
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default()
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
        (Some(_), None) => {
            let server = now.figures.server.map(Server::name);
            info!(server, slots = now.figures.slots, pid = now.figures.pid, "engine answers");
        }
        (None, Some(problem)) => warn!(%problem, "engine stopped answering"),
        (Some(old), Some(problem)) if old != problem => warn!(%problem, "engine does not answer"),
        (Some(_) | None, Some(_) | None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone() -> Result<(NodeState, Figures), ProbeError> {
        Err(ProbeError::NoSlots)
    }

    #[test]
    fn an_engine_starts_until_it_first_answered_and_fails_only_after_that() {
        let starting = Engine::default().after(gone());
        assert_eq!(starting.state, NodeState::Starting);
        let serving = starting.after(Ok((NodeState::Serving, Figures { slots: 5, ..Figures::default() })));
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
