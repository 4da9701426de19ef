//! The router's part of the configuration.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use scheduler::plan::PlannerConfig;
use scheduler::{Models, Pool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decisions::DecisionLogConfig;

/// Where the router listens and how often agents report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// gRPC for agents and proxies.
    pub listen: SocketAddr,
    /// Admin API, HTTP and JSON. It has no authentication: keep it on loopback.
    pub admin: SocketAddr,
    /// `/metrics`, `/livez` and `/readyz`.
    pub metrics: SocketAddr,
    /// How often an agent reports when nothing changes.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub report_interval: Duration,
    /// After this long without a report a node is forgotten.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub forget_after: Duration,
    /// File of tokens, one on each line, of which every agent must bring one; anybody may report when absent.
    pub agent_token_file: Option<PathBuf>,
    /// Where a sample of decisions is written; nowhere when absent.
    pub decisions: Option<DecisionLogConfig>,
}

impl Default for Config {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            listen: loopback(7400),
            admin: loopback(7401),
            metrics: loopback(7481),
            report_interval: Duration::from_secs(1),
            forget_after: Duration::from_secs(3600),
            agent_token_file: None,
            decisions: None,
        }
    }
}

/// What the router decides by.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The pools there are.
    pub pools: Vec<Pool>,
    /// How a node is chosen.
    pub choice: scheduler::Policy,
    /// The models callers may ask for.
    pub models: Models,
    /// How pools are scaled.
    pub planner: PlannerConfig,
}
