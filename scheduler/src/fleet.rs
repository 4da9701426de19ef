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

    fn update(&mut self, report: Report, now: Timestamp) {
        self.report = report.sane();
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
