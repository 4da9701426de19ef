//! Files on their way to nodes, whichever API they came by: that says what it wants, and how its outcome is told. It knows
//! sessions and engines' answers, and no caller API.
//!
//! * [`Spool`]: the upload, in memory or on disk; everybody reads it there. `way`: whether it goes whole or is cut.
//! * `leg`: one try of a node, whichever API its engine speaks; [`Freight`] is what it is sent.
//! * `whole`: to one node after the other until one answers. `placing`: how routers are asked for nodes.
//! * `cut`: in chunks to as many nodes as there is room on: `sound` makes them, `chunk` gets one heard, `gathered` puts what
//!   was heard together (`merge`: answers in the words of `/v1/listen`; `parts`: what they consist of).

mod chunk;
mod cut;
mod freight;
mod gathered;
mod leg;
mod limits;
mod merge;
mod parts;
mod placing;
mod sound;
mod spool;
mod way;
mod whole;

use std::time::Duration;

use proto::convert::Refused;
use scheduler::Request;
use session::{CloseReason, Usage};

use crate::engines::OpenError;
use crate::engines::listen::{Garbage, hear_file};
use crate::quota::Limited;
use crate::transcript::Transcript;

pub(crate) use cut::{Cutting, News, deliver_cut};
pub(crate) use freight::Freight;
pub use limits::{BadChunkLength, ChunkLength, FileLimits};
pub(crate) use spool::{Spool, Spools};
pub(crate) use way::{Hint, Way, choose};
pub(crate) use whole::deliver_whole;

/// A file, and what is wanted for it.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    /// What the session needs of a node.
    pub(crate) wanted: Request,
    /// The query of its legs.
    pub(crate) query: String,
    /// The type that the upload is said to have.
    pub(crate) content_type: String,
    /// The upload.
    pub(crate) spool: Spool,
}

/// What was heard in a file, or in a chunk of one.
#[derive(Debug)]
pub(crate) enum Heard {
    /// An answer in the words of `/v1/listen`, unread.
    Written(Vec<u8>),
    /// What was heard, understood.
    Words(Transcript),
}

/// What was made of a file.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What engines said of it.
    pub(crate) heard: Heard,
    /// The upload.
    pub(crate) upload: Spool,
    slot: Duration,
}

impl Answer {
    /// Understands it.
    pub(crate) fn transcript(&self) -> Result<Transcript, Failure> {
        match &self.heard {
            Heard::Words(transcript) => Ok(transcript.clone()),
            Heard::Written(body) => hear_file(body).map_err(|Garbage| {
                Failure::new(CloseReason::NodeFailed, "the node's answer makes no sense, please try again")
            }),
        }
    }

    /// Returns what the session used, once it is known how much audio was heard and what the caller is told.
    pub(crate) fn usage(&self, audio: Duration, bytes_out: usize) -> Usage {
        Usage { audio, bytes_in: self.upload.growth().length, bytes_out: bytes_out as u64, slot: self.slot }
    }
}

/// Why no node answered a file, or why there was none to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What the session ends for.
    pub(crate) reason: CloseReason,
    /// What the caller may be told.
    pub(crate) text: String,
    /// The limit that stopped it, where one did.
    pub(crate) limited: Option<Limited>,
}

impl Failure {
    /// Tells of a failure in its own words.
    pub(crate) fn new(reason: CloseReason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into(), limited: None }
    }

    /// Tells why no node serves a session.
    pub(crate) fn no_node(reason: CloseReason) -> Self {
        let text = match reason {
            CloseReason::NotAllowed => {
                "no pool may serve this request: check x-crosspoint-residency and x-crosspoint-compliance"
            }
            CloseReason::NoCapacity => "every node that may serve this request is full, please try again",
            CloseReason::ConcurrencyLimited => "limit: sessions at one time",
            CloseReason::RouterAway => "no router answers, please try again",
            _ => reason.close_text(),
        };
        Self::new(reason, text)
    }

    /// Says what a node means that calls a file bad.
    fn of_caller(status: u16, text: String) -> Self {
        let reason = match status {
            413 => CloseReason::UploadTooBig,
            415 => CloseReason::UnsupportedBody,
            _ => CloseReason::BadAudio,
        };
        Self::new(reason, text)
    }
}

impl From<Refused> for Failure {
    fn from(Refused { refusal, text, .. }: Refused) -> Self {
        let failure = Self::no_node(refusal.into());
        match text {
            Some(text) => Self { text, ..failure },
            None => failure,
        }
    }
}

/// A node that has not answered when it should have.
fn late() -> OpenError {
    OpenError::TryAnother("no answer in time".to_owned())
}
