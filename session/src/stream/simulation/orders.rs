//! Orders to leave a node that will go away, among other faults and alone.

use scheduler::NodeId;

use super::*;

/// One step in so many brings an order.
const RARE: u32 = 300;
/// Without faults a caller in real time waits no longer for a result while it moves, in milliseconds: the cadence of two
/// nodes, and what is late on the way from either.
const LONGEST_GAP: u64 = 2 * (700 + 60 + 900);
/// Without faults a stream has moved so many milliseconds after it was told to.
const LONGEST_MOVE: u64 = 9_000;

/// An order that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) node: NodeId,
    ordered_at: u64,
    deadline: u64,
}

/// Orders, and what became of them.
#[derive(Debug, Default)]
pub(super) struct Orders {
    are_given: bool,
    pub(super) left: Option<Left>,
    /// How long a caller without faults waited for the first result after a move.
    gaps: Vec<u64>,
    moved_at: Option<(u64, u64)>,
    ends: Vec<MoveEnd>,
}

impl World {
    /// A life among faults and orders.
    fn troubled(seed: u64) -> Self {
        Self { orders: Orders { are_given: true, ..Orders::default() }, ..Self::new(seed, Wrap::Raw, Line::plain()) }
    }

    /// A life with orders only: nodes go away, and say so in time.
    fn calm(seed: u64) -> Self {
        Self { faults_until: 0, poison: None, ..Self::troubled(seed) }
    }

    /// Now and then the node that serves will go away: the session is told when, and the node keeps its word.
    pub(super) fn order(&mut self) {
        let Some(epoch) = self.session.serving().filter(|_| self.orders.are_given) else { return };
        // More are left alone than there are nodes left to go to.
        if self.orders.left.is_some() || self.session.failed(self.at()).len() > 4 || !self.dice.random_ratio(1, RARE) {
            return;
        }
        let node = self.nodes[&epoch].clone();
        let is_calm = self.faults_until == 0;
        let deadline = self.now + self.dice.random_range(if is_calm { 20_000..60_000 } else { 500..60_000 });
        if let Some(leg) = self.legs.get_mut(&epoch).filter(|leg| leg.fault_at > deadline) {
            (leg.fault, leg.fault_at, leg.recovers_at) = (Fault::Dies, deadline, u64::MAX);
        }
        self.orders.left = Some(Left { node: node.clone(), ordered_at: self.now, deadline });
        self.session.move_away(&node, Timestamp::at(Duration::from_millis(deadline)), self.at());
        self.act();
    }

    pub(super) fn move_ended(&mut self, end: MoveEnd) {
        let left = self.orders.left.take().expect("an order ends once");
        self.orders.ends.push(end);
        let has_moved = matches!(end, MoveEnd::Paused | MoveEnd::Unpaused);
        assert!(end != MoveEnd::Late || self.now >= left.deadline);
        assert!(!has_moved || self.now <= left.deadline, "after the deadline the order is void");
        if self.faults_until == 0 && self.caller == Caller::InRealTime {
            assert!(has_moved || end == MoveEnd::Needless, "{end:?} without a fault");
            assert!(self.now - left.ordered_at <= LONGEST_MOVE, "a move took {} ms", self.now - left.ordered_at);
            self.orders.moved_at = has_moved.then_some((self.now, self.result_at));
        }
    }

    pub(super) fn hear_guess(&mut self) {
        self.result_at = self.now;
        self.note_gap();
    }

    pub(super) fn note_gap(&mut self) {
        let Some((_, last)) = self.orders.moved_at.take() else { return };
        let gap = self.now - last;
        assert!(gap <= LONGEST_GAP, "the caller waited {gap} ms for a result");
        self.orders.gaps.push(gap);
    }
}

fn count(lives: &[World], end: MoveEnd) -> usize {
    lives.iter().flat_map(|life| &life.orders.ends).filter(|ended| **ended == end).count()
}

#[test]
fn every_word_reaches_the_caller_once_where_nodes_go_away_and_fail() {
    let lives = lives(World::troubled);
    let moved = count(&lives, MoveEnd::Paused) + count(&lives, MoveEnd::Unpaused);
    assert!(2 * moved > lives.len(), "only {moved} moves in {} lives", lives.len());
    let thwarted = count(&lives, MoveEnd::Overtaken) + count(&lives, MoveEnd::Late);
    assert!(20 * thwarted > lives.len(), "only {thwarted} moves came to nothing");
}

#[test]
fn a_node_that_says_in_time_that_it_goes_costs_no_leg_and_no_wait() {
    let lives = lives(World::calm);
    assert!(lives.iter().all(|life| life.lost == 0 || life.caller == Caller::AtOnce), "a move is no loss");
    let mut gaps: Vec<_> = lives.iter().flat_map(|life| &life.orders.gaps).copied().collect();
    gaps.sort_unstable();
    let (paused, unpaused) = (count(&lives, MoveEnd::Paused), count(&lives, MoveEnd::Unpaused));
    assert!(gaps.len() > lives.len() && paused > 3 * unpaused, "{paused} and {unpaused} moves, {} gaps", gaps.len());
    let middle = gaps[gaps.len() / 2];
    assert!(middle <= 700, "half of the callers waited {middle} ms and more");
}
