//! Legs opened, lost and adopted: how the stream finds its next node.

use std::time::Duration;

use scheduler::{Placement, Timestamp};

use super::phase::{Cover, Hunt, Search, State};
use super::{MoveEnd, Session, Track};
use crate::close::CloseReason;
use crate::events::{Action, Cause, Layout, Leaving, LegClose, Said, Told, Verdict};
use crate::leg::{Leg, Manner};

/// How often the router is asked again while the caller waits for its answer: two more sets of three nodes.
const ADMISSION_ASKS: u32 = 2;
/// Pauses before the router is asked for another node for a stream that goes on.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(200)];
/// The pause before it is asked again after that, and how much longer it may be, in milliseconds.
const PATIENT: u64 = 500;
const JITTER: u64 = 250;
/// Where nobody else can be found, a node that failed so long ago may be tried again.
const FORGIVEN: Duration = Duration::from_secs(3);
/// A leg that is suspect gets another rival after so long.
const NEXT_RIVAL: Duration = Duration::from_secs(5);
/// A rival is preferred to a leg that shows nothing for so long.
const SILENT: Duration = Duration::from_millis(500);

impl Session {
    /// Notes that the leg of an [`Action::Open`] is open.
    pub fn leg_opened(&mut self, epoch: u32, now: Timestamp) {
        let found = match std::mem::replace(&mut self.search, Search::Idle) {
            Search::Opening { epoch: opening, placement, .. } if opening == epoch => placement,
            other => {
                self.search = other;
                return;
            }
        };
        let leg = self.new_leg(epoch, found, now);
        if self.state == State::Admitting {
            self.state = State::Serving;
            self.opened_at = Some(now);
            self.caller_at = now;
        }
        if self.current.is_none() {
            self.adopt(leg, now);
        } else {
            self.rival = Some(leg);
        }
    }

    /// Notes that a leg could not be opened.
    pub fn leg_refused(&mut self, epoch: u32, reason: CloseReason, now: Timestamp) {
        match &self.search {
            Search::Opening { epoch: opening, placement, hunt } if *opening == epoch => {
                let (node, hunt) = (placement.node.clone(), *hunt);
                self.prospects.note_failed(node, now);
                self.refusal = reason;
                self.go_on(hunt, now);
            }
            Search::Opening { .. } | Search::Idle | Search::Asking(_) | Search::Pausing { .. } => {}
        }
    }

    /// Notes that a leg broke, or talks nonsense.
    pub fn leg_failed(&mut self, epoch: u32, cause: Cause, now: Timestamp) {
        let reason = match cause {
            Cause::Nonsense => CloseReason::NodeFailed,
            Cause::Unanswered | Cause::Behind => CloseReason::NodeStalled,
            Cause::Lost => CloseReason::NodeLost,
        };
        self.lose(epoch, (cause, reason), now);
    }

    /// Takes the router's answer to [`Action::Ask`].
    pub fn placed(&mut self, answer: Result<Vec<Placement>, CloseReason>, now: Timestamp) {
        let Search::Asking(hunt) = self.search else {
            // Nobody waits for it any more: the slot that it promises is given back.
            let promised = answer.ok().and_then(|placements| placements.into_iter().next());
            return promised.map_or((), |placement| self.leave(0, &placement, Leaving::Unneeded));
        };
        match answer {
            Ok(placements) => {
                if placements.is_empty() {
                    self.refusal = CloseReason::NoCapacity;
                }
                self.prospects.add(placements, now);
            }
            Err(reason) if self.state == State::Admitting => return self.end(reason),
            Err(reason) => {
                self.refusal = reason;
                self.prospects.fall_back();
            }
        }
        self.go_on(hunt, now);
    }

    /// Begins to look for a node.
    pub(super) fn seek(&mut self, now: Timestamp) {
        self.prospects.begin(now);
        self.go_on(Hunt { began: now, asks: 0 }, now);
    }

