//! What time alone brings about: a caller that says nothing for too long, a node that shows nothing for too long, a search
//! that goes on.

use std::time::Duration;

use scheduler::Timestamp;

use super::parked::Presence;
use super::phase::{Cover, Search};
use super::{OWED_SECONDS, Session};
use crate::close::CloseReason;
use crate::events::{Action, Cause, Layout};
use crate::leg::Leg;

/// How long a stream stands still that can keep no more audio, before its leg is given up.
const STUCK: Duration = Duration::from_secs(30);
/// A rival that shows nothing for so long is none.
const RIVAL: Duration = Duration::from_secs(5);

impl Session {
    /// Returns when [`Session::tick`] must be called at the latest, if time alone can bring anything about.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.ended().is_none().then_some(())?;
        let due = [self.caller_deadline(), self.stall_deadline(), self.stuck_deadline(), self.search_deadline()];
        let ping = self.current.as_ref().and_then(|leg| leg.health.ping_due());
        let suspect = self.suspect_deadline().map(|(at, _)| at);
        let rival = self.suspicion.and_then(|_| self.rival_due());
        let besides = [self.rival_deadline(), self.moving_deadline(), self.parked_deadline()];
        due.into_iter().chain([ping, suspect, rival]).chain(besides).flatten().min()
    }

    /// Looks at the clock.
    pub fn tick(&mut self, now: Timestamp) {
        let past = |deadline: Option<Timestamp>| deadline.is_some_and(|at| now >= at);
        if self.ended().is_some() {
            return;
        }
        if past(self.caller_deadline()) {
            return self.caller_lost(CloseReason::CallerSilent, now);
        }
        if past(self.parked_deadline()) {
            return self.tick_parked(now);
        }
        if past(self.stall_deadline()) || past(self.stuck_deadline()) {
            self.give_up_leg(now);
        }
        if let Some(epoch) = self.rival.as_ref().map(|leg| leg.epoch).filter(|_| past(self.rival_deadline())) {
            self.lose(epoch, (Cause::Behind, CloseReason::NodeStalled), now);
        }
        self.tick_current(now);
        self.decide(now);
        if past(self.moving_deadline()) {
            self.go_on_moving(now);
        }
        if let Search::Pausing { until, hunt } = self.search
            && now >= until
        {
            self.ask_again(hunt, now);
        } else if past(self.search_deadline()) {
            self.give_up();
        }
    }

    fn tick_current(&mut self, now: Timestamp) {
        if let Some((_, cause)) = self.suspect_deadline().filter(|(at, _)| now >= *at) {
            self.suspect(cause, now);
        }
        if let Some(leg) = self.current.as_mut().filter(|leg| leg.health.wants_ping(now)) {
            leg.health.note_ping(now);
            self.actions.push_back(Action::Ping(leg.epoch));
        }
    }

    fn give_up_leg(&mut self, now: Timestamp) {
        self.full_since = None;
        if let Some(epoch) = self.serving() {
            self.lose(epoch, (Cause::Behind, CloseReason::NodeStalled), now);
        }
    }

    /// The caller may be silent before its first leg is open, for it is not read then, and after its last message.
    fn caller_deadline(&self) -> Option<Timestamp> {
        let opened = self.opened_at.filter(|_| self.listens())?;
        let Presence::Here { since } = self.presence else { return None };
        match self.has_audio() {
            false => Some(opened.max(since) + self.limits.first_audio),
            true => Some(self.caller_at + self.limits.silence),
        }
    }

    fn stall_deadline(&self) -> Option<Timestamp> {
        let since = self.owed.since().filter(|_| self.current.is_some());
        since.map(|since| since + self.limits.stall)
    }

    fn stuck_deadline(&self) -> Option<Timestamp> {
        let since = self.full_since.filter(|_| self.current.is_some() && self.cover == Cover::Whole)?;
        Some(since.max(self.fin_at) + STUCK)
    }

    /// When the leg that serves becomes suspect, and gets a rival.
    fn suspect_deadline(&self) -> Option<(Timestamp, Cause)> {
        let seeks = self.search != Search::Idle || self.rival.is_some();
        // Another leg that is there for a move is no answer to a suspicion that nobody had.
        let is_answered = (seeks && self.suspicion.is_some()) || self.cover == Cover::Gone;
        let leg = self.current.as_ref().filter(|_| !is_answered)?;
        let (at, cause) = leg.health.suspect_at(&self.limits)?;
        Some((at.max(self.rival_after), cause))
    }

    /// A rival that was sent next to nothing need not show anything.
    fn rival_deadline(&self) -> Option<Timestamp> {
        let unheard = |leg: &Leg| self.ring.frame(leg.sent).saturating_sub(leg.heard);
        let owes = |leg: &&Leg| {
            self.layout == Layout::Opaque || self.timeline.time(unheard(leg)) > Duration::from_secs(OWED_SECONDS)
        };
        self.rival.as_ref().filter(owes).map(|leg| leg.health.progress_at() + RIVAL)
    }

    /// When the search has its next turn, or has lasted long enough.
    fn search_deadline(&self) -> Option<Timestamp> {
        let ends = |began: Timestamp| self.current.is_none().then(|| began + self.limits.wait);
        match (&self.search, self.opened_at) {
            (Search::Pausing { until, .. }, _) => Some(*until),
            (Search::Asking(hunt) | Search::Opening { hunt, .. }, Some(_)) => ends(hunt.began),
            (Search::Asking(_) | Search::Opening { .. }, None) | (Search::Idle, _) => None,
        }
    }
}
