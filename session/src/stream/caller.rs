//! What the caller sends, and what of it goes to which leg.

use std::time::Duration;

use bytes::Bytes;
use scheduler::Timestamp;

use super::phase::{Caller, Cover, State};
use super::{Outgoing, Session};
use crate::asked::Asker;
use crate::close::CloseReason;
use crate::events::{Control, Layout, Verdict};
use crate::health::{Sent, Speech};

/// Bytes of a replay that are sent at a time.
const PIECE: usize = 8 << 10;
/// A leg is sent no more than so many seconds of audio beyond what it has shown it heard.
const WINDOW: Duration = Duration::from_secs(20);
/// What asks a node for a final result.
pub(super) const FINALIZE: &str = r#"{"type":"Finalize"}"#;

impl Session {
    /// Takes audio from the caller.
    pub fn caller_audio(&mut self, audio: &Bytes, now: Timestamp) -> Verdict {
        if !self.listens() {
            return Verdict::Drop;
        }
        self.caller_at = now;
        self.usage.bytes_in += self.unpaid(audio.len());
        self.owed.add_audio(audio.len(), now);
        let is_live = self.is_live();
        // A live node must not starve for the sake of a replay that may never be needed.
        if is_live && self.layout == Layout::Opaque && self.ring.bytes() >= self.most_bytes() {
            self.cover = Cover::Gone;
        }
        match self.cover {
            Cover::Whole => self.ring.push(audio),
            Cover::Gone => self.ring.pass(audio.len()),
        }
        let verdict = if is_live { self.note_sent(now) } else { Verdict::Drop };
        self.ask_for_results(now);
        self.note_room(now);
        verdict
    }

    /// Takes a control message from the caller; after `CloseStream` there are no more.
    pub fn caller_control(&mut self, control: Control, raw: &Bytes, now: Timestamp) -> Verdict {
        if !self.listens() {
            return Verdict::Drop;
        }
        self.caller_at = now;
        match control {
            Control::CloseStream => {
                self.caller = Caller::Finished;
                self.owed.add_close(now);
            }
            Control::Finalize | Control::Configure => self.owed.add_question(now),
        }
        let is_live = self.is_live();
        self.asked.ask(Asker::Caller, self.ring.end(), (control, raw.clone()));
        match &mut self.current {
            Some(leg) if is_live => {
                leg.question = self.asked.count();
                if control == Control::Finalize {
                    leg.replies.sent(leg.question - 1, self.ring.end());
                }
                Verdict::Relay
            }
            Some(_) | None => Verdict::Drop,
        }
    }

    /// Notes a sign of life from the caller: it is passed on but never replayed.
    pub fn caller_alive(&mut self, now: Timestamp) -> Verdict {
        self.caller_at = now;
        if self.current.is_some() && self.listens() { Verdict::Relay } else { Verdict::Drop }
    }

    /// Notes that the caller could not be read, or need not speak: its silence is not its fault. For the first audio that
    /// is no excuse.
    pub fn caller_held(&mut self, now: Timestamp) {
        self.caller_at = now;
    }

    /// Notes that `bytes` of results went to the caller.
    pub fn told_caller(&mut self, bytes: usize) {
        self.usage.bytes_out += bytes as u64;
    }

