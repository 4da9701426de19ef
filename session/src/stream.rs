//! The state machine of a stream: `OPENING ⇄ LIVE → CLOSED`. A leg is opened when the session is admitted, and again when
//! it switches.
//!
//! Until the first final reaches the caller, everything it sent is kept, and a node that refuses, dies or stalls costs it
//! nothing: the next candidate gets the replay. After that, or once more was sent than is kept, a lost node ends the stream.

mod clock;
mod phase;
mod speech;

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;
use scheduler::{Placement, Timestamp};

use crate::candidates::{Candidates, Next};
use crate::close::CloseReason;
use crate::events::{Action, Control, LegClose, Limits, Said, Usage, Verdict};
use crate::owed::Owed;
use crate::ring::{Kept, Ring};
use phase::{Caller, Cover, State};
use speech::Speech;

/// Audio of unknown format is taken to be 16 kHz, 16-bit, mono.
const GUESSED_BYTES_PER_SECOND: u64 = 32_000;
/// A node owes an answer to this many seconds of audio, and to control messages.
const OWED_SECONDS: u64 = 2;

/// One stream's life.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    bytes_per_second: Option<NonZeroU64>,
    state: State,
    candidates: Candidates,
    node: Option<Placement>,
    epoch: u32,
    ring: Ring,
    cover: Cover,
    speech: Speech,
    caller: Caller,
    opened_at: Option<Timestamp>,
    caller_at: Timestamp,
    owed: Owed,
    usage: Usage,
}

impl Session {
    /// Begins with the router's placements; the first action opens a leg. `bytes_per_second` is none for containers.
    #[must_use]
    pub fn begin(
        placements: Vec<Placement>,
        bytes_per_second: Option<u64>,
        limits: Limits,
        now: Timestamp,
    ) -> (Self, Action) {
        let bytes_per_second = bytes_per_second.and_then(NonZeroU64::new);
        let rate = bytes_per_second.map_or(GUESSED_BYTES_PER_SECOND, NonZeroU64::get);
        let mut session = Self {
            ring: Ring::new(limits.ring_bytes),
            limits,
            bytes_per_second,
            state: State::Opening,
            candidates: Candidates::new(placements),
            node: None,
            epoch: 0,
            cover: Cover::Whole,
            speech: Speech::default(),
            caller: Caller::Speaking,
            opened_at: None,
            caller_at: now,
            owed: Owed::nothing(rate.saturating_mul(OWED_SECONDS)),
            usage: Usage::default(),
        };
        let action = session.next_node(CloseReason::NoCapacity);
        (session, action)
    }

    /// Returns the current, or last, leg's number.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Returns the node of the current, or last, leg.
    #[must_use]
    pub fn node(&self) -> Option<&Placement> {
        self.node.as_ref()
    }

    /// Returns the nodes a session may still try and those that failed.
    #[must_use]
    pub fn candidates(&self) -> &Candidates {
        &self.candidates
    }

    /// Returns what a new leg must be sent first.
    #[must_use]
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Returns why the session ended, once it has.
    #[must_use]
    pub fn ended(&self) -> Option<CloseReason> {
        match self.state {
            State::Closed(reason) => Some(reason),
            State::Opening | State::Live => None,
        }
    }

