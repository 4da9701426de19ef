//! The plan: demand in, wanted nodes per pool out.
//!
//! Pure like the rest of the crate: time is an argument, what a scaler remembers is its own value, and that value can be
//! written down and taken up again by another process. Nobody is launched or ended here: a [`Plan`] says what should be.
//!
//! # Layout
//! * [`Situation`]: pools with their nodes and prices, and the demand; what a scaler is told every ten seconds.
//! * [`Planner`]: the scaler of this project. [`PlannerConfig`] and [`Scaling`]: what an operator sets.
//! * [`Baseline`]: the scalers that it is compared with, each with one knob.
//! * `fill`: which pools cover a need at the least price under every limit. `steps`: which node comes and goes, and when.
//! * `problem`: the situation in the numbers that `fill` works on. `headroom`: the share of slots to fill, learned from late starts. `rises`: how far demand rises while a node boots. `hazard`: how often a zone takes nodes away.
//! * `forecast`: demand when a node ordered now would be ready. `memory`: the recent past, bounded.
//!
//! # The rule
//! ```text
//! required = max(D / u, D + k sqrt(D), D + r)
//! D: streams, live and waiting; u: share of slots to fill; r: slots that batch needs; k: how far demand rose of late
//! ```
//! The highest requirement of the last two minutes is what the fleet is held to. It is filled by dollars per slot-hour (node,
//! egress, risk) under the limits of pools and providers, with spot spread over zones.

mod baselines;
mod config;
mod fill;
mod forecast;
mod hazard;
mod headroom;
mod memory;
mod percent;
mod planner;
mod problem;
mod rises;
mod situation;
mod steps;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use baselines::{Baseline, BaselineScaler};
pub use config::{GrowWhen, Limits, PlannerConfig, ProviderLimits, Scaling, ScalingError, Term};
pub use hazard::Hazard;
pub use memory::Memory;
pub use planner::Planner;
pub use situation::{
    Batch, Demand, DemandGroup, NodeStage, NodeSupply, PoolSupply, Signals, Situation, Zone, batch_rate,
};

use crate::ids::{NodeId, PoolName};
use crate::units::Timestamp;

/// Something that happened between two plans and that a scaler must know at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The provider takes a spot node away, or has done so: once per node, at the notice if there is one.
    Preempted {
        /// The pool that loses it.
        pool: PoolName,
    },
    /// The provider could not start a node.
    LaunchFailed {
        /// The pool that asked for it.
        pool: PoolName,
    },
}

/// What turns demand into a plan.
pub trait Scaler {
    /// Takes note of what happened; changes nothing until the next plan.
    fn observe(&mut self, event: &Event, now: Timestamp);

    /// Plans for the situation at hand. Called every ten seconds, and at once after a notice.
    fn plan(&mut self, situation: &Situation, now: Timestamp) -> Plan;
}

/// Why a pool should have as many nodes as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Nobody scales it: it is what it is.
    Unmanaged,
    /// Its minimum, or its provider's: demand needs no more of it.
    Minimum,
    /// It is the cheapest that may still grow, and demand needs this many.
    Cheapest,
    /// It has all it may have.
    Maximum,
    /// Its provider has all it may have.
    ProviderMaximum,
    /// More of it would put too much of the spot capacity into one zone.
    ZoneShare,
    /// It was preempted or failed to launch lately: it keeps what it has.
    BackOff,
    /// Its last launch failed: it is tried with one node at a time until one comes.
    Suspect,
    /// Its nodes were ordered long ago and have not come: others stand in.
    Overdue,
    /// Its GPUs, CPUs or queues are above what `grow_when` allows.
    Trigger,
    /// The number to start with, before anything is known.
    Start,
    /// Cheaper pools cover everything.
    NotNeeded,
}

impl Why {
    /// Returns a short text for people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Unmanaged => "not scaled here",
            Self::Minimum => "its minimum",
            Self::Cheapest => "cheapest that may grow",
            Self::Maximum => "at its maximum",
            Self::ProviderMaximum => "provider at its maximum",
            Self::ZoneShare => "zone has its share of spot",
            Self::BackOff => "backing off after a loss or a failed launch",
            Self::Suspect => "one at a time after a failed launch",
            Self::Overdue => "ordered nodes have not come",
            Self::Trigger => "grow_when",
            Self::Start => "number to start with",
            Self::NotNeeded => "cheaper pools suffice",
        }
    }
}

/// What one pool should be, and the steps there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolPlan {
    /// The pool.
    pub pool: PoolName,
    /// Nodes that take sessions now.
    pub ready: u32,
    /// Nodes that were ordered and do not serve yet.
    pub booting: u32,
    /// Nodes that finish their sessions, noticed ones included.
    pub draining: u32,
    /// Nodes it should have, those that boot included and those that drain not.
    pub wanted: u32,
    /// Why this many.
    pub why: Why,
    /// Nodes to order now.
    pub launch: u32,
    /// Nodes to take back from draining; cheaper than launching.
    pub undrain: Vec<NodeId>,
    /// Nodes that shall take no more sessions and go when they are empty.
    pub drain: Vec<NodeId>,
    /// Draining nodes whose remaining sessions shall be moved now.
    pub clear: Vec<NodeId>,
    /// Draining nodes without a session: end them.
    pub terminate: Vec<NodeId>,
}

/// Demand that no lawful pool may grow for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shortfall {
    /// The group's place in the situation's demand.
    pub group: usize,
    /// Slots that it lacks.
    pub slots: f64,
}

/// How many nodes each pool should have, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Slots that streams need now, waiting ones included.
    pub streams: f64,
    /// Slots that batch needs to keep its deadlines.
    pub batch: f64,
    /// Slots that are required, all groups together.
    pub required: f64,
    /// Soft slots of all wanted nodes.
    pub wanted_slots: f64,
    /// Share of slots that streams may fill.
    pub target: f64,
    /// Every pool, in the order of the situation.
    pub pools: Vec<PoolPlan>,
    /// What cannot be covered under the limits in force.
    pub short: Vec<Shortfall>,
}

impl Plan {
    /// Finds a pool's part.
    #[must_use]
    pub fn pool(&self, name: &PoolName) -> Option<&PoolPlan> {
        self.pools.iter().find(|part| part.pool == *name)
    }
}
