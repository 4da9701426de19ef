//! The fleet: all pools, and all nodes as last reported, with the slots promised since each report.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::decide::Placement;
use crate::ids::{NodeId, PoolName};
use crate::pool::Pool;
use crate::report::Report;
use crate::units::{Ratio, Timestamp};

/// A promise is believed to be still on its way for this long; after it the node's own count is right.
const PROMISE_LIFE: Duration = Duration::from_secs(3);
/// A report this much younger than a promise includes the session: by then it has connected or been refused.
const PROMISE_SETTLED: Duration = Duration::from_millis(500);
/// Time in which half of a node's error share is forgotten.
const ERROR_HALF_LIFE: Duration = Duration::from_secs(30);

/// A node as last reported, and what happened since.
#[derive(Clone, Debug)]
pub struct Node {
    /// What its agent said last.
    pub report: Report,
    /// When the agent said it, on this process's clock.
    pub reported_at: Timestamp,
    promised_at: Vec<Timestamp>,
    errors: f32,
    errors_at: Timestamp,
}

impl Node {
    /// Takes a node's first report.
    #[must_use]
    pub fn new(report: Report, now: Timestamp) -> Self {
        Self { report: report.sane(), reported_at: now, promised_at: Vec::new(), errors: 0.0, errors_at: now }
    }

    /// A session that the report counts is no promise any more: each slot more in use settles the oldest one.
    fn update(&mut self, report: Report, now: Timestamp) {
        let report = report.sane();
        let arrived = report.used_slots.saturating_sub(self.report.used_slots) as usize;
        self.promised_at.drain(..arrived.min(self.promised_at.len()));
        self.report = report;
        self.reported_at = now;
        self.promised_at.retain(|at| now.since(*at) < PROMISE_SETTLED);
    }

    /// Returns how old the last report is.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        now.since(self.reported_at)
    }

    /// Estimates the slots in use: those reported plus those promised since.
    #[must_use]
    pub fn used_estimate(&self, now: Timestamp) -> u32 {
        let promised = self.promised_at.iter().filter(|at| now.since(**at) < PROMISE_LIFE).count();
        self.report.used_slots.saturating_add(u32::try_from(promised).unwrap_or(u32::MAX))
    }

    /// Returns the share of opens that failed lately, halved every 30 s.
    #[must_use]
    pub fn error_share(&self, now: Timestamp) -> Ratio {
        let halves = now.since(self.errors_at).as_secs_f32() / ERROR_HALF_LIFE.as_secs_f32();
        Ratio::clamped(self.errors * (-halves).exp2())
    }

    fn observe_open(&mut self, failed: f32, now: Timestamp) {
        /// Weight of one observation.
        const STEP: f32 = 0.2;
        self.errors = self.error_share(now).get() * (1.0 - STEP) + failed * STEP;
        self.errors_at = now;
    }
}

/// Says that a report names a pool that is not configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no pool is called {pool}; configured pools: {known}")]
pub struct UnknownPool {
    pool: PoolName,
    known: String,
}

/// All pools and nodes.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    pools: Vec<Pool>,
    nodes: BTreeMap<NodeId, Node>,
    version: u64,
}

impl Fleet {
    /// Starts with these pools and no nodes.
    #[must_use]
    pub fn new(pools: Vec<Pool>) -> Self {
        Self { pools, nodes: BTreeMap::new(), version: 0 }
    }