    /// Tells whether another message may be read from the caller: without a leg, only as much as is kept.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.state == State::Live || self.ring.has_room()
    }

    /// Returns what was used until `now`.
    #[must_use]
    pub fn usage(&self, now: Timestamp) -> Usage {
        let micros = |rate| self.usage.bytes_in.saturating_mul(1_000_000) / rate;
        let audio = self.bytes_per_second.map_or(self.usage.audio, |rate| Duration::from_micros(micros(rate)));
        let slot = self.opened_at.map_or(Duration::ZERO, |opened| now.since(opened));
        Usage { audio, slot, ..self.usage }
    }

    /// Notes that the leg of the last [`Action::Open`] is open.
    pub fn leg_opened(&mut self, now: Timestamp) -> Option<Action> {
        if self.state != State::Opening {
            return None;
        }
        self.state = State::Live;
        if self.opened_at.is_none() {
            self.opened_at = Some(now);
            self.caller_at = now;
        }
        self.owed.pass_on(self.ring.bytes(), now);
        (!self.ring.is_empty()).then_some(Action::Replay)
    }

    /// Notes that the node refused, could not be reached, died or stalled.
    pub fn leg_failed(&mut self, reason: CloseReason) -> Action {
        if let Some(placement) = &self.node {
            self.candidates.note_failed(placement.node.clone());
        }
        match self.cover {
            Cover::Whole => self.next_node(reason),
            Cover::Gone => self.end(reason),
        }
    }

    /// Takes the router's answer to [`Action::Ask`].
    pub fn placed(&mut self, answer: Result<Vec<Placement>, CloseReason>) -> Action {
        match answer {
            Ok(placements) => {
                self.candidates.add(placements);
                self.next_node(CloseReason::NoCapacity)
            }
            Err(reason) => self.end(reason),
        }
    }

    /// Takes audio from the caller.
    pub fn caller_audio(&mut self, audio: &Bytes, now: Timestamp) -> Verdict {
        if !self.listens() {
            return Verdict::Drop;
        }
        self.caller_at = now;
        self.usage.bytes_in += audio.len() as u64;
        self.owed.add_audio(audio.len(), now);
        self.keep(|| Kept::Audio(audio.clone()))
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
        self.keep(|| Kept::Control(control, raw.clone()))
    }

    /// Notes a sign of life from the caller: it is passed on but never replayed.
    pub fn caller_alive(&mut self, now: Timestamp) -> Verdict {
        self.caller_at = now;
        if self.state == State::Live && self.listens() { Verdict::Relay } else { Verdict::Drop }
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

    /// Takes what the node said on the current leg; without one, nothing can have been said.
    pub fn leg_said(&mut self, said: Said, now: Timestamp) -> (Verdict, Option<Action>) {
        if self.state != State::Live {
            return (Verdict::Drop, None);
        }
        match said {
            Said::Interim { end } => {
                self.usage.audio = self.usage.audio.max(end);
                self.owed.note_progress(now);
            }
            Said::Final { end } => {
                self.usage.audio = self.usage.audio.max(end);
                self.owed.note_answer(now);
                self.uncover();
            }
            Said::SpeechStarted { at } => {
                self.owed.note_progress(now);
                return (self.speech.started(self.epoch, at), None);
            }
            Said::Event => self.owed.note_answer(now),
            Said::Closed(close) => return (Verdict::Drop, Some(self.leg_closed(close))),
        }
        (Verdict::Relay, None)
    }

    /// Ends the session for a reason that only the shell can see. The first reason stays.
    pub fn end(&mut self, reason: CloseReason) -> Action {
        if let State::Closed(first) = self.state {
            return Action::End(first);
        }
        self.state = State::Closed(reason);
        self.ring.clear();
        Action::End(reason)
    }

    fn next_node(&mut self, reason: CloseReason) -> Action {
        if let State::Closed(first) = self.state {
            return Action::End(first);
        }
        self.state = State::Opening;
        match self.candidates.advance() {
            Next::Try(placement) => {
                self.epoch += 1;
                self.node = Some(placement.clone());
                Action::Open { epoch: self.epoch, placement }
            }
            Next::Ask => Action::Ask,
            Next::Exhausted => self.end(reason),
        }
    }

    fn leg_closed(&mut self, close: LegClose) -> Action {
        match (close, self.caller) {
            (LegClose::Normal, Caller::Finished) => self.end(CloseReason::Completed),
            (LegClose::BadAudio, _) => self.end(CloseReason::BadAudio),
            (LegClose::CallerSilent, Caller::Speaking) => self.end(CloseReason::CallerSilent),
            (LegClose::Normal | LegClose::Lost | LegClose::CallerSilent, _) => self.leg_failed(CloseReason::NodeLost),
        }
    }

    fn listens(&self) -> bool {
        self.caller == Caller::Speaking && self.ended().is_none()
    }

    fn keep(&mut self, message: impl FnOnce() -> Kept) -> Verdict {
        if self.cover == Cover::Whole {
            // A live node must not starve for the sake of a replay that may never be needed.
            if self.state == State::Live && !self.ring.has_room() {
                self.uncover();
            } else {
                self.ring.keep(message());
            }
        }
        if self.state == State::Live { Verdict::Relay } else { Verdict::Drop }
    }

    fn uncover(&mut self) {
        self.cover = Cover::Gone;
        self.ring.clear();
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
