//! The score: what an hour of this session costs on that node, in dollars, so that weights have a meaning.
//!
//! ```text
//!   price of a node-hour / soft slots                              gpu
//! + gigabytes sent in an hour * price of a gigabyte                egress
//! + 0.004 * max(0, round trip + chunk latency p95 - 60 ms)/100 ms  latency
//! + 0.25 preemptions an hour * 0.002, on spot nodes only           risk
//! + 0.05  * (used slots / soft slots)^8                            congestion
//! + 0.5   * share of opens that failed lately                      errors
//! ```
//! The first two are money that will be spent; the others are what it is worth to avoid something. 0.004, 0.05 and 0.5 are
//! the defaults of [`Scoring`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fleet::{Line, Node, PoolLine};
use crate::numbers::whole;
use crate::pool::Pool;
use crate::request::Request;
use crate::units::{MicroDollars, Timestamp};

/// Latency up to here costs nothing: people do not notice it.
pub(crate) const FREE_LATENCY_MS: f64 = 60.0;
/// Preemptions per node-hour expected of a spot node nobody has measured: one in four hours.
pub(crate) const SPOT_HAZARD: f64 = 0.25;
/// Dollars that one forced move costs.
pub(crate) const MOVE_COST: f64 = 0.002;

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
        Self { latency: 0.004, congestion: 0.05, errors: 0.5 }
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

/// What is the same for every node of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    /// In microseconds.
    pub(crate) round_trip: u64,
    pub(crate) egress: MicroDollars,
    pub(crate) risk: MicroDollars,
}

impl Site {
    pub(crate) fn new(line: &PoolLine, pool: &Pool, gigabytes: f64) -> Self {
        Self {
            round_trip: u64::try_from(line.round_trip.as_micros()).unwrap_or(u64::MAX),
            egress: MicroDollars(whole(gigabytes * pool.price.egress_gb.0 as f64)),
            risk: MicroDollars::from_dollars(line.hazard * MOVE_COST),
        }
    }

    /// Scores a node of the pool with `used` slots in use. Slots of zero count as one, so that the result is finite.
    pub(crate) fn terms(&self, line: &Line, used: u32, scoring: &Scoring, now: Timestamp) -> ScoreTerms {
        let load = f64::from(used) / f64::from(line.soft.max(1));
        let latency = (self.round_trip + u64::from(line.latency)) as f64 / 1e3;
        let late = (latency - FREE_LATENCY_MS).max(0.0) / 100.0;
        ScoreTerms {
            gpu: MicroDollars(line.slot_price.into()),
            egress: self.egress,
            latency: dollars(scoring.latency * late),
            risk: self.risk,
            congestion: dollars(scoring.congestion * load.powi(8)),
            errors: dollars(scoring.errors * f64::from(line.error_share(now).get())),
        }
    }
}

/// Most terms of most nodes are nothing, and rounding nothing takes time.
fn dollars(amount: f64) -> MicroDollars {
    if amount == 0.0 { MicroDollars::ZERO } else { MicroDollars::from_dollars(amount) }
}

/// Scores `request` on `node` of `pool`. Slots of zero count as one, so that the result is finite.
#[must_use]
pub fn score(node: Node<'_>, pool: &Pool, request: &Request, scoring: &Scoring, now: Timestamp) -> ScoreTerms {
    let site = Site::new(node.pool, pool, request.gigabytes_per_hour());
    let used = node.line.used_likely(node.promised, node.others, now);
    site.terms(node.line, used.saturating_sub(request.priority.yielding(node.line)), scoring, now)
}

#[cfg(test)]
mod tests {
    use crate::Market;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::report::Report;
    use crate::testing::{noon, pool, report, request};
    use crate::units::Ratio;
    use crate::{Fleet, NodeId};