    /// Tries the next node, or asks for more.
    fn go_on(&mut self, hunt: Hunt, now: Timestamp) {
        if self.ended().is_some() {
            return;
        }
        if let Some(placement) = self.prospects.advance(now) {
            self.epoch += 1;
            let epoch = self.epoch;
            self.search = Search::Opening { epoch, placement: placement.clone(), hunt };
            return self.actions.push_back(Action::Open { epoch, placement });
        }
        match self.state {
            State::Admitting if hunt.asks < ADMISSION_ASKS => self.ask(hunt),
            State::Admitting => self.end(self.refusal),
            State::Serving => self.ask_later(hunt, now),
            State::Closed(_) => {}
        }
    }

    /// Asks the router now, in a while, or no more.
    fn ask_later(&mut self, hunt: Hunt, now: Timestamp) {
        let soon = PAUSES.get(hunt.asks as usize).copied();
        if soon.is_none() && self.current.is_some() {
            // The leg that serves is only suspect: it may recover.
            self.search = Search::Idle;
            self.rival_after = now + NEXT_RIVAL;
            return;
        }
        if now.since(hunt.began) >= self.limits.wait {
            return self.give_up();
        }
        let pause = soon.unwrap_or_else(|| self.jittered(hunt.asks));
        if pause.is_zero() {
            self.ask(hunt);
        } else {
            self.search = Search::Pausing { until: now + pause, hunt };
        }
    }

    /// Ends a stream for which no node was found.
    pub(super) fn give_up(&mut self) {
        let ours = self.refusal.blame() == crate::close::Blame::Us;
        self.end(if ours { self.refusal } else { CloseReason::NoCapacity });
    }

    pub(super) fn ask(&mut self, hunt: Hunt) {
        self.search = Search::Asking(Hunt { asks: hunt.asks + 1, ..hunt });
        self.actions.push_back(Action::Ask);
    }

    /// Asks again after a pause.
    pub(super) fn ask_again(&mut self, hunt: Hunt, now: Timestamp) {
        if hunt.asks as usize >= PAUSES.len() {
            self.prospects.forgive(FORGIVEN, now);
        }
        self.ask(hunt);
    }

