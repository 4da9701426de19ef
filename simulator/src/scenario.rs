//! Scenarios: everything a run depends on besides the policy, as a file says it. What a name in a scenario stands for (a
//! fleet, a spot set, a trace) is found by [`crate::library`].

mod failure;
mod fleet;
mod streams;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use failure::{Failure, Outage};
pub use fleet::{FleetFile, Limits, PoolSpec, SlotSpec};
pub use streams::{
    Batch, Bursts, Durations, Holding, Meetings, ServeGen, SessionsFile, Stationary, Streams, Synthetic,
};

/// One workload on one fleet.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What tables call it.
    pub name: String,
    /// One sentence for people.
    #[serde(default)]
    pub about: String,
    /// How much time is simulated.
    #[serde(with = "scheduler::units::positive_duration")]
    pub duration: Duration,
    /// Live streams.
    pub streams: Streams,
    /// How long they are.
    #[serde(default)]
    pub durations: Durations,
    /// Files that fill idle slots, if there are any.
    #[serde(default)]
    pub batch: Option<Batch>,
    /// The fleet: a built-in name such as `F-30`, or the path of a fleet file.
    pub fleet: String,
    /// Where spot capacity comes and goes: a built-in name, or the path of a spot file. Without it spot pools are never short.
    #[serde(default)]
    pub spot: Option<String>,
    /// What goes wrong.
    #[serde(default)]
    pub failures: Vec<Failure>,
    /// How often the scenario is run with other dice.
    #[serde(default = "one")]
    pub seeds: u64,
    /// How the routers learn of the nodes.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// How long a stream waits for a slot before it is refused.
    #[serde(default = "patience", with = "scheduler::units::duration")]
    pub patience: Duration,
    /// What the fleet's figures are multiplied by, to see whether a result hangs on them.
    #[serde(default)]
    pub factors: Factors,
}

/// What stands between a node and what a router believes of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Router replicas, each with its own view.
    pub routers: usize,
    /// Time between two reports of a node; at zero every change is known at once.
    #[serde(with = "scheduler::units::duration")]
    pub period: Duration,
    /// From a report to the routers' view, without the link's round trip.
    #[serde(with = "scheduler::units::duration")]
    pub delay: Duration,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { routers: 4, period: Duration::from_secs(1), delay: Duration::from_millis(50) }
    }
}

/// Multipliers of the fleet's assumptions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Factors {
    /// Of slots per node.
    pub slots: f64,
    /// Of every price.
    pub price: f64,
    /// Of boot times.
    pub boot: f64,
}

impl Default for Factors {
    fn default() -> Self {
        Self { slots: 1.0, price: 1.0, boot: 1.0 }
    }
}

fn one() -> u64 {
    1
}

fn patience() -> Duration {
    Duration::from_secs(5)
}
