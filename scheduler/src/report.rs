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
/// Characters of a reason that are kept.
const LONGEST_REASON: usize = 240;
/// No cloud says so long before that it takes a host away.
const LONGEST_NOTICE: Duration = Duration::from_secs(7 * 24 * 3600);

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

/// What a cloud has in mind for a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// It is likelier than others to be taken away; nothing is decided.
    Rebalance,
    /// It is taken away.
    Preemption,
    /// It is stopped for maintenance.
    Maintenance,
}

/// A cloud's word that a host will go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What for.
    pub kind: NoticeKind,
    /// Time until then, when the report was written; none where the cloud does not say.
    #[serde(with = "crate::units::optional_duration")]
    pub left: Option<Duration>,
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
    /// Why it does not serve, or serves less than it could, for people; at most 240 characters.
    #[serde(default)]
    pub reason: Option<String>,
    /// What the cloud has in mind for its host.
    #[serde(default)]
    pub notice: Option<Notice>,
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
        let plain = |reason: &mut String| {
            *reason = reason.chars().filter(|character| !character.is_control()).take(LONGEST_REASON).collect();
        };
        self.reason.iter_mut().for_each(plain);
        if let Some(Notice { left: Some(left), .. }) = &mut self.notice {
            *left = (*left).min(LONGEST_NOTICE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::report;

    #[test]
    fn a_reason_that_would_fill_a_screen_or_steer_a_terminal_is_cut() {
        let reason = Some(format!("\u{1b}[2J{}", "x".repeat(1000)));
        let kept = Report { reason, ..report("a0", "a") }.sane().reason.unwrap();
        assert!(kept.starts_with("[2Jxx") && kept.len() == LONGEST_REASON, "{kept}");
    }

    #[test]
    fn a_notice_for_the_next_century_is_forced_into_range() {
        let notice = Some(Notice { kind: NoticeKind::Preemption, left: Some(Duration::MAX) });
        assert_eq!(Report { notice, ..report("a0", "a") }.sane().notice.unwrap().left, Some(LONGEST_NOTICE));
    }
}
