//! The state machine of a stream: `ADMIT → LIVE ⇄ SWITCH → CLOSED`.
//!
//! Until the first final reaches the caller, everything it sent is kept, and a node that refuses, dies or stalls costs it
//! nothing: the next candidate gets the replay. After that a lost node ends the stream.

use std::time::Duration;

use bytes::Bytes;
use scheduler::{Placement, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::candidates::{Candidates, Next};
use crate::close::CloseReason;
use crate::ring::{Kept, Ring};

/// Audio of unknown format is taken to be 16 kHz, 16-bit, mono.
const GUESSED_BYTES_PER_SECOND: u64 = 32_000;

/// How long a stream waits for what, and how much it keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The first audio must come this soon after the stream opened.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub first_audio: Duration,
    /// Something, audio or a control message, must come this often.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub silence: Duration,
    /// A node that owes an answer must give it this soon.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub stall: Duration,
    /// Bytes kept for a replay; at the bound the caller is not read any further.
    pub ring_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first_audio: Duration::from_secs(10),
            silence: Duration::from_secs(10),
            stall: Duration::from_secs(15),
            ring_bytes: 1_920_000,
        }
    }
}

/// A caller's message that is not audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Flush what was heard.
    Finalize,
    /// No more audio: flush, then close.
    CloseStream,
    /// Change settings.
    Configure,
}

/// What a node said on a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// A guess that may change.
    Interim {
        /// How far the node has heard.
        end: Duration,
    },
    /// A result that will not change.
    Final {
        /// How far the node has heard.
        end: Duration,
    },
    /// Anything else that the caller may see.
    Event,
    /// The close of the leg.
    Closed(LegClose),
}

/// How a node closed a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegClose {
    /// With 1000.
    Normal,
    /// It cannot decode the audio.
    BadAudio,
    /// It heard nothing from the caller for too long.
    CallerSilent,
    /// With anything else, or without a close.
    Lost,
}

/// What the shell does with the message it has just handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Pass it on.
    Relay,
    /// Do not pass it on.
    Drop,
}

/// What the shell does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a leg to this node.
    Open {
        /// The leg's number; higher than any before.
        epoch: u32,
        /// Where.
        placement: Placement,
    },
    /// Ask the router for more placements, without those that failed.
    Ask,
    /// Send everything in the ring to the leg that has just opened.
    Replay,
    /// End the session.
    End(CloseReason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Admit,
    Live,
    Switch,
    Closed(CloseReason),
}

/// Whether anything final was told to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Something,
}

/// Whether the caller has sent its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Speaking,
    Finished,
}

/// What a session used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Audio accepted from the caller.
    pub audio: Duration,
    /// Bytes of audio accepted from the caller; replays are not counted.
    pub bytes_in: u64,
    /// Bytes of results sent to the caller.
    pub bytes_out: u64,
    /// Time for which a slot was held.
    pub slot: Duration,
}