    /// A node of a pool, after its opens failed `failures` times in a row.
    fn terms(pool: Pool, report: Report, failures: u32) -> ScoreTerms {
        let id: NodeId = report.node.clone();
        let mut fleet = Fleet::new(vec![pool]);
        fleet.report(report, noon()).unwrap();
        (0..failures).for_each(|_| fleet.note_failed(&id, noon()));
        let (node, pool) = (fleet.view().node(&id).unwrap(), &fleet.view().pools()[0]);
        score(node, pool, &request(), &Scoring::default(), noon())
    }

    fn cents(terms: ScoreTerms) -> [f64; 6] {
        terms.named().map(|(_, amount)| amount.cents())
    }

    #[test]
    fn an_idle_on_demand_node_costs_its_share_of_the_price_and_the_egress() {
        // 52.6 / 24 cents, and 0.1152 GB of 16 kHz PCM at 9 cents; 40 ms are not noticed.
        assert_eq!(cents(terms(pool("a"), report("a0", "a"), 0)), [2.1917, 1.0368, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn every_term_has_its_price() {
        let spot = Pool { market: Market::Spot, ..pool("a") };
        let half_full_and_slow =
            Report { used_slots: 12, chunk_latency_p95: Duration::from_millis(145), ..report("a0", "a") };
        // 100 ms too late: 0.4. One move in four hours: 0.05. 5 * 0.5^8 = 0.0195. A fifth of 50 for one failed open.
        assert_eq!(cents(terms(spot, half_full_and_slow, 1)), [2.1917, 1.0368, 0.4, 0.05, 0.0195, 10.0]);
    }

    #[test]
    fn a_full_node_costs_five_cents_more() {
        let full = Report { used_slots: 24, ..report("a0", "a") };
        assert_eq!(terms(pool("a"), full, 0).congestion, MicroDollars(50_000));
    }

    #[test]
    fn a_node_without_slots_has_a_finite_score() {
        let none = Report { soft_slots: 0, used_slots: 10_000, ..report("a0", "a") };
        let terms = terms(pool("a"), none, 0);
        assert_eq!(terms.gpu, MicroDollars(526_000));
        assert_eq!(terms.total(), MicroDollars(i64::MAX));
    }

    #[test]
    fn the_errors_term_follows_the_error_share() {
        assert_eq!(Ratio::clamped(0.36).get(), 0.36);
        assert_eq!(terms(pool("a"), report("a0", "a"), 2).errors, MicroDollars(180_000));
    }

    proptest! {
        #[test]
        fn terms_add_up_and_none_is_negative(
            (price, egress) in (0..4_000_000_i64, 0..200_000_i64),
            (soft, used, failures) in (0..300_u32, 0..300_u32, 0..5_u32),
            (round_trip, latency) in (0..500_u64, 0..5_000_u64),
        ) {
            let mut pool = pool("a");
            pool.price = crate::Price { node_hour: MicroDollars(price), egress_gb: MicroDollars(egress) };
            pool.link.round_trip = Duration::from_millis(round_trip);
            let chunk_latency_p95 = Duration::from_millis(latency);
            let report =
                Report { soft_slots: soft, hard_slots: soft, used_slots: used, chunk_latency_p95, ..report("a0", "a") };
            let terms = terms(pool, report, failures);
            let sum = terms.named().iter().fold(0_i64, |sum, (_, amount)| sum.saturating_add(amount.0));
            prop_assert_eq!(terms.total(), MicroDollars(sum));
            prop_assert_eq!(terms.price(), terms.gpu + terms.egress);
            prop_assert!(terms.named().iter().all(|(_, amount)| *amount >= MicroDollars::ZERO));
        }

        #[test]
        fn a_dearer_pool_never_scores_lower(prices in prop::array::uniform2((0..4_000_000_i64, 0..200_000_i64))) {
            let total = |node_hour: i64, egress: i64| {
                let price = crate::Price { node_hour: MicroDollars(node_hour), egress_gb: MicroDollars(egress) };
                terms(Pool { price, ..pool("a") }, report("a0", "a"), 0).total()
            };
            let [(a, x), (b, y)] = prices;
            prop_assert!(total(a.min(b), x.min(y)) <= total(a.max(b), x.max(y)));
        }
    }
}
