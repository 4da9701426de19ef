//! What a stream's state machine is told, and what it answers.

use std::time::Duration;

use scheduler::Placement;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::close::CloseReason;

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
    /// Bytes kept for a replay, 64 more for each message; a stream that sends more before its first final cannot move.
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
    /// Speech began.
    SpeechStarted {
        /// Where in the audio.
        at: Duration,
    },
    /// Anything else that the caller may see; after a switch it may come again.
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