/// One stream's life.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    bytes_per_second: Option<u64>,
    state: State,
    candidates: Candidates,
    node: Option<Placement>,
    epoch: u32,
    ring: Ring,
    told: Told,
    caller: Caller,
    opened_at: Option<Timestamp>,
    caller_at: Timestamp,
    heard: Duration,
    owed_since: Timestamp,
    owed_bytes: u64,
    answer_due: bool,
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
        let mut session = Self {
            ring: Ring::new(limits.ring_bytes),
            limits,
            bytes_per_second,
            state: State::Admit,
            candidates: Candidates::new(placements),
            node: None,
            epoch: 0,
            told: Told::Nothing,
            caller: Caller::Speaking,
            opened_at: None,
            caller_at: now,
            heard: Duration::ZERO,
            owed_since: now,
            owed_bytes: 0,
            answer_due: false,
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
            State::Admit | State::Live | State::Switch => None,
        }
    }

    /// Tells whether another message may be read from the caller.
    #[must_use]
    pub fn has_room(&self) -> bool {
        match (self.state, self.told) {
            (State::Live, Told::Something) | (State::Closed(_), _) => true,
            (State::Live | State::Switch | State::Admit, _) => self.ring.has_room(),
        }
    }

    /// Returns what was used until `now`.
    #[must_use]
    pub fn usage(&self, now: Timestamp) -> Usage {
        let audio = match self.bytes_per_second {
            Some(rate) if rate > 0 => Duration::from_micros(self.usage.bytes_in.saturating_mul(1_000_000) / rate),
            Some(_) | None => self.heard,
        };
        let slot = self.opened_at.map_or(Duration::ZERO, |opened| now.since(opened));
        Usage { audio, slot, ..self.usage }
    }

    /// Notes that the leg of the last [`Action::Open`] is open.
    pub fn leg_opened(&mut self, now: Timestamp) -> Option<Action> {
        self.opened_at.get_or_insert(now);
        self.owe_nothing(now);
        match self.state {
            State::Admit => {
                self.state = State::Live;
                self.caller_at = now;
                None
            }
            State::Switch => {
                self.state = State::Live;
                self.owed_bytes = self.ring.bytes() as u64;
                self.answer_due = self.caller == Caller::Finished;
                Some(Action::Replay)
            }
            State::Live | State::Closed(_) => None,
        }
    }

    /// Notes that the node refused, could not be reached, died or stalled.
    pub fn leg_failed(&mut self, reason: CloseReason) -> Action {
        if let Some(placement) = &self.node {
            self.candidates.note_failed(placement.node.clone());
        }
        match (self.state, self.told) {
            (State::Closed(ended), _) => Action::End(ended),
            (State::Live, Told::Something) => self.end(reason),
            (State::Live, Told::Nothing) => {
                self.state = State::Switch;
                self.next_node(reason)
            }
            (State::Admit | State::Switch, _) => self.next_node(reason),
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
        self.caller_at = now;
        if self.caller == Caller::Finished {
            return Verdict::Drop;
        }
        self.usage.bytes_in += audio.len() as u64;
        self.owe(audio.len() as u64, now);
        self.keep(|| Kept::Audio(audio.clone()))
    }

    /// Takes a control message from the caller; after `CloseStream` there are no more.
    pub fn caller_control(&mut self, control: Control, raw: &Bytes, now: Timestamp) -> Verdict {
        self.caller_at = now;
        if self.caller == Caller::Finished {
            return Verdict::Drop;
        }
        match control {
            Control::CloseStream => self.caller = Caller::Finished,
            Control::Finalize | Control::Configure => {}
        }
        self.owe(0, now);
        self.answer_due = true;
        self.keep(|| Kept::Control(control, raw.clone()))
    }

    /// Notes a sign of life from the caller: it is passed on but never replayed.
    pub fn caller_alive(&mut self, now: Timestamp) -> Verdict {
        self.caller_at = now;
        match (self.state, self.caller) {
            (State::Live, Caller::Speaking) => Verdict::Relay,
            (State::Live | State::Admit | State::Switch | State::Closed(_), _) => Verdict::Drop,
        }
    }

    /// Notes that the caller could not be read, or need not speak: its silence is not its fault.
    pub fn caller_held(&mut self, now: Timestamp) {
        self.caller_at = now;
    }

    /// Notes that `bytes` of results went to the caller.
    pub fn told_caller(&mut self, bytes: usize) {
        self.usage.bytes_out += bytes as u64;
    }

    /// Takes what the node said on the current leg.
    pub fn leg_said(&mut self, said: Said, now: Timestamp) -> (Verdict, Option<Action>) {
        self.owe_nothing(now);
        match said {
            Said::Interim { end } => {
                self.heard = self.heard.max(end);
                (Verdict::Relay, None)
            }
            Said::Final { end } => {
                self.heard = self.heard.max(end);
                self.commit();
                (Verdict::Relay, None)
            }
            Said::Event => {
                self.commit();
                (Verdict::Relay, None)
            }
            Said::Closed(close) => (Verdict::Drop, Some(self.leg_closed(close))),
        }
    }

    /// Ends the session for a reason that only the shell can see.
    pub fn end(&mut self, reason: CloseReason) -> Action {
        if let State::Closed(first) = self.state {
            return Action::End(first);
        }
        self.state = State::Closed(reason);
        self.ring.clear();
        Action::End(reason)
    }

    /// Returns when [`Session::tick`] must be called at the latest.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.caller_deadline().min(self.stall_deadline().unwrap_or_else(|| self.caller_deadline()))
    }

    /// Looks at the clock.
    pub fn tick(&mut self, now: Timestamp) -> Option<Action> {
        if self.state != State::Live {
            return None;
        }
        if self.stall_deadline().is_some_and(|deadline| now >= deadline) {
            return Some(self.leg_failed(CloseReason::NodeStalled));
        }
        let silent = self.caller == Caller::Speaking && now >= self.caller_deadline();
        silent.then(|| self.end(CloseReason::CallerSilent))
    }

    fn next_node(&mut self, reason: CloseReason) -> Action {
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

    fn keep(&mut self, message: impl FnOnce() -> Kept) -> Verdict {
        if self.told == Told::Nothing {
            self.ring.keep(message());
        }
        match self.state {
            State::Live => Verdict::Relay,
            State::Admit | State::Switch | State::Closed(_) => Verdict::Drop,
        }
    }

    fn commit(&mut self) {
        self.told = Told::Something;
        self.ring.clear();
    }

    fn owe(&mut self, bytes: u64, now: Timestamp) {
        if self.owed_bytes == 0 && !self.answer_due {
            self.owed_since = now;
        }
        self.owed_bytes += bytes;
    }

    fn owe_nothing(&mut self, now: Timestamp) {
        self.owed_since = now;
        self.owed_bytes = 0;
        self.answer_due = self.caller == Caller::Finished;
    }

    fn caller_deadline(&self) -> Timestamp {
        match self.opened_at {
            Some(opened) if self.usage.bytes_in == 0 => opened + self.limits.first_audio,
            Some(_) | None => self.caller_at + self.limits.silence,
        }
    }

    /// A node owes an answer to a control message, and to two seconds of audio.
    fn stall_deadline(&self) -> Option<Timestamp> {
        let rate = self.bytes_per_second.unwrap_or(GUESSED_BYTES_PER_SECOND);
        let owing = self.state == State::Live && (self.answer_due || self.owed_bytes >= 2 * rate);
        owing.then(|| self.owed_since + self.limits.stall)
    }
}
