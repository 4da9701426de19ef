//! What an operator may say to an agent, and the first look at whether it makes sense.
//!
//! * `engine`: where its engine is and whose pages it has.

mod engine;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use scheduler::{ModelName, NodeId, PoolName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tonic::transport::Endpoint;

use crate::error::AgentError;
use crate::link::Routers;
use crate::notices::NoticesConfig;
use crate::reporter::Identity;
use crate::token::Token;

pub use engine::{EngineConfig, ServerConfig};

/// The shortest report interval, configured or ordered by a router.
pub(crate) const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
/// The longest report interval, configured or ordered by a router.
pub(crate) const LONGEST_INTERVAL: Duration = Duration::from_secs(60);

/// One agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name of this node; the host's name when absent.
    pub node: Option<NodeId>,
    /// The pool this node belongs to, as the router's configuration names it. Required.
    pub pool: Option<PoolName>,
    /// Routers that may hear the reports, as `http://host:port`; one at a time does, the next when it goes away.
    pub routers: Vec<String>,
    /// File with the token that routers want from agents; read again at each call. None is sent when absent.
    pub token_file: Option<PathBuf>,
    /// The engine on this host.
    pub engine: EngineConfig,
    /// `host:port` where proxies reach the engine; the host and port of `engine.url` when absent.
    pub advertise: Option<String>,
    /// Models the engine serves without loading; those that it lists when empty, where it has a list.
    pub models: BTreeSet<ModelName>,
    /// Where GPU readings come from.
    pub gpus: GpuSource,
    /// The NVIDIA management library; `libnvidia-ml.so.1` on the loader's path when absent.
    pub nvml_library: Option<PathBuf>,
    /// XIDs that leave a card in service, beside those that only tell of a fault in a program.
    pub ignore_xids: BTreeSet<u64>,
    /// Where the cloud says that it will take this host away.
    pub notices: NoticesConfig,
    /// How long the engine's streams may go on after a SIGTERM before the agent ends.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub drain: Duration,
    /// Time between reports, 100 ms to 1 min; changes are reported at once. A router may order another interval.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub report_interval: Duration,
    /// What the operator knows better than the engine about its slots.
    pub slots: SlotsConfig,
    /// Where `/metrics`, `/livez` and `/readyz` are served; nowhere when null. Port 0 takes a free one.
    pub metrics: Option<SocketAddr>,
}

/// Slots, where the engine's own figures shall not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SlotsConfig {
    /// Streams the engine serves well at once; the engine's own figure, or its slots / 1.15, when absent.
    pub soft: Option<NonZeroU32>,
}

/// Where GPU readings come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GpuSource {
    /// NVIDIA's management library; no GPUs where it is not installed.
    #[default]
    Nvml,
    /// One invented card, called so in every report, whose readings follow the engine's load.
    Simulated,
    /// No GPUs.
    None,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: None,
            pool: None,
            routers: vec!["http://127.0.0.1:7400".to_owned()],
            token_file: None,
            engine: EngineConfig::default(),
            advertise: None,
            models: "sphinx-en-us".parse().into_iter().collect(),
            gpus: GpuSource::default(),
            nvml_library: None,
            ignore_xids: BTreeSet::new(),
            notices: NoticesConfig::default(),
            drain: Duration::from_secs(15 * 60),
            report_interval: Duration::from_secs(1),
            slots: SlotsConfig::default(),
            metrics: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 7482))),
        }
    }
}

impl Config {
    /// Returns what every report says of this node.
    pub(crate) fn identity(&self) -> Result<Identity, AgentError> {
        Ok(Identity {
            node: self.node.clone().map_or_else(host_name, Ok)?,
            pool: self.pool.clone().ok_or(AgentError::NoPool)?,
            address: self.address()?,
            api: self.engine.api,
            models: self.names()?,
            soft_slots: self.slots.soft,
            on_rebalance: self.notices.rebalance,
        })
    }

    /// Returns the models and what the engine calls each.
    fn names(&self) -> Result<BTreeMap<ModelName, ModelName>, AgentError> {
        if let Some(name) = self.engine.models.keys().find(|name| !self.models.contains(*name)) {
            return Err(AgentError::UnservedModel(name.clone()));
        }
        let theirs = |ours: &ModelName| self.engine.models.get(ours).unwrap_or(ours).clone();
        Ok(self.models.iter().map(|ours| (ours.clone(), theirs(ours))).collect())
    }

