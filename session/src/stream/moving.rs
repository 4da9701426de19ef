//! Planned moves, make before break: the node that serves will go away, and says so. Another leg is opened first, and hears
//! what the old one hears; in a pause, or where the last final result ended in one, it takes over, and the old leg is left
//! in peace. Until then the old leg alone speaks to the caller, and what it has told is where the new one goes on: there is
//! never more than one seam, and never a result of both.
//!
//! A move is no loss: it is not held against the audio, nor against the node. Where the old leg breaks meanwhile, the new
//! one takes its place like any other.

use std::time::Duration;

use bytes::Bytes;
use scheduler::{NodeId, Timestamp};

use super::Session;
use super::caller::FINALIZE;
use super::phase::{Cover, Search};
use crate::events::{Action, Control, Layout, Leaving};
use crate::merge::Seam;
use crate::track::Track;

/// How long a new leg that has heard as much waits for a pause.
const PATIENCE: Duration = Duration::from_secs(5);
/// Nobody waits for a pause when so little time is left: streams shall be gone five seconds before their node.
const HASTE: Duration = Duration::from_secs(6);
/// While a stream moves, it looks so often whether it may.
const LOOK: Duration = Duration::from_millis(100);
/// After a search for another node that found none, the next begins so much later than the one before did.
const RETRY: Duration = Duration::from_secs(2);
/// A new leg that is so little behind the old one is as good as level with it: the rest is its cadence.
const NEAR: Duration = Duration::from_secs(1);

/// How a planned move ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveEnd {
    /// Another node serves, from a pause on.
    Paused,
    /// Another node serves; there was no pause, or no time to wait for one.
    Unpaused,
    /// The node was lost before another had taken over.
    Overtaken,
    /// No other node had taken over by the deadline.
    Late,
    /// No other node can take over: too little of the audio is kept.
    Impossible,
    /// The stream is elsewhere, or as good as over.
    Needless,
}

/// A move that was ordered and is not over.
#[derive(Debug)]
pub(super) struct Moving {
    from: NodeId,
    /// When the node goes away.
    deadline: Timestamp,
    /// When to look at it again.
    look_at: Timestamp,
    /// When another node may be looked for.
    seek_at: Timestamp,
    /// Since when the new leg is near the old one.
    near_since: Option<Timestamp>,
    /// Up to where the old leg was asked for a final result.
    finalized: Option<u64>,
}

impl Session {
    /// Leaves a node before a deadline, if it serves this stream. Without another node the stream stays, and tries again.
    /// How it ended comes as [`Action::MoveEnded`], at once where there is nothing to be done.
    pub fn move_away(&mut self, node: &NodeId, deadline: Timestamp, now: Timestamp) {
        let serves = self.current.as_ref().is_some_and(|leg| leg.placement.node == *node);
        if !serves || !self.listens() {
            return self.actions.push_back(Action::MoveEnded(MoveEnd::Needless));
        }
        match &mut self.moving {
            Some(moving) => moving.deadline = moving.deadline.min(deadline),
            None => {
                let from = node.clone();
                let (near_since, finalized) = (None, None);
                self.moving = Some(Moving { from, deadline, look_at: now, seek_at: now, near_since, finalized });
            }
        }
        self.go_on_moving(now);
    }

    /// Returns when a stream that moves must be looked at again.
    pub(super) fn moving_deadline(&self) -> Option<Timestamp> {
        self.moving.as_ref().map(|moving| moving.look_at.min(moving.deadline))
    }

    /// Takes the next step of a move, if one is due.
    pub(super) fn go_on_moving(&mut self, now: Timestamp) {
        let Some(moving) = &mut self.moving else { return };
        moving.look_at = now + LOOK;
        let (is_late, may_seek) = (now >= moving.deadline, now >= moving.seek_at);
        if is_late || self.cover == Cover::Gone || !self.listens() {
            let end = if is_late { MoveEnd::Late } else { MoveEnd::Needless };
            return self.stop_moving(if self.cover == Cover::Gone { MoveEnd::Impossible } else { end });
        }
        if self.rival.is_some() {
            self.move_if_due(now);
        } else if self.search == Search::Idle && may_seek {
            self.seek_to_move(now);
        }
    }

    /// Looks for a node: the router knows best which of them stay.
    fn seek_to_move(&mut self, now: Timestamp) {
        let Some(moving) = &mut self.moving else { return };
        moving.seek_at = now + RETRY;
        (moving.near_since, moving.finalized) = (None, None);
        self.prospects.note_failed(moving.from.clone(), now);
        self.prospects.set_aside();
        self.seek(now);
    }

    /// Lets the new leg take over once it is level with the old one and the seam is safe, or nothing better will come.
    fn move_if_due(&mut self, now: Timestamp) {
        let (Some(rival), Some(current)) = (&self.rival, &self.current) else { return };
        let behind = self.timeline.time(current.heard.max(self.fin()).saturating_sub(rival.heard));
        let (is_near, has_shown) = (behind <= NEAR, rival.heard > rival.base);
        let is_silent = self.ring.end() == 0 || self.is_silent_since_final();
        let has_nothing_to_show = is_silent && rival.sent == self.ring.end();
        let is_level = (behind.is_zero() && has_shown) || has_nothing_to_show;
        let Some(moving) = &mut self.moving else { return };
        if is_near {
            moving.near_since.get_or_insert(now);
        }
        let waited = moving.near_since.is_some_and(|since| now >= since + PATIENCE) || self.layout == Layout::Opaque;
        let is_urgent = now + HASTE >= moving.deadline;
        let is_safe = self.tracks.iter().all(|track| track.before().seam == Seam::Safe);
        if is_level && is_safe {
            self.take_over(MoveEnd::Paused, now);
        } else if (is_near && waited) || (has_shown && is_urgent) {
            self.take_over(MoveEnd::Unpaused, now);
        } else if is_near && !is_safe {
            self.ask_to_move();
        }
    }

    /// Asks the old leg, and nobody else, for its last words up to here, once in every pause.
    fn ask_to_move(&mut self) {
        let Some(since) = self.pauses.paused_since().filter(|_| !self.asked.awaits_finalize()) else { return };
        let (Some(moving), Some(current)) = (&mut self.moving, &self.current) else { return };
        if moving.finalized.is_some_and(|finalized| since <= finalized) {
            return;
        }
        moving.finalized = Some(self.ring.frame(self.ring.end()));
        let finalize = (Control::Finalize, Bytes::from_static(FINALIZE.as_bytes()));
        self.asked.ask_leg(current.epoch, self.ring.end(), finalize);
    }

    /// Tells whether everything that was said is final.
    fn is_silent_since_final(&self) -> bool {
        let fin = self.tracks.iter().map(Track::fin).min().unwrap_or(0);
        self.pauses.paused_since().is_some_and(|since| since <= fin)
    }

    fn take_over(&mut self, how: MoveEnd, now: Timestamp) {
        let Some(rival) = self.rival.take() else { return };
        self.stop_moving(how);
        if let Some(old) = self.current.take() {
            self.leave(old.epoch, &old.placement, Leaving::Moved);
        }
        self.adopt(rival, now);
    }

    /// Ends a move, and sends the new leg home if nobody else needs it.
    pub(super) fn stop_moving(&mut self, end: MoveEnd) {
        if self.moving.take().is_none() {
            return;
        }
        self.actions.push_back(Action::MoveEnded(end));
        let is_wanted = self.current.is_none() || self.suspicion.is_some();
        if !is_wanted {
            self.call_off();
        }
    }
}
