//! A pool as decisions see it: its nodes on both sides, its health, and what a session costs there on average.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fleet::group::{Group, Means};
use crate::fleet::line::Side;
use crate::fleet::maps::MOST_POOLS;
use crate::numbers::short;
use crate::pool::{Market, Pool};
use crate::score::{FREE_LATENCY_MS, MOVE_COST, SPOT_HAZARD};
use crate::units::Timestamp;

/// Whether a pool's reports are believed for their age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Telemetry {
    #[default]
    Flowing,
    /// Telemetry panic: most of the pool is silent while its streams go on, so its last reports stand.
    Frozen,
}

/// Whether a pool's breaker lets sessions through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Gate {
    #[default]
    Open,
    /// Nobody before this moment, and one at a time after it.
    Shut { until: Timestamp },
}

/// One pool as decisions see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PoolLine {
    pub(crate) open: Group,
    pub(crate) closed: Group,
    /// Measured or configured.
    pub(crate) round_trip: Duration,
    /// Preemptions per node-hour.
    pub(crate) hazard: f64,
    /// Eight in ten of its nodes have at most this load.
    pub(crate) usual_load: f32,
    pub(crate) telemetry: Telemetry,
    pub(crate) gate: Gate,
}

impl PoolLine {
    pub(crate) fn new(pool: &Pool) -> Self {
        let hazard = match pool.market {
            Market::Spot => SPOT_HAZARD,
            Market::Fixed | Market::OnDemand => 0.0,
        };
        Self {
            open: Group::default(),
            closed: Group::default(),
            round_trip: pool.link.round_trip,
            hazard,
            usual_load: 0.0,
            telemetry: Telemetry::Flowing,
            gate: Gate::Open,
        }
    }

    pub(crate) fn side(&self, side: Side) -> &Group {
        match side {
            Side::Open => &self.open,
            Side::Closed => &self.closed,
        }
    }

    pub(crate) fn side_mut(&mut self, side: Side) -> &mut Group {
        match side {
            Side::Open => &mut self.open,
            Side::Closed => &mut self.closed,
        }
    }
}

/// What a session on each pool's nodes costs on average, in parts that weights and a request multiply. Parts stand beside
/// each other, so that many pools are added up at once.
#[derive(Clone, Debug)]
pub(crate) struct PoolCosts {
    /// Microdollars per slot-hour, with the risk.
    pub(crate) fixed: [f32; MOST_POOLS],
    /// Microdollars per gigabyte.
    pub(crate) egress: [f32; MOST_POOLS],
    /// Latency beyond what is free, in units of 100 ms.
    pub(crate) late: [f32; MOST_POOLS],
    pub(crate) congestion: [f32; MOST_POOLS],
    pub(crate) errors: [f32; MOST_POOLS],
}

impl Default for PoolCosts {
    fn default() -> Self {
        let none = [0.0; MOST_POOLS];
        Self { fixed: none, egress: none, late: none, congestion: none, errors: none }
    }
}

impl PoolCosts {
    /// Puts a pool's averages into the parts that weights multiply.
    pub(crate) fn set(&mut self, place: usize, means: Means, pool: &PoolLine, egress: f32) {
        let latency = pool.round_trip.as_secs_f32() * 1e3 + means.latency / 1e3;
        self.fixed[place] = means.slot_price + short(pool.hazard * MOVE_COST * 1e6);
        self.egress[place] = egress;
        self.late[place] = (latency - short(FREE_LATENCY_MS)).max(0.0) / 100.0;
        self.congestion[place] = means.congestion;
        self.errors[place] = means.errors;
    }
}

/// Pools that have nodes on one side, and what they cost.
#[derive(Clone, Debug)]
pub(crate) struct SideTable {
    /// Bits of pools with any slot free, as reported.
    pub(crate) over: u64,
    /// Bits of pools with a soft slot free, as reported.
    pub(crate) room: u64,
    pub(crate) costs: PoolCosts,
    /// Soft slots that were free at the last tick, promises included; as many as can be before the first one.
    pub(crate) left: [u32; MOST_POOLS],
}

impl Default for SideTable {
    fn default() -> Self {
        Self { over: 0, room: 0, costs: PoolCosts::default(), left: [u32::MAX; MOST_POOLS] }
    }
}
