//! What became of sessions that asked to be placed, and what the pools have for the next ones: sums for people and metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use scheduler::filter::SUSPECT_AFTER;
use scheduler::{Decision, FleetView, NodeState, Pool, PoolName, Timestamp};

use crate::metrics::refusal_label;

/// The outcome of a session that found a node.
pub(crate) const PLACED: &str = "placed";
/// Every outcome of a decision: placed, or why not.
pub(crate) const OUTCOMES: [&str; 6] = [PLACED, "full", "not_allowed", "no_live_node", "over_limit", "files_only"];

/// Decisions since this router began, by outcome.
#[derive(Debug, Default)]
pub(crate) struct Outcomes(Mutex<BTreeMap<&'static str, u64>>);

impl Outcomes {
    /// Counts a decision.
    pub(crate) fn note(&self, decision: &Decision) {
        let outcome = decision.refusal.map_or(PLACED, refusal_label);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(outcome).or_default() += 1;
    }

    /// Returns how many there were of each.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts: BTreeMap<_, _> = OUTCOMES.into_iter().map(|outcome| (outcome, 0)).collect();
        counts
            .extend(self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(word, count)| (*word, *count)));
        counts
    }
}

/// A pool's nodes, added up. Slots are those of nodes that serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PoolSum {
    pub(crate) name: PoolName,
    pub(crate) nodes: usize,
    pub(crate) serving: usize,
    pub(crate) soft_slots: u32,
    pub(crate) used_slots: u32,
}

impl PoolSum {
    /// Adds up the nodes of one pool.
    pub(crate) fn of(pool: &Pool, fleet: &FleetView, now: Timestamp) -> Self {
        let members: Vec<_> = fleet.nodes().filter(|node| node.report.pool == pool.name).collect();
        let serves =
            |node: &&scheduler::Node<'_>| node.report.state == NodeState::Serving && node.age(now) < SUSPECT_AFTER;
        let serving: Vec<_> = members.iter().filter(|node| serves(node)).collect();
        Self {
            name: pool.name.clone(),
            nodes: members.len(),
            serving: serving.len(),
            soft_slots: serving.iter().map(|node| node.report.soft_slots).sum(),
            used_slots: serving.iter().map(|node| node.report.used_slots).sum(),
        }
    }
}
