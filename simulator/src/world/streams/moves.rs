//! Moves: what becomes of the streams of a node that goes, announced or not.

use std::time::Duration;

use rand::Rng;
use scheduler::Timestamp;

use super::{Stream, Waiting, WaitingFor};
use crate::policy::Moves;
use crate::router::Declined;
use crate::world::agenda::Event;
use crate::world::nodes::Phase;
use crate::world::record::Cause;
use crate::world::{NodeNumber, SessionIndex, World};

/// From a node's death to when its streams' proxies know: pings unanswered for 2 s, and some.
const NOTICED_AFTER: f64 = 3.0;
/// Moves ahead of time leave this much of the notice unused.
const NOTICE_MARGIN: Duration = Duration::from_secs(10);

/// Whether a node's end was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::world) enum Warning {
    /// Streams could leave before.
    Given,
    /// Nobody knew.
    None,
}

impl World<'_> {
    /// Ends a node's streams: they know of it after a while, or their callers do and come again.
    pub(in crate::world) fn lose_streams(&mut self, node: NodeNumber, warning: Warning) {
        for session in self.nodes.get(node).streams.clone() {
            self.take_off(session);
            match (self.mechanisms.moves, warning) {
                (Moves::Moved, Warning::None) => {
                    let after = Duration::from_secs_f64(self.dice.random::<f64>() * NOTICED_AFTER);
                    self.agenda.at(self.now + after, Event::Lost(session, node, self.now));
                }
                (Moves::Moved, Warning::Given) => self.seek(session, WaitingFor::Move, self.now),
                (Moves::Retried, Warning::None | Warning::Given) => {
                    self.fail(session, Cause::Dropped);
                    self.seek(session, WaitingFor::Return, self.now);
                }
            }
        }
    }

    /// Looks for another node for a stream whose node died a while ago. Its proxy says so, and routers tell each other.
    pub(in crate::world) fn move_lost(&mut self, session: SessionIndex, node: NodeNumber, since: Timestamp) {
        for router in &mut self.routers {
            router.declined(node, Declined::Silent, self.now);
        }
        if self.streams[session as usize].ends > self.now {
            self.seek(session, WaitingFor::Move, since);
        }
    }

    /// Moves streams off nodes that are about to go, spread over the time that is left.
    pub(in crate::world) fn move_noticed(&mut self) {
        if self.mechanisms.moves == Moves::Retried {
            return;
        }
        for at in 0..self.nodes.live().len() {
            let node = self.nodes.live()[at];
            let left = match self.nodes.get(node).phase {
                Phase::Noticed(end) => end.since(self.now).saturating_sub(NOTICE_MARGIN).as_secs(),
                Phase::Clearing => NOTICE_MARGIN.as_secs(),
                Phase::Booting | Phase::Serving | Phase::Draining | Phase::Gone => continue,
            };
            let streams = &self.nodes.get(node).streams;
            let share = streams.len().div_ceil(usize::try_from(left.max(1)).unwrap_or(1));
            let leaving: Vec<SessionIndex> = streams.iter().copied().take(share).collect();
            for session in leaving {
                self.move_ahead(session);
            }
        }
    }

    /// Opens the new leg before the old one is closed; where there is no slot the stream stays for now.
    fn move_ahead(&mut self, session: SessionIndex) {
        let Stream { node, place, .. } = self.streams[session as usize];
        let mut waiting = Waiting { session, since: self.now, until: self.now, why: WaitingFor::Move, tries: 0 };
        if self.try_place(&mut waiting) {
            if let Some(moved) = self.nodes.take(node, place) {
                self.streams[moved as usize].place = place;
            }
            self.heard_at_once(node);
        }
    }
}
