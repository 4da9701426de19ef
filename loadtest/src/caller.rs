//! One virtual caller: speaks coded audio to anything that speaks Deepgram's `/v1/listen`, checks every word that comes
//! back, and times every result.

mod file;
mod message;
mod metronome;
mod resume;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use audio::Format;
use audio::coded::{Script, Tally};
use thiserror::Error;
use tokio::time::{Instant, sleep_until};

pub use metronome::Metronome;
pub use resume::Loss;

/// What SDKs send: 20 ms of sound per message.
const FRAME: Duration = Duration::from_millis(20);
/// How long a caller waits by default for what should come at once.
const PATIENCE: Duration = Duration::from_secs(15);

/// How fast a caller speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as it is taken.
    Unpaced,
    /// So many times as fast as people speak; a positive number.
    Times(f64),
}

impl Pace {
    /// As fast as people speak.
    pub const REAL_TIME: Self = Self::Times(1.0);

    /// Speaks `factor` times as fast as people do; 0, or anything that is no speed, is as fast as possible.
    #[must_use]
    pub fn factor(factor: f64) -> Self {
        if factor.is_normal() && factor > 0.0 { Self::Times(factor) } else { Self::Unpaced }
    }

    /// Returns how long after the first message the one that follows `audio` is due, if there is a time for it.
    fn due(self, audio: Duration) -> Option<Duration> {
        match self {
            Self::Unpaced => None,
            Self::Times(factor) => Duration::try_from_secs_f64(audio.as_secs_f64() / factor).ok(),
        }
    }
}

/// What a caller says, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speech {
    /// The words.
    pub script: Script,
    /// How the sound is written.
    pub format: Format,
    /// How much sound one message holds.
    pub frame: Duration,
    /// How fast it is said.
    pub pace: Pace,
}

impl Speech {
    /// Says a script as SDKs do by default: 16-bit mono at 16 kHz, 20 ms at a time, in real time.
    #[must_use]
    pub const fn new(script: Script) -> Self {
        Self { script, format: Format::SPEECH, frame: FRAME, pace: Pace::REAL_TIME }
    }

    /// Says it at another pace.
    #[must_use]
    pub const fn at(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    /// Says it in another format.
    #[must_use]
    pub const fn in_format(self, format: Format) -> Self {
        Self { format, ..self }
    }
}

/// One message of audio as it leaves the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When it should have left; the same as `at` for callers without a pace.
    pub due: Instant,
    /// When it was given to the socket.
    pub at: Instant,
}

/// The time a result took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// When the message left that completed the audio the result covers.
    pub sent: Instant,
    /// How long after that the result arrived.
    pub took: Duration,
}

/// A final result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Final {
    /// Where in the audio it begins.
    pub start: Duration,
    /// Where in the audio it ends.
    pub end: Duration,
    /// What was said.
    pub transcript: String,
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The other side closed it.
    Closed {
        /// The close code; 1005 stands for none.
        code: u16,
        /// The reason beside it.
        reason: String,
    },
    /// The connection broke.
    Lost(String),
    /// It was not over when the caller's patience was.
    Late,
}

/// What a caller got for a stream.
#[derive(Clone, Debug)]
pub struct StreamOutcome {
    /// The request's id, as the answer to the handshake had it.
    pub request_id: Option<String>,
    /// When the first message was due.
    pub began: Instant,
    /// Messages of audio that were sent.
    pub messages: u64,
    /// Final results in the order in which they came.
    pub finals: Vec<Final>,
    /// What became of the words.
    pub tally: Tally,
    /// The time each result took, interim or final.
    pub latencies: Vec<Latency>,
    /// Whether the summary that comes before the close was received.
    pub summary: Summary,
    /// How the stream ended.
    pub ending: Ending,
}

/// Whether the `Metadata` message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Summary {
    /// It came.
    Received,
    /// It did not.
    Missing,
}

impl StreamOutcome {
    /// Joins the final transcripts.
    #[must_use]
    pub fn text(&self) -> String {
        joined(self.finals.iter().map(|result| result.transcript.as_str()))
    }

    /// Returns the close code, if the other side closed the stream.
    #[must_use]
    pub const fn close_code(&self) -> Option<u16> {
        match self.ending {
            Ending::Closed { code, .. } => Some(code),
            Ending::Lost(_) | Ending::Late => None,
        }
    }

    /// Tells whether the stream ended as it should: summary, then close code 1000.
    #[must_use]
    pub fn completed(&self) -> bool {
        self.close_code() == Some(1000) && self.summary == Summary::Received
    }
}

/// What a caller got for a file.
#[derive(Clone, Debug)]
pub struct FileOutcome {
    /// What was said.
    pub text: String,
    /// What became of the words.
    pub tally: Tally,
    /// How long the answer took, upload included.
    pub took: Duration,
}

/// A caller was not served.
#[derive(Debug, Error)]
pub enum CallError {
    /// Nobody answers, or not as HTTP demands.
    #[error("cannot call {address}: {cause}")]
    Unreachable {
        /// Who was called.
        address: String,
        /// Why not.
        cause: String,
    },
    /// The answer was no.
    #[error("{address} answered {status}: {body}")]
    Refused {
        /// Who was called.
        address: String,
        /// The HTTP status.
        status: u16,
        /// The body, which says why.
        body: String,
    },
    /// The answer took too long.
    #[error("{address} did not answer within {} s", patience.as_secs_f64())]
    Late {
        /// Who was called.
        address: String,
        /// How long the caller waited.
        patience: Duration,
    },
}

/// A caller: whom it calls, with which key, how long it waits.
#[derive(Clone, Debug)]
pub struct Caller {
    address: String,
    others: Vec<String>,
    loss: Loss,
    key: Option<String>,
    patience: Duration,
    metronome: Option<Arc<Metronome>>,
}

impl Caller {
    /// Calls `address`, such as `127.0.0.1:8080`.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        let (others, loss) = (Vec::new(), Loss::End);
        Self { address: address.into(), others, loss, key: None, patience: PATIENCE, metronome: None }
    }

    /// Shows a key.
    #[must_use]
    pub fn with_key(self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// Waits so long for an answer, and for the end of a stream after its last word; 15 s unless told otherwise.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Speaks to a clock that is finer than the runtime's.
    #[must_use]
    pub fn with_metronome(self, metronome: Arc<Metronome>) -> Self {
        Self { metronome: Some(metronome), ..self }
    }

    async fn wait_until(&self, due: Instant) {
        match &self.metronome {
            Some(metronome) => metronome.until(due).await,
            None => sleep_until(due).await,
        }
    }

    fn authorization(&self) -> Option<String> {
        self.key.as_ref().map(|key| format!("Token {key}"))
    }

    fn unreachable(&self, cause: &dyn std::fmt::Display) -> CallError {
        CallError::Unreachable { address: self.address.clone(), cause: cause.to_string() }
    }

    fn refused(&self, status: u16, body: &[u8]) -> CallError {
        let body = String::from_utf8_lossy(body).into_owned();
        CallError::Refused { address: self.address.clone(), status, body }
    }

    fn late(&self) -> CallError {
        CallError::Late { address: self.address.clone(), patience: self.patience }
    }
}

fn joined<'a>(transcripts: impl Iterator<Item = &'a str>) -> String {
    let spoken: Vec<_> = transcripts.filter(|transcript| !transcript.is_empty()).collect();
    spoken.join(" ")
}

/// Checks the words that were received.
fn tally(script: Script, text: &str) -> Tally {
    let mut checker = audio::coded::Checker::new(script);
    checker.hear(text);
    checker.tally()
}

#[cfg(test)]
mod tests;
