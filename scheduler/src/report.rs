//! Reports: what an agent says of its node, once a second and at once on change. Nothing in a report is trusted blindly:
//! [`Report::sane`] clamps what no node can mean.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::EngineApi;
use crate::ids::{ModelName, NodeId, PoolName};
use crate::units::Ratio;

/// More slots than any one node has; a report that claims more is clamped.
const MOST_SLOTS: u32 = 10_000;

/// What a node is up to, by effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// The engine is not answering yet.
    Starting,
    /// Takes sessions.
    Serving,
    /// Finishes its sessions and takes no more.
    Draining,
    /// The agent lives, the engine does not answer.
    Failing,
}

/// One GPU as NVML shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    /// Product name.
    pub name: String,
    /// Share of the last sample period in which a kernel ran.
    pub utilisation: Ratio,
    /// Device memory in use, in bytes.
    pub memory_used_bytes: u64,
    /// Device memory in all, in bytes.
    pub memory_total_bytes: u64,
    /// Core temperature, in degrees Celsius.
    pub temperature_celsius: u32,
    /// Power draw, in milliwatts.
    pub power_milliwatts: u32,
}

/// What an agent says of its node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The node.
    pub node: NodeId,
    /// The pool it belongs to.
    pub pool: PoolName,
    /// `host:port` where proxies reach its engine.
    pub address: String,
    /// What it is up to.
    pub state: NodeState,
    /// Models it can serve without loading.
    pub models: BTreeSet<ModelName>,
    /// Which API its engine speaks.
    #[serde(default)]
    pub api: EngineApi,
    /// What its engine calls those models that it knows by another name.
    #[serde(default)]
    pub engine_models: BTreeMap<ModelName, ModelName>,
    /// Streams it serves well at once.
    pub soft_slots: u32,
    /// Streams it serves at all; the node refuses more.
    pub hard_slots: u32,
    /// Slots in use.
    pub used_slots: u32,
    /// Sessions waiting inside the engine.
    pub queue_depth: u32,
    /// Audio chunk to result, 95th percentile.
    pub chunk_latency_p95: Duration,
    /// Compute seconds per second of audio; below 1 keeps up.
    pub realtime_factor: f32,
    /// Its GPUs; empty where there are none.
    pub gpus: Vec<Gpu>,
    /// Counts up by one per report of one agent process.
    pub sequence: u64,
    /// Process that hosts the engine, where the agent knows it (`crosspoint up` shows it: kill it and see).
    pub engine_pid: Option<u32>,
}

impl Report {
    /// Returns the report with impossible values forced into range.
    #[must_use]
    pub fn sane(mut self) -> Self {
        self.clamp();
        self
    }

    pub(crate) fn clamp(&mut self) {
        self.hard_slots = self.hard_slots.min(MOST_SLOTS);
        self.soft_slots = self.soft_slots.min(self.hard_slots);
        self.used_slots = self.used_slots.min(MOST_SLOTS);
        if !self.realtime_factor.is_finite() || self.realtime_factor < 0.0 {
            self.realtime_factor = 0.0;
        }
        self.chunk_latency_p95 = self.chunk_latency_p95.min(Duration::from_secs(60));
    }
}
