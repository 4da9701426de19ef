//! The situation: what a scaler is told. Counts and ages only, so that it means the same in every process.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::config::{GrowWhen, Limits};
use crate::ids::{NodeId, PoolName};
use crate::pool::{Market, Provider};
use crate::units::{MicroDollars, Ratio};

/// Where machines fail or vanish together: a provider's availability zone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Zone(pub String);

/// How far a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeStage {
    /// Ordered, and not serving yet.
    Booting {
        /// Time since it was ordered.
        age: Duration,
    },
    /// Takes sessions.
    Ready,
    /// Finishes its sessions, by order of a plan or of a person.
    Draining,
    /// The provider will take it away.
    Noticed,
}

/// A node as a scaler sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSupply {
    /// The node.
    pub node: NodeId,
    /// How far it is.
    pub stage: NodeStage,
    /// Slots that streams and awaited files use; chunks of batch yield at once and do not count.
    pub used: u32,
    /// Whether new streams may go there: the node is in the open set. Where there is none, every node is open.
    pub open: bool,
}

/// What a pool's machines show, averaged over its ready nodes; absent where nobody measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signals {
    /// GPU utilisation.
    pub gpu: Option<Ratio>,
    /// CPU utilisation.
    pub cpu: Option<Ratio>,
    /// Sessions that wait inside engines, all nodes together.
    pub queue: u32,
}

/// A pool as a scaler sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolSupply {
    /// Its name.
    pub pool: PoolName,
    /// Whose machines they are: limits per provider count spot and on-demand together.
    pub provider: Provider,
    /// Where they are.
    pub zone: Zone,
    /// How they are bought.
    pub market: Market,
    /// Streams that one node serves well at once, at least 1.
    pub soft_slots: u32,
    /// What one node costs in an hour.
    pub node_hour: MicroDollars,
    /// What an hour of one stream costs to send there.
    pub egress_slot_hour: MicroDollars,
    /// Order to first session.
    pub boot: Duration,
    /// Warning before a spot node goes; zero when there is none.
    pub notice: Duration,
    /// How many nodes it may have; absent for a pool that nobody scales.
    pub limits: Option<Limits>,
    /// When it grows although its slots suffice.
    pub grow_when: GrowWhen,
    /// What its machines show.
    pub signals: Signals,
    /// Its nodes.
    pub nodes: Vec<NodeSupply>,
}

impl PoolSupply {
    /// Counts nodes that take sessions.
    #[must_use]
    pub fn ready(&self) -> u32 {
        self.count(|stage| stage == NodeStage::Ready)
    }

    /// Counts nodes that were ordered and do not serve yet.
    #[must_use]
    pub fn booting(&self) -> u32 {
        self.count(|stage| matches!(stage, NodeStage::Booting { .. }))
    }

    /// Counts nodes that finish their sessions.
    #[must_use]
    pub fn draining(&self) -> u32 {
        self.count(|stage| matches!(stage, NodeStage::Draining | NodeStage::Noticed))
    }

    /// Counts ordered nodes that should be there by now, `grace` allowed.
    pub(super) fn overdue(&self, grace: Duration) -> u32 {
        let limit = self.boot + grace;
        self.count(|stage| matches!(stage, NodeStage::Booting { age } if age > limit))
    }

    fn count(&self, of: impl Fn(NodeStage) -> bool) -> u32 {
        u32::try_from(self.nodes.iter().filter(|node| of(node.stage)).count()).unwrap_or(u32::MAX)
    }
}

/// Batch work that is due at one time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Time until its deadline.
    pub due_in: Duration,
    /// What is left of it, in seconds of one slot.
    pub slot_seconds: f64,
}

/// Sessions that the same pools may serve, by residency, compliance and keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DemandGroup {
    /// The only pools that may serve it; every pool when absent.
    pub pools: Option<BTreeSet<PoolName>>,
    /// Streams and awaited files that have a slot.
    pub live: u32,
    /// Those that wait for one.
    pub waiting: u32,
    /// Batch work; deadlines may be rounded down to merge entries.
    pub batch: Vec<Batch>,
}

impl DemandGroup {
    /// Returns the slots that its streams need now.
    #[must_use]
    pub fn streams(&self) -> f64 {
        f64::from(self.live) + f64::from(self.waiting)
    }
}

/// What callers want, and how it went since the last plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Demand {
    /// Sessions, by the pools that may serve them.
    pub groups: Vec<DemandGroup>,
    /// Streams that began since the last plan.
    pub arrivals: u32,
    /// Of those, how many waited more than 200 ms for a slot, or got none.
    pub slow_starts: u32,
    /// Sessions that went above a node's soft slots since the last plan.
    pub over: u32,
}

impl Demand {
    /// Returns the slots that all streams need now.
    #[must_use]
    pub fn streams(&self) -> f64 {
        self.groups.iter().map(DemandGroup::streams).sum()
    }
}

/// What a scaler is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Situation {
    /// Every pool, always in the same order.
    pub pools: Vec<PoolSupply>,
    /// What callers want.
    pub demand: Demand,
}

/// Batch is planned to be done this long before its deadline.
const BATCH_MARGIN: Duration = Duration::from_secs(600);
/// Work that is due, or late, is spread over this time: an infinite rate helps nobody.
const BATCH_LEAST: Duration = Duration::from_secs(300);

/// Returns the slots that keep every deadline: the largest, over deadlines, of the work due by then over the time left.
#[must_use]
pub fn batch_rate(batch: &[Batch]) -> f64 {
    let mut due: Vec<&Batch> = batch.iter().filter(|work| work.slot_seconds > 0.0).collect();
    due.sort_by_key(|work| work.due_in);
    let mut sum = 0.0;
    due.into_iter().fold(0.0, |rate: f64, work| {
        sum += work.slot_seconds;
        rate.max(sum / work.due_in.saturating_sub(BATCH_MARGIN).max(BATCH_LEAST).as_secs_f64())
    })
}
