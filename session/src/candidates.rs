//! The nodes a session may still try. A node that failed once is not tried again by the same session.

use std::collections::{BTreeSet, VecDeque};

use scheduler::{NodeId, Placement};

/// How often the router is asked again after its placements all failed: two more sets of three nodes.
const MORE_ASKS: u8 = 2;

/// What to do for a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try this one.
    Try(Placement),
    /// Ask the router for more, without the nodes that failed.
    Ask,
    /// Give up.
    Exhausted,
}

/// Placements not yet tried, in the router's order, and the nodes that failed.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    untried: VecDeque<Placement>,
    failed: BTreeSet<NodeId>,
    asked: u8,
}

impl Candidates {
    /// Starts with the router's first answer.
    #[must_use]
    pub fn new(placements: Vec<Placement>) -> Self {
        Self { untried: placements.into(), failed: BTreeSet::new(), asked: 0 }
    }

    /// Takes the router's next answer.
    pub fn add(&mut self, placements: Vec<Placement>) {
        self.untried.extend(placements);
    }

    /// Says what to do next: try the best untried node, ask for more, or give up.
    pub fn advance(&mut self) -> Next {
        while let Some(placement) = self.untried.pop_front() {
            if !self.failed.contains(&placement.node) {
                return Next::Try(placement);
            }
        }
        if self.asked == MORE_ASKS {
            return Next::Exhausted;
        }
        self.asked += 1;
        Next::Ask
    }

    /// Notes that a node refused, could not be reached, or died.
    pub fn note_failed(&mut self, node: NodeId) {
        self.failed.insert(node);
    }

    /// Returns the nodes that failed this session.
    #[must_use]
    pub fn failed(&self) -> &BTreeSet<NodeId> {
        &self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::placement;

    #[test]
    fn nodes_are_tried_in_the_routers_order() {
        let mut candidates = Candidates::new(vec![placement("a"), placement("b")]);
        let tried = [candidates.advance(), candidates.advance()];
        assert_eq!(tried, [Next::Try(placement("a")), Next::Try(placement("b"))]);
    }

    #[test]
    fn a_node_that_failed_is_passed_over_however_often_the_router_names_it() {
        let mut candidates = Candidates::new(vec![placement("a"), placement("a")]);
        candidates.advance();
        candidates.note_failed("a".parse().unwrap());
        assert_eq!(candidates.advance(), Next::Ask);
        candidates.add(vec![placement("a"), placement("b")]);
        assert_eq!(candidates.advance(), Next::Try(placement("b")));
        assert_eq!(candidates.failed(), &BTreeSet::from(["a".parse().unwrap()]));
    }

    #[test]
    fn the_router_is_asked_twice_and_no_more() {
        let mut candidates = Candidates::default();
        let answers: Vec<_> = (0..4).map(|_| candidates.advance()).collect();
        assert_eq!(answers, [Next::Ask, Next::Ask, Next::Exhausted, Next::Exhausted]);
    }
}