    /// Returns the pools in the order they were configured.
    #[must_use]
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// Finds a pool by name.
    #[must_use]
    pub fn pool(&self, name: &PoolName) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.name == *name)
    }

    /// Returns the nodes in the order of their names.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// Finds a node by name.
    #[must_use]
    pub fn node(&self, name: &NodeId) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// Counts the changes so far; decisions name the version they were made on.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Takes a report.
    ///
    /// # Errors
    /// Fails when the report names a pool that is not configured.
    pub fn report(&mut self, report: Report, now: Timestamp) -> Result<(), UnknownPool> {
        if self.pool(&report.pool).is_none() {
            let known = self.pools.iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(UnknownPool { pool: report.pool, known });
        }
        self.version += 1;
        if let Some(node) = self.nodes.get_mut(&report.node) {
            node.update(report, now);
        } else {
            self.nodes.insert(report.node.clone(), Node::new(report, now));
        }
        Ok(())
    }

    /// Makes a node's last report younger by `time`, for time in which its next one could not have come through.
    pub fn hold_age(&mut self, node: &NodeId, time: Duration, now: Timestamp) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.reported_at = now.min(node.reported_at + time);
        }
    }

    /// Forgets nodes that have been silent for `limit`, and returns their names.
    pub fn forget_silent(&mut self, limit: Duration, now: Timestamp) -> Vec<NodeId> {
        let silent: Vec<NodeId> =
            self.nodes.iter().filter(|(_, node)| node.age(now) >= limit).map(|(id, _)| id.clone()).collect();
        for id in &silent {
            self.nodes.remove(id);
            self.version += 1;
        }
        silent
    }

    /// Charges a slot on the placement's node until its next report shows the session, or 3 s have passed.
    pub fn reserve(&mut self, placement: &Placement, now: Timestamp) {
        if let Some(node) = self.nodes.get_mut(&placement.node) {
            node.promised_at.retain(|at| now.since(*at) < PROMISE_LIFE);
            node.promised_at.push(now);
        }
    }

    /// Notes that a session has left a node: a promise less, or the next report shows it.
    pub fn note_left(&mut self, node: &NodeId) {
        if let Some(node) = self.nodes.get_mut(node).filter(|node| !node.promised_at.is_empty()) {
            node.promised_at.remove(0);
        }
    }

    /// Notes that a session opened on a node.
    pub fn note_opened(&mut self, node: &NodeId, now: Timestamp) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.observe_open(0.0, now);
        }
    }

    /// Notes that a session could not be opened, or was lost, on a node.
    pub fn note_failed(&mut self, node: &NodeId, now: Timestamp) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.observe_open(1.0, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Placement;
    use crate::engine::EngineApi;
    use crate::score::ScoreTerms;
    use crate::testing::{noon, pool, report};

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn fleet() -> (Fleet, NodeId) {
        let mut fleet = Fleet::new(vec![pool("a")]);
        fleet.report(report("a0", "a"), noon()).unwrap();
        (fleet, "a0".parse().unwrap())
    }

    fn on(node: &NodeId) -> Placement {
        let (pool, address) = ("a".parse().unwrap(), "a0:80".to_owned());
        Placement {
            node: node.clone(),
            pool,
            address,
            terms: ScoreTerms::default(),
            api: EngineApi::Listen,
            engine_model: None,
        }
    }

    #[test]
    fn a_report_of_an_unknown_pool_is_refused_with_the_known_ones() {
        let mut fleet = Fleet::new(vec![pool("a"), pool("b")]);
        let error = fleet.report(report("c0", "c"), noon()).unwrap_err();
        assert_eq!(error.to_string(), "no pool is called c; configured pools: a, b");
        assert_eq!((fleet.nodes().count(), fleet.version()), (0, 0));
    }

    #[test]
    fn a_promise_counts_for_three_seconds() {
        let (mut fleet, node) = fleet();
        fleet.reserve(&on(&node), noon());
        let used = |after| fleet.node(&node).unwrap().used_estimate(noon() + ms(after));
        assert_eq!([used(0), used(2_999), used(3_000)], [1, 1, 0]);
    }

    #[test]
    fn a_report_settles_promises_that_are_half_a_second_old() {
        let (mut fleet, node) = fleet();
        fleet.reserve(&on(&node), noon());
        fleet.reserve(&on(&node), noon() + ms(1));
        let arrived = noon() + ms(500);
        fleet.report(Report { used_slots: 1, ..report("a0", "a") }, arrived).unwrap();
        assert_eq!(fleet.node(&node).unwrap().used_estimate(arrived), 2, "one reported and one still on its way");
    }

    #[test]
    fn a_session_that_a_report_shows_is_not_counted_as_promised_too() {
        let (mut fleet, node) = fleet();
        fleet.reserve(&on(&node), noon());
        fleet.reserve(&on(&node), noon());
        let soon = noon() + ms(200);
        fleet.report(Report { used_slots: 1, ..report("a0", "a") }, soon).unwrap();
        assert_eq!(fleet.node(&node).unwrap().used_estimate(soon), 2, "one reported, one still on its way");
        fleet.report(Report { used_slots: 2, ..report("a0", "a") }, soon).unwrap();
        assert_eq!(fleet.node(&node).unwrap().used_estimate(soon), 2);
    }

    #[test]
    fn a_session_that_came_and_went_between_two_reports_holds_no_slot() {
        let (mut fleet, node) = fleet();
        fleet.reserve(&on(&node), noon());
        fleet.reserve(&on(&node), noon());
        for left in [1, 0, 0] {
            fleet.note_left(&node);
            assert_eq!(fleet.node(&node).unwrap().used_estimate(noon()), left);
        }
    }

    #[test]
    fn a_promise_on_a_forgotten_node_is_no_mistake() {
        let (mut fleet, node) = fleet();
        fleet.forget_silent(ms(0), noon());
        fleet.reserve(&on(&node), noon());
        assert!(fleet.node(&node).is_none());
    }

    #[test]
    fn the_error_share_halves_every_thirty_seconds() {
        let (mut fleet, node) = fleet();
        fleet.note_failed(&node, noon());
        let share = |after| fleet.node(&node).unwrap().error_share(noon() + Duration::from_secs(after)).get();
        for (after, expected) in [(0, 0.2), (30, 0.1), (60, 0.05), (300, 0.2 / 1024.0)] {
            assert!((share(after) - expected).abs() < 1e-6, "{} after {after} s", share(after));
        }
    }

    #[test]
    fn the_error_share_stays_below_one_and_falls_with_every_open() {
        let (mut fleet, node) = fleet();
        (0..100).for_each(|_| fleet.note_failed(&node, noon()));
        let high = fleet.node(&node).unwrap().error_share(noon()).get();
        fleet.note_opened(&node, noon());
        let lower = fleet.node(&node).unwrap().error_share(noon()).get();
        assert!(high > 0.99 && high <= 1.0 && (lower - high * 0.8).abs() < 1e-6);
    }

    #[test]
    fn nodes_that_were_silent_for_the_limit_are_forgotten() {
        let (mut fleet, _) = fleet();
        fleet.report(report("a1", "a"), noon() + ms(1)).unwrap();
        let before = fleet.version();
        let forgotten = fleet.forget_silent(ms(5_000), noon() + ms(5_000));
        assert_eq!(forgotten, ["a0".parse().unwrap()]);
        assert_eq!(fleet.nodes().map(|node| node.report.node.as_str()).collect::<Vec<_>>(), ["a1"]);
        assert!(fleet.version() > before);
    }

    #[test]
    fn an_age_that_is_held_stands_still_and_never_lies_in_the_future() {
        let (mut fleet, node) = fleet();
        let now = noon() + ms(1_500);
        for expected in [1_000, 500, 0, 0] {
            fleet.hold_age(&node, ms(500), now);
            assert_eq!(fleet.node(&node).unwrap().age(now), ms(expected));
        }
    }

    #[test]
    fn a_report_that_lies_is_forced_into_range() {
        let lie = Report {
            soft_slots: u32::MAX,
            hard_slots: u32::MAX,
            used_slots: u32::MAX,
            realtime_factor: f32::NAN,
            chunk_latency_p95: Duration::MAX,
            ..report("a0", "a")
        };
        let (mut fleet, node) = fleet();
        fleet.report(lie, noon()).unwrap();
        let sane = &fleet.node(&node).unwrap().report;
        assert_eq!((sane.soft_slots, sane.hard_slots, sane.used_slots), (10_000, 10_000, 10_000));
        assert_eq!((sane.realtime_factor, sane.chunk_latency_p95), (0.0, Duration::from_secs(60)));
        let sane = Report { soft_slots: 9, hard_slots: 5, realtime_factor: -1.0, ..report("a0", "a") }.sane();
        assert_eq!((sane.soft_slots, sane.hard_slots, sane.realtime_factor), (5, 5, 0.0));
    }
}