    /// Tells whether another message may be read from the caller.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let keeps = !self.is_full();
        let lives = self.layout == Layout::Opaque && self.is_live();
        (keeps || lives) && self.asked.has_room()
    }

    /// Takes the next thing to send on a leg that has not been sent everything.
    pub fn next_for(&mut self, epoch: u32, now: Timestamp) -> Option<Outgoing> {
        let end = self.ring.end();
        let leg = self.leg(epoch)?;
        let (sent, number) = (leg.sent, leg.question);
        let question = self.asked.from(number, epoch);
        if let Some(due) = question.filter(|question| question.at <= sent) {
            let (control, raw, number, at) = (due.control, due.raw.clone(), due.number(), due.at);
            if let Some(leg) = self.leg(epoch) {
                leg.question = number + 1;
                if control == Control::Finalize {
                    leg.replies.sent(number, at);
                }
            }
            return Some(Outgoing::Control(control, raw));
        }
        if sent >= end || self.cover == Cover::Gone || !self.window_is_open(epoch) {
            return None;
        }
        let until = question.map_or(end, |question| question.at);
        if let Some(units) = self.ring.copy_units(sent, until, PIECE) {
            let bytes: usize = units.iter().map(|(_, bytes)| bytes.len()).sum();
            self.sent_on(epoch, sent + bytes as u64, now);
            return (!units.is_empty()).then_some(Outgoing::Units(units));
        }
        let audio = self.ring.copy(sent, until, PIECE);
        self.sent_on(epoch, sent + audio.len() as u64, now);
        (!audio.is_empty()).then_some(Outgoing::Audio(audio))
    }

    /// Tells whether the leg that serves was sent everything, and may be sent more.
    pub(super) fn is_live(&self) -> bool {
        let Some(leg) = &self.current else { return false };
        leg.sent == self.ring.end()
            && self.asked.from(leg.question, leg.epoch).is_none()
            && self.window_is_open(leg.epoch)
    }

    pub(super) fn listens(&self) -> bool {
        self.caller == Caller::Speaking && !matches!(self.state, State::Closed(_))
    }

    /// The most bytes that may be kept.
    pub(super) fn most_bytes(&self) -> usize {
        let rate = self.bytes_per_second.filter(|_| self.layout != Layout::Opaque);
        let Some(rate) = rate else { return self.limits.ring_bytes / super::OPAQUE_SHARE };
        let millis = u64::try_from(self.limits.ring.as_millis()).unwrap_or(u64::MAX);
        usize::try_from(rate.saturating_mul(millis) / 1_000).unwrap_or(usize::MAX).min(self.limits.ring_bytes)
    }

    fn note_sent(&mut self, now: Timestamp) -> Verdict {
        let end = self.ring.end();
        let Some(epoch) = self.serving() else { return Verdict::Drop };
        self.sent_on(epoch, end, now);
        Verdict::Relay
    }

    fn sent_on(&mut self, epoch: u32, sent: u64, now: Timestamp) {
        let speech = if self.pauses.is_speech() { Speech::Heard } else { Speech::None };
        let frame = self.ring.frame(sent);
        let (layout, timeline, limits) = (self.layout, self.timeline, self.limits.clone());
        let Some(leg) = self.leg(epoch) else { return };
        leg.sent = sent;
        if layout != Layout::Opaque {
            let unheard = timeline.time(frame.saturating_sub(leg.heard));
            leg.health.note_sent(Sent { unheard, speech }, &limits, now);
        }
    }

    fn window_is_open(&self, epoch: u32) -> bool {
        let leg = [&self.current, &self.rival].into_iter().flatten().find(|leg| leg.epoch == epoch);
        let unheard = leg.map_or(0, |leg| self.ring.frame(leg.sent).saturating_sub(leg.heard));
        self.layout == Layout::Opaque || self.timeline.time(unheard) <= WINDOW
    }

    /// Asks the node for a final result where none has come for long: in the next pause, or at last anywhere.
    pub(super) fn ask_for_results(&mut self, now: Timestamp) {
        let Some(leg) = self.current.as_ref().filter(|_| self.layout != Layout::Opaque) else { return };
        let unfinished = self.timeline.time(leg.heard.saturating_sub(self.fin()));
        let limit = self.limits.unfinished;
        let due = unfinished > limit && (self.is_pause() || unfinished > limit + limit / 2);
        if due && !self.asked.awaits_finalize() {
            let finalize = (Control::Finalize, Bytes::from_static(FINALIZE.as_bytes()));
            self.asked.ask(Asker::Session, self.ring.end(), finalize);
            self.owed.add_question(now);
        }
    }

    /// Notes since when nothing more can be kept.
    pub(super) fn note_room(&mut self, now: Timestamp) {
        if self.is_full() {
            self.full_since.get_or_insert(now);
        } else {
            self.full_since = None;
        }
    }

    /// Ends the session, or finds another node, where a leg is lost whose audio is not kept.
    pub(super) fn is_covered(&mut self, reason: CloseReason) -> bool {
        if self.cover == Cover::Gone {
            self.end(reason);
        }
        self.cover == Cover::Whole
    }
}