    /// Returns the engine's base URL.
    pub(crate) fn engine_url(&self) -> Result<Url, AgentError> {
        plain_url("engine.url", &self.engine.url)
    }

    /// Returns who may hear the reports.
    pub(crate) fn routers(&self) -> Result<Routers, AgentError> {
        let token = Token::new(self.token_file.clone());
        Ok(Routers { list: self.endpoints()?.into(), token, interval: self.interval()? })
    }

    /// Returns the routers in the order they are tried.
    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>, AgentError> {
        if self.routers.is_empty() {
            return Err(AgentError::NoRouter);
        }
        let endpoint = |router: &String| {
            plain_url("routers", router)?;
            let bad = |_| AgentError::BadUrl { key: "routers", got: router.clone() };
            Endpoint::from_shared(router.clone()).map_err(bad)
        };
        self.routers.iter().map(endpoint).collect()
    }

    /// Returns the report interval, if it is within bounds.
    pub(crate) fn interval(&self) -> Result<Duration, AgentError> {
        if (SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&self.report_interval) {
            Ok(self.report_interval)
        } else {
            Err(AgentError::BadInterval(self.report_interval))
        }
    }

    /// Binds the metrics listener, where there shall be one.
    pub(crate) fn listener(&self) -> Result<Option<std::net::TcpListener>, AgentError> {
        let Some(address) = self.metrics else { return Ok(None) };
        let bind = || {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        bind().map(Some).map_err(|error| AgentError::Bind { address, error })
    }

    fn address(&self) -> Result<String, AgentError> {
        let Some(advertise) = &self.advertise else {
            let url = self.engine_url()?;
            let host = url.host_str().unwrap_or_default();
            return Ok(format!("{host}:{}", url.port_or_known_default().unwrap_or_default()));
        };
        match advertise.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => {
                Ok(advertise.clone())
            }
            Some(_) | None => Err(AgentError::BadAdvertise(advertise.clone())),
        }
    }
}

pub(crate) fn plain_url(key: &'static str, text: &str) -> Result<Url, AgentError> {
    let bad = || AgentError::BadUrl { key, got: text.to_owned() };
    let url = Url::parse(text).map_err(|_| bad())?;
    if url.scheme() == "http" && url.has_host() { Ok(url) } else { Err(bad()) }
}

fn host_name() -> Result<NodeId, AgentError> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").map_err(|e| AgentError::NoNode(e.to_string()))?;
    name.trim().parse().map_err(|e: scheduler::ids::BadName| AgentError::NoNode(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config { pool: Some("aws".parse().unwrap()), ..Config::default() }
    }

    #[test]
    fn the_default_serves_one_model_and_advertises_the_engine() {
        let identity = config().identity().unwrap();
        assert_eq!(identity.address, "127.0.0.1:8090");
        assert_eq!(identity.models.keys().map(ModelName::as_str).collect::<Vec<_>>(), ["sphinx-en-us"]);
    }

    #[test]
    fn an_agent_without_a_pool_says_what_to_set() {
        let error = Config::default().identity().unwrap_err().to_string();
        assert_eq!(error, "pool is missing: set it to the name of the pool this node belongs to");
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = serde_json::from_str::<Config>(r#"{"router": []}"#).unwrap_err().to_string();
        assert!(error.starts_with("unknown field `router`"), "{error}");
    }

    #[test]
    fn a_url_that_cannot_be_used_is_shown_with_its_key() {
        let error = Config { routers: vec!["https://r:1".to_owned()], ..config() }.endpoints().unwrap_err();
        assert!(error.to_string().ends_with("got \"https://r:1\""), "{error}");
        let engine = EngineConfig { url: "localhost:9000".to_owned(), ..EngineConfig::default() };
        let error = Config { engine, ..config() }.engine_url().unwrap_err();
        assert!(error.to_string().starts_with("expected engine.url to be a URL"), "{error}");
    }

    #[test]
    fn an_interval_out_of_bounds_is_refused_with_its_value() {
        let error = Config { report_interval: Duration::from_millis(20), ..config() }.interval().unwrap_err();
        assert_eq!(error.to_string(), "expected report_interval from 100ms to 1m, got 20ms");
    }

    #[test]
    fn an_advertised_address_needs_host_and_port() {
        for bad in ["gpu-7", ":9000", "gpu-7:0", "gpu-7:http"] {
            let config = Config { advertise: Some(bad.to_owned()), ..config() };
            assert!(matches!(config.identity(), Err(AgentError::BadAdvertise(got)) if got == bad));
        }
    }
}
