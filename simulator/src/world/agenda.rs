//! What will happen, by time; at equal times in the order in which it was arranged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use scheduler::Timestamp;

use super::{NodeNumber, SessionIndex};

/// Something that will happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A stream has said all.
    End(SessionIndex),
    /// A node takes its first stream.
    Ready(NodeNumber),
    /// A node's notice is over.
    Kill(NodeNumber),
    /// A node dies without a word.
    Crash(NodeNumber),
    /// A stream's node died then, and by now its proxy knows.
    Lost(SessionIndex, NodeNumber, Timestamp),
    /// A spot pool will have fewer nodes soon: this many.
    SpotNotice(usize, u32),
    /// A spot pool has this many nodes at most.
    SpotDrop(usize, u32),
    /// A failure of the scenario gives notice.
    ZoneNotice(usize),
    /// A failure of the scenario begins.
    Outage(usize),
    /// Nodes of a pool become slow, or are themselves again.
    Gray(usize),
    /// Reports, files, waiting streams.
    Tick(u64),
    /// The fleet is sized, as it is every ten seconds.
    Plan,
    /// The fleet is sized, because a notice came.
    PlanAtOnce,
}

/// The agenda.
#[derive(Default)]
pub(super) struct Agenda {
    events: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    arranged: u64,
}

impl Agenda {
    /// Arranges an event.
    pub(super) fn at(&mut self, at: Timestamp, event: Event) {
        self.arranged += 1;
        self.events.push(Reverse((at, self.arranged, event)));
    }

    /// Returns when the next event happens.
    pub(super) fn next_time(&self) -> Option<Timestamp> {
        self.events.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Takes the next event, if it happens by now.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<Event> {
        if self.next_time()? > now {
            return None;
        }
        self.events.pop().map(|Reverse((_, _, event))| event)
    }
}