    fn jittered(&self, asks: u32) -> Duration {
        let dice = (self.seed ^ u64::from(asks)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        Duration::from_millis(PATIENT + dice % JITTER)
    }

    /// Makes a leg that is sent what the caller does not have the results of, and what it takes to know them.
    fn new_leg(&mut self, epoch: u32, placement: Placement, now: Timestamp) -> Leg {
        let kept = self.ring.frame(self.ring.base());
        let (pauses, timeline) = (&self.pauses, self.timeline);
        let start = self.tracks.iter().map(|track| track.start(pauses, timeline)).min().unwrap_or(0).max(kept);
        let begin = match (self.cover, self.layout) {
            (Cover::Gone, _) => (0, self.ring.end()),
            (Cover::Whole, Layout::Opaque) => (0, 0),
            (Cover::Whole, Layout::Frames { .. } | Layout::Units { .. }) => self.ring.begin(start),
        };
        Leg::new(epoch, placement, begin, now)
    }

    /// Lets a leg serve.
    pub(super) fn adopt(&mut self, mut leg: Leg, now: Timestamp) {
        let untold = self.tracks.iter().all(|track| track.end() == 0);
        if leg.base != 0 || !untold {
            leg.manner = Manner::Joined(Vec::new());
        }
        let (epoch, held) = (leg.epoch, std::mem::take(&mut leg.held));
        self.owed.pass_on(self.beyond(leg.heard), now);
        self.node = Some(leg.placement.clone());
        self.suspicion = None;
        self.current = Some(leg);
        self.actions.push_back(Action::Adopt(epoch));
        for (said, raw) in held {
            // Whether the caller wants a guess is not known here, and the next one will come.
            let is_guess = matches!(said, Said::Interim(_));
            if self.tell(said, &raw, now) == Verdict::Relay && !is_guess {
                self.told.push_back(Told::Plain(raw));
            }
        }
    }

    /// Takes the close of a leg.
    pub(super) fn leg_closed(&mut self, epoch: u32, close: LegClose, now: Timestamp) {
        use super::phase::Caller;
        let serves = self.is_serving(epoch);
        match (close, self.caller) {
            (LegClose::Normal, Caller::Finished) if serves && self.was_closed(epoch) => {
                self.join_what_is_held(now);
                self.end(CloseReason::Completed);
            }
            (LegClose::BadAudio, _) if serves => self.end(CloseReason::BadAudio),
            (LegClose::CallerSilent, Caller::Speaking) if serves => self.end(CloseReason::CallerSilent),
            (LegClose::Normal | LegClose::Lost | LegClose::CallerSilent | LegClose::BadAudio, _) => {
                self.lose(epoch, (Cause::Lost, CloseReason::NodeLost), now);
            }
        }
    }

    /// Tells whether a leg was sent everything, the close too.
    fn was_closed(&mut self, epoch: u32) -> bool {
        let count = self.asked.count();
        self.leg(epoch).is_some_and(|leg| leg.question == count)
    }

    /// Gives up a leg: the rival takes its place, or another node is looked for.
    pub(super) fn lose(&mut self, epoch: u32, (cause, reason): (Cause, CloseReason), now: Timestamp) {
        if self.ended().is_some() {
            return;
        }
        if let Some(rival) = self.rival.take_if(|leg| leg.epoch == epoch) {
            self.prospects.note_failed(rival.placement.node.clone(), now);
            self.leave(epoch, &rival.placement, Leaving::Failed(cause));
            self.rival_after = now + SILENT;
            return;
        }
        let Some(leg) = self.current.take_if(|leg| leg.epoch == epoch) else { return };
        self.prospects.note_failed(leg.placement.node.clone(), now);
        self.leave(epoch, &leg.placement, Leaving::Failed(cause));
        self.stop_moving(MoveEnd::Overtaken);
        self.note_death(&leg, cause);
        self.suspicion = None;
        self.losses += 1;
        if self.losses > self.limits.losses {
            return self.end(reason);
        }
        if self.is_covered(reason) {
            self.replace(now);
        }
    }

    fn replace(&mut self, now: Timestamp) {
        match self.rival.take() {
            Some(rival) => self.adopt(rival, now),
            None if self.search == Search::Idle && !self.is_parked() => self.seek(now),
            None => {}
        }
    }

    pub(super) fn leave(&mut self, epoch: u32, placement: &Placement, why: Leaving) {
        self.asked.withdraw(epoch);
        self.actions.push_back(Action::Leave { epoch, node: placement.node.clone(), why });
    }

    /// Looks for a rival of a leg that is suspect.
    pub(super) fn suspect(&mut self, cause: Cause, now: Timestamp) {
        self.suspicion = Some(cause);
        let node = self.current.as_ref().map(|leg| leg.placement.node.clone());
        if self.search == Search::Idle && self.rival.is_none() && now >= self.rival_after && self.cover == Cover::Whole
        {
            // Nobody shall be sent to the node that is suspect.
            node.into_iter().for_each(|node| self.prospects.note_failed(node, now));
            self.seek(now);
        }
    }

    /// Sends a rival home: the leg that was suspect lives.
    pub(super) fn acquit(&mut self, now: Timestamp) {
        if self.suspicion.take().is_none() || self.moving.is_some() {
            return;
        }
        self.rival_after = now + NEXT_RIVAL;
        self.call_off();
    }

    /// Returns when the rival may take the place of the leg that is suspect: it must have heard what that has, and that
    /// must be silent, for as long as a ping may go unanswered where that is why it is suspect.
    pub(super) fn rival_due(&self) -> Option<Timestamp> {
        let (rival, current) = (self.rival.as_ref()?, self.current.as_ref()?);
        let reached =
            rival.heard > self.tracks.iter().map(Track::fin).min().unwrap_or(0) || rival.heard >= current.heard;
        let silent = current.health.progress_at() + SILENT;
        let answer = current.health.answer_due(&self.limits).filter(|_| self.suspicion == Some(Cause::Unanswered));
        (reached && rival.heard > rival.base).then(|| answer.map_or(silent, |due| due.max(silent)))
    }

    /// Lets the rival take the place of the leg that is suspect, if it may.
    pub(super) fn decide(&mut self, now: Timestamp) {
        let Some(cause) = self.suspicion.filter(|_| self.rival_due().is_some_and(|due| now >= due)) else { return };
        if let Some(epoch) = self.serving() {
            self.lose(epoch, (cause, CloseReason::NodeStalled), now);
        }
    }
}
