//! The score: what an hour of this session costs on that node, in dollars, so that weights have a meaning.
//!
//! The formula, with its defaults, is that of docs/design.md, "The score".

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fleet::Node;
use crate::pool::{Market, Pool};
use crate::request::Request;
use crate::units::{MicroDollars, Timestamp};

/// Latency up to here costs nothing: people do not notice it.
const FREE_LATENCY_MS: f64 = 60.0;
/// Preemptions per node-hour expected of a spot node nobody has measured: one in four hours.
const SPOT_HAZARD: f64 = 0.25;
/// Dollars that one forced move costs.
const MOVE_COST: f64 = 0.002;

/// Weights, in dollars per session-hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Scoring {
    /// Per 100 ms of latency beyond the first 60 ms.
    pub latency: f64,
    /// At a full node; falls with the eighth power of the load.
    pub congestion: f64,
    /// At a node where every open fails.
    pub errors: f64,
}

impl Default for Scoring {
    fn default() -> Self {
        Self { latency: 0.004, congestion: 0.02, errors: 0.5 }
    }
}

/// The terms of a score, each in dollars per session-hour. They add up to the score exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreTerms {
    /// The slot's share of the node's price.
    pub gpu: MicroDollars,
    /// Sending the audio there.
    pub egress: MicroDollars,
    /// Being far or slow.
    pub latency: MicroDollars,
    /// The chance of losing the node, times the price of a move.
    pub risk: MicroDollars,
    /// Being nearly full.
    pub congestion: MicroDollars,
    /// Failing opens lately.
    pub errors: MicroDollars,
}

impl ScoreTerms {
    /// Returns the score.
    #[must_use]
    pub fn total(&self) -> MicroDollars {
        self.named().into_iter().map(|(_, amount)| amount).sum()
    }

    /// Returns the part of the score that is money: what the session will be charged per hour.
    #[must_use]
    pub fn price(&self) -> MicroDollars {
        self.gpu + self.egress
    }

    /// Returns every term with its name, in the order people read them.
    #[must_use]
    pub fn named(&self) -> [(&'static str, MicroDollars); 6] {
        [
            ("gpu", self.gpu),
            ("egress", self.egress),
            ("latency", self.latency),
            ("risk", self.risk),
            ("congestion", self.congestion),
            ("errors", self.errors),
        ]
    }
}

/// Scores `request` on `node`. Slots of zero count as one, so that the result is finite.
#[must_use]
pub fn score(node: &Node, pool: &Pool, request: &Request, scoring: &Scoring, now: Timestamp) -> ScoreTerms {
    let report = &node.report;
    let slots = f64::from(report.soft_slots.max(1));
    let load = f64::from(node.used_estimate(now)) / slots;
    let latency = pool.link.round_trip + report.chunk_latency_p95;
    let late = (latency.as_secs_f64() * 1e3 - FREE_LATENCY_MS).max(0.0) / 100.0;
    let hazard = match pool.market {
        Market::Spot => SPOT_HAZARD,
        Market::Fixed | Market::OnDemand => 0.0,
    };
    ScoreTerms {
        gpu: MicroDollars::from_dollars(pool.price.node_hour.dollars() / slots),
        egress: MicroDollars::from_dollars(request.gigabytes_per_hour() * pool.price.egress_gb.dollars()),
        latency: MicroDollars::from_dollars(scoring.latency * late),
        risk: MicroDollars::from_dollars(hazard * MOVE_COST),
        congestion: MicroDollars::from_dollars(scoring.congestion * load.powi(8)),
        errors: MicroDollars::from_dollars(scoring.errors * f64::from(node.error_share(now).get())),
    }
}
