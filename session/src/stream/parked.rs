//! A caller whose connection is lost, and who may come back: its leg goes on for a while, then its slot is given back; what
//! is not final is kept a while longer. And a stream that goes on where another session ended, because its proxy was lost.

use scheduler::Timestamp;

use super::Session;
use super::Track;
use super::phase::{Caller, Search};
use crate::absence::{Earlier, Merged, Progress};
use crate::close::CloseReason;
use crate::events::{Action, Heard, Layout, Leaving};
use crate::leg::Manner;
use crate::merge::Placed;
use crate::pauses::Pauses;

/// Results of another session that are taken, at most: one for each channel of the last seconds, and more.
const RECALLED: usize = 64;

/// Whether the caller's connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It does.
    Here { since: Timestamp },
    /// It was lost. Unless there is another one in time, the session ends for the reason.
    Away { since: Timestamp, reason: CloseReason },
}

impl Session {
    /// Notes that the caller's connection is lost, or must be let go. A session that may not be parked, or whose caller never
    /// spoke though it could, ends for that reason.
    pub fn caller_lost(&mut self, reason: CloseReason, now: Timestamp) {
        if self.ended().is_some() || self.is_parked() {
            return;
        }
        let never_spoke = reason == CloseReason::CallerSilent && !self.has_audio();
        if self.parking.is_none() || !matches!(self.layout, Layout::Frames { .. }) || never_spoke {
            return self.end(reason);
        }
        self.presence = Presence::Away { since: now, reason };
        self.actions.push_back(Action::Park(reason));
        if self.current.is_none() {
            self.call_off();
        }
    }

    /// Notes that the caller is there again, on a new connection, and sends from what was received on.
    pub fn caller_returned(&mut self, now: Timestamp) {
        if self.ended().is_some() {
            return;
        }
        self.presence = Presence::Here { since: now };
        self.caller_at = now;
        self.drop_broken_frame();
        if self.current.is_none() && self.search == Search::Idle {
            self.seek(now);
        }
    }

    /// Tells whether the caller is awaited.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        matches!(self.presence, Presence::Away { .. })
    }

    /// Returns how far it is; nothing for audio whose samples nobody can count.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        match self.layout {
            Layout::Frames { .. } => Some(Progress { received: self.ring.frame(self.ring.end()), settled: self.fin() }),
            Layout::Units { .. } | Layout::Opaque => None,
        }
    }

    /// Returns how many samples may be accepted that are not final; nothing for audio whose samples nobody can count.
    #[must_use]
    pub fn most_unsettled(&self) -> Option<u64> {
        matches!(self.layout, Layout::Frames { .. }).then(|| self.ring.frame(self.most_bytes() as u64))
    }

    /// Returns how many bytes of audio are kept.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.ring.bytes()
    }

    /// Returns how the leg that serves was joined to the one before.
    #[must_use]
    pub fn merged(&self) -> Merged {
        self.current.as_ref().map_or(Merged::Seam, |leg| leg.merged)
    }

    /// Tells whether the caller may still say what another session told it.
    #[must_use]
    pub fn may_recall(&self) -> bool {
        self.recalls > 0 && !self.has_audio()
    }

    /// Takes a final result that another session told the caller; its times are the stream's. It counts for as long as
    /// [`Session::may_recall`] says so.
    pub fn recall(&mut self, heard: &Heard, now: Timestamp) {
        if !self.may_recall() {
            return;
        }
        self.recalls -= 1;
        self.caller_at = now;
        let timeline = self.timeline;
        let words: Vec<Placed> = heard.words.iter().map(|word| Placed::new(word, 0, timeline)).collect();
        let end = timeline.samples(heard.end);
        self.widen(heard);
        let channel = heard.channel.min(self.tracks.len() - 1);
        self.tracks[channel].commit(words, end, (&self.pauses, timeline));
        if let Some(leg) = self.current.as_mut().filter(|leg| leg.manner == Manner::Verbatim) {
            leg.manner = Manner::Joined(Vec::new());
        }
    }

    /// Goes on where another session ended.
    pub(super) fn go_on_from(&mut self, earlier: Earlier) {
        let Layout::Frames { .. } = self.layout else { return };
        // Positions beyond what any stream has would leave no room to count.
        let from = earlier.from.min(u64::from(u32::MAX) << 8);
        let most = self.most_unsettled().unwrap_or(0);
        self.begins = from;
        self.paid = self.ring.at_frame(earlier.received.min(from.saturating_add(most)));
        self.recalls = RECALLED;
        self.ring.begin_at(self.ring.at_frame(from));
        self.pauses = Pauses::new(from, self.pauses.shortest());
        self.tracks = vec![Track::new(from)];
    }

    /// Tells whether any audio was accepted.
    pub(super) fn has_audio(&self) -> bool {
        self.ring.end() > self.ring.at_frame(self.begins)
    }

    /// Counts the bytes that are paid for of so many that come next.
    pub(super) fn unpaid(&self, bytes: usize) -> u64 {
        let begin = self.ring.end();
        (begin + bytes as u64).saturating_sub(begin.max(self.paid))
    }

    /// When the caller has been away for so long that something of it is let go.
    pub(super) fn parked_deadline(&self) -> Option<Timestamp> {
        let (Presence::Away { since, .. }, Some(parking)) = (self.presence, self.parking) else { return None };
        let rests = self.current.is_none() && self.rival.is_none() && self.search == Search::Idle;
        Some(since + if rests { parking.keep } else { parking.leg.min(parking.keep) })
    }

    pub(super) fn tick_parked(&mut self, now: Timestamp) {
        let (Presence::Away { since, reason }, Some(parking)) = (self.presence, self.parking) else { return };
        if now >= since + parking.keep {
            return self.end(reason);
        }
        self.rest();
    }

    /// Lets every leg go: nobody hears what they say.
    fn rest(&mut self) {
        self.call_off();
        self.suspicion = None;
        if let Some(leg) = self.current.take() {
            self.leave(leg.epoch, &leg.placement, Leaving::Unneeded);
        }
    }

    /// Leaves the rival, and looks for no other node.
    pub(super) fn call_off(&mut self) {
        if let Some(rival) = self.rival.take() {
            self.leave(rival.epoch, &rival.placement, Leaving::Unneeded);
        }
        if let Search::Opening { epoch, placement, .. } = std::mem::replace(&mut self.search, Search::Idle) {
            self.leave(epoch, &placement, Leaving::Unneeded);
        }
    }

    /// Forgets the beginning of a frame whose rest is lost, and a leg that was sent it.
    fn drop_broken_frame(&mut self) {
        let whole = self.ring.at_frame(self.ring.frame(self.ring.end()));
        let broken = self.ring.end() - whole;
        if broken == 0 || self.caller == Caller::Finished {
            return;
        }
        self.ring.truncate(whole);
        self.usage.bytes_in = self.usage.bytes_in.saturating_sub(broken);
        if [&self.current, &self.rival].into_iter().flatten().any(|leg| leg.sent > whole) {
            self.rest();
        }
    }
}
