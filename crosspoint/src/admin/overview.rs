//! What the router answers to operators: itself at a glance, and what became of an order.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `POST /v1/nodes/{node}/drain` and `/undrain`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Drained {
    pub(crate) node: String,
    pub(crate) changed: bool,
    pub(crate) state: Option<String>,
    pub(crate) used_slots: u32,
    pub(crate) leases: u32,
}

/// `GET /v1/overview`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Overview {
    pub(crate) version: String,
    pub(crate) policy: String,
    pub(crate) policy_hash: String,
    pub(crate) up_seconds: f64,
    pub(crate) sessions_live: u64,
    pub(crate) waiting: u64,
    pub(crate) soft_slots: u64,
    pub(crate) used_slots: u64,
    pub(crate) nodes: NodeCounts,
    pub(crate) cost_per_hour: HourlyCost,
    pub(crate) placed: u64,
    pub(crate) refused: BTreeMap<String, u64>,
}

/// Nodes by what they are up to.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeCounts {
    pub(crate) serving: u64,
    pub(crate) other: u64,
    pub(crate) silent: u64,
    pub(crate) drained: u64,
}

/// What it comes to in an hour, in dollars.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HourlyCost {
    pub(crate) nodes: f64,
    pub(crate) sessions: f64,
}
