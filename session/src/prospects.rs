//! The nodes that a stream may move to. A node that failed is not tried again before some time has passed, by when it may
//! have been started again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use scheduler::{NodeId, Placement, Timestamp};

/// A node that failed is left alone for so long.
const SHUNNED: Duration = Duration::from_secs(30);
/// Placements that are older than this come after the router's word.
const FRESH: Duration = Duration::from_secs(30);

/// Placements not yet tried, in the router's order, and the nodes that failed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prospects {
    untried: VecDeque<Placement>,
    placed_at: Timestamp,
    /// Placements of an old answer: for when no router gives another.
    old: VecDeque<Placement>,
    failed: BTreeMap<NodeId, Timestamp>,
}

impl Prospects {
    /// Starts with the router's first answer.
    pub(crate) fn new(placements: Vec<Placement>, now: Timestamp) -> Self {
        Self { untried: placements.into(), placed_at: now, ..Self::default() }
    }

    /// Takes the router's next answer.
    pub(crate) fn add(&mut self, placements: Vec<Placement>, now: Timestamp) {
        self.untried = placements.into();
        self.placed_at = now;
    }

    /// Puts placements behind that have become old.
    pub(crate) fn begin(&mut self, now: Timestamp) {
        if now.since(self.placed_at) > FRESH {
            self.set_aside();
        }
    }

    /// Puts all placements behind: the router shall be asked.
    pub(crate) fn set_aside(&mut self) {
        if !self.untried.is_empty() {
            self.old = std::mem::take(&mut self.untried);
        }
    }

    /// Takes back old placements, for want of others.
    pub(crate) fn fall_back(&mut self) {
        self.untried.append(&mut self.old);
    }

    /// Returns the best node that has neither been tried nor failed lately.
    pub(crate) fn advance(&mut self, now: Timestamp) -> Option<Placement> {
        let failed = self.failed(now);
        std::iter::from_fn(|| self.untried.pop_front()).find(|placement| !failed.contains(&placement.node))
    }

    /// Notes that a node refused, could not be reached, died, or is to be left.
    pub(crate) fn note_failed(&mut self, node: NodeId, now: Timestamp) {
        self.failed.insert(node, now);
        self.failed.retain(|_, at| now.since(*at) < SHUNNED);
    }

    /// Lets nodes be tried again that failed longer ago than `time`.
    pub(crate) fn forgive(&mut self, time: Duration, now: Timestamp) {
        self.failed.retain(|_, at| now.since(*at) < time);
    }

    /// Returns the nodes that failed this session lately.
    pub(crate) fn failed(&self, now: Timestamp) -> BTreeSet<NodeId> {
        let lately = self.failed.iter().filter(|(_, at)| now.since(**at) < SHUNNED);
        lately.map(|(node, _)| node.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::placement;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::at(Duration::from_secs(seconds))
    }

    #[test]
    fn nodes_are_tried_in_the_routers_order() {
        let mut prospects = Prospects::new(vec![placement("a"), placement("b")], at(0));
        let tried: Vec<_> = std::iter::from_fn(|| prospects.advance(at(0))).collect();
        assert_eq!(tried, [placement("a"), placement("b")]);
    }

    #[test]
    fn a_node_that_failed_is_passed_over_however_often_the_router_names_it() {
        let mut prospects = Prospects::new(vec![placement("a"), placement("a")], at(0));
        prospects.advance(at(0));
        prospects.note_failed("a".parse().unwrap(), at(0));
        assert_eq!(prospects.advance(at(1)), None);
        prospects.add(vec![placement("a"), placement("b")], at(29));
        assert_eq!(prospects.advance(at(29)), Some(placement("b")));
        assert_eq!(prospects.failed(at(29)), BTreeSet::from(["a".parse().unwrap()]));
    }

    #[test]
    fn a_node_that_failed_long_ago_may_have_been_started_again() {
        let mut prospects = Prospects::default();
        prospects.note_failed("a".parse().unwrap(), at(0));
        prospects.add(vec![placement("a")], at(30));
        assert_eq!(prospects.advance(at(30)), Some(placement("a")));
        prospects.note_failed("a".parse().unwrap(), at(31));
        prospects.forgive(Duration::from_secs(3), at(34));
        assert!(prospects.failed(at(34)).is_empty());
    }

    #[test]
    fn old_placements_wait_until_nobody_knows_better() {
        let mut prospects = Prospects::new(vec![placement("a")], at(0));
        prospects.begin(at(31));
        assert_eq!(prospects.advance(at(31)), None);
        prospects.fall_back();
        assert_eq!(prospects.advance(at(31)), Some(placement("a")));
    }
}
