//! What time alone brings about: a caller that says nothing for too long, a node that owes an answer for too long.

use scheduler::Timestamp;

use super::Session;
use super::phase::State;
use crate::close::CloseReason;
use crate::events::Action;

impl Session {
    /// Returns when [`Session::tick`] must be called at the latest, if time alone can bring anything about.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        [self.caller_deadline(), self.stall_deadline()].into_iter().flatten().min()
    }

    /// Looks at the clock.
    pub fn tick(&mut self, now: Timestamp) -> Option<Action> {
        let past = |deadline: Option<Timestamp>| deadline.is_some_and(|at| now >= at);
        if past(self.stall_deadline()) {
            return Some(self.leg_failed(CloseReason::NodeStalled));
        }
        past(self.caller_deadline()).then(|| self.end(CloseReason::CallerSilent))
    }

    /// The caller may be silent before its first leg is open, for it is not read then, and after its last message.
    fn caller_deadline(&self) -> Option<Timestamp> {
        let opened = self.opened_at.filter(|_| self.listens())?;
        match self.usage.bytes_in {
            0 => Some(opened + self.limits.first_audio),
            _ => Some(self.caller_at + self.limits.silence),
        }
    }

    fn stall_deadline(&self) -> Option<Timestamp> {
        let since = self.owed.since().filter(|_| self.state == State::Live);
        since.map(|since| since + self.limits.stall)
    }
}
