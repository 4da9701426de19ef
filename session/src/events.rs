//! What a stream's state machine is told, and what it answers.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use scheduler::{NodeId, Placement};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::close::CloseReason;
use crate::stream::MoveEnd;

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
    /// Bytes kept for a replay, at most; audio of a format that cannot be cut is kept whole, and over a fifth of this no more.
    pub ring_bytes: usize,
    /// Audio kept for a replay, at most: then the caller is not read until results come.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub ring: Duration,
    /// Audio without a final result after which the node is asked for one.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub unfinished: Duration,
    /// A node is suspect that does not answer a ping in this time.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub ping: Duration,
    /// A node is suspect that is this far behind and comes no further for two seconds.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub lag: Duration,
    /// How long a stream without a node waits for one.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub wait: Duration,
    /// Nodes in a row that a stream may lose without a final result between them: its audio may be what ends them.
    pub losses: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first_audio: Duration::from_secs(10),
            silence: Duration::from_secs(10),
            stall: Duration::from_secs(15),
            ring_bytes: 20 << 20,
            ring: Duration::from_secs(60),
            unfinished: Duration::from_secs(20),
            ping: Duration::from_secs(2),
            lag: Duration::from_secs(3),
            wait: Duration::from_secs(30),
            losses: 4,
        }
    }
}

/// How a stream's audio can be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Raw frames of one length: anywhere between two of them.
    Frames {
        /// Frames a second: the session's clock.
        rate: NonZeroU32,
        /// Bytes of a frame.
        bytes: NonZeroU32,
    },
    /// Pieces of a container: before each at which a stream may begin.
    Units {
        /// Samples a second: the session's clock.
        rate: NonZeroU32,
        /// Samples that a decoder must hear before what it hears counts.
        preroll: u64,
    },
    /// Nobody knows: it can only be heard from its beginning.
    Opaque,
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

/// A word as a node heard it; times are since the beginning of its leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word, in any spelling.
    pub text: String,
    /// When it begins.
    pub start: Duration,
    /// When it ends.
    pub end: Duration,
}

/// A result; times are since the beginning of its leg.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The channel that it is of, from 0.
    pub channel: usize,
    /// How many channels have results of their own.
    pub channels: usize,
    /// Where it begins.
    pub start: Duration,
    /// How far the node has heard.
    pub end: Duration,
    /// What was said, in order. A result without times of words is one word.
    pub words: Vec<Word>,
    /// What it answers.
    pub answers: Answers,
}

/// What a result answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answers {
    /// Nothing: the node gives it unasked.
    #[default]
    Nothing,
    /// A `Finalize`.
    Finalize,
}

/// What a node said on a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A guess that may change.
    Interim(Heard),
    /// A result that will not change.
    Final(Heard),
    /// Speech began.
    SpeechStarted {
        /// Where in the leg's audio.
        at: Duration,
    },
    /// Nothing was said for a while.
    UtteranceEnd {
        /// Where the last word ended, in the leg's audio.
        at: Duration,
    },
    /// The answer to a `Configure`.
    Configured,
    /// What was heard in all: the last message of a leg.
    Summary,
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

/// Something to tell the caller that is not simply passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// As it came.
    Plain(Bytes),
    /// A result with other words and times.
    Result(Bytes, Change),
    /// A moment, a start of speech or an end of an utterance, at another time.
    Moment(Bytes, Duration),
    /// What was heard in all: so much.
    Summary(Bytes, Duration),
}

/// What becomes of a node's result before the caller sees it. All times are of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whether it is final.
    pub kind: Kind,
    /// Words that the caller has already: the first so many.
    pub dropped: usize,
    /// What is added to every time, in nanoseconds.
    pub shift: i64,
    /// Where it begins; no word begins earlier.
    pub start: Duration,
    /// Where it ends; no word ends later.
    pub end: Duration,
    /// What the caller is told that it answers.
    pub answers: Answers,
}

/// Whether a result will change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It may.
    Interim,
    /// It will not.
    Final,
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
    /// The leg of this epoch serves the stream from now on.
    Adopt(u32),
    /// Close the leg of this epoch, or stop opening it: nothing it says counts any more.
    Leave {
        /// The leg's number; 0 for a slot that was promised and is not used.
        epoch: u32,
        /// Where it is.
        node: NodeId,
        /// Why.
        why: Leaving,
    },
    /// Ping the node of this leg.
    Ping(u32),
    /// Let the caller's connection go, for this reason: the session waits for another one.
    Park(CloseReason),
    /// A move that was ordered is over.
    MoveEnded(MoveEnd),
    /// End the session.
    End(CloseReason),
}

/// Whether a leg is left for its node's sake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// The node failed the session.
    Failed(Cause),
    /// It is not needed.
    Unneeded,
    /// It served, and will go away: another leg has taken over.
    Moved,
}

/// Why a leg was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It could not be opened, broke, or was closed unasked.
    Lost,
    /// It did not answer a ping in time.
    Unanswered,
    /// It fell behind, or gave no results of speech.
    Behind,
    /// It talked nonsense.
    Nonsense,
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
