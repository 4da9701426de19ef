//! How a stream or a file ends: close codes, log fields and metric labels all derive from here.

use axum::extract::ws::{CloseFrame, Utf8Bytes, close_code};

/// The metric label of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Heard to the end.
    Done,
    /// Refused: no slot was free.
    Full,
    /// Refused or ended: a newer leg of the session exists.
    Fenced,
    /// Refused: the request makes no sense.
    Rejected,
    /// The audio cannot be decoded.
    BadAudio,
    /// The caller sent nothing for too long.
    Idle,
    /// The caller went away.
    Gone,
    /// The voice failed.
    Failed,
    /// Refused: the engine is shutting down.
    Draining,
}

impl Outcome {
    /// Names the outcome in metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Full => "full",
            Self::Fenced => "fenced",
            Self::Rejected => "rejected",
            Self::BadAudio => "bad_audio",
            Self::Idle => "idle",
            Self::Gone => "gone",
            Self::Failed => "failed",
            Self::Draining => "draining",
        }
    }
}

/// Why a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The caller closed it properly and everything was said.
    Done,
    /// No frame, or no audio at first, for too long.
    Idle,
    /// The audio cannot be decoded; the words say why.
    BadAudio(String),
    /// A message is larger than 1 MiB.
    TooLarge,
    /// A newer leg of the session was opened.
    Fenced,
    /// The caller left, or does not read what it is sent.
    Gone,
    /// The voice failed.
    Failed,
    /// A fault of the synthetic engine: the connection breaks without a word.
    Broken,
    /// A fault of the synthetic engine: nothing happens any more.
    Hung,
}

impl Ending {
    /// Says how the end is counted.
    pub(crate) const fn outcome(&self) -> Outcome {
        match self {
            Self::Done => Outcome::Done,
            Self::Idle => Outcome::Idle,
            Self::BadAudio(_) | Self::TooLarge => Outcome::BadAudio,
            Self::Fenced => Outcome::Fenced,
            Self::Gone => Outcome::Gone,
            Self::Failed | Self::Broken | Self::Hung => Outcome::Failed,
        }
    }

    /// Makes the close frame, when there is somebody to send one to.
    pub(crate) fn close_frame(&self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Done => (close_code::NORMAL, String::new()),
            Self::Idle => (
                close_code::ERROR,
                "NET-0001: no audio or text within the timeout. See https://dpgr.am/net0001".to_owned(),
            ),
            Self::BadAudio(why) => (close_code::POLICY, reason(&format!("DATA-0000: {why}"))),
            Self::TooLarge => (close_code::SIZE, "message larger than 1 MiB, send audio in smaller frames".to_owned()),
            Self::Fenced => (close_code::POLICY, "fenced by a newer leg".to_owned()),
            Self::Failed => (close_code::ERROR, "the speech engine failed".to_owned()),
            Self::Gone | Self::Broken | Self::Hung => return None,
        };
        Some(CloseFrame { code, reason: Utf8Bytes::from(reason) })
    }
}

/// Cuts a reason to the 123 bytes that a close frame holds.
fn reason(text: &str) -> String {
    text[..text.floor_char_boundary(123)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_to_what_a_close_frame_holds() {
        let ending = Ending::BadAudio("ä".repeat(100));
        let frame = ending.close_frame().expect("there is one");
        assert!(frame.reason.len() <= 123 && frame.reason.starts_with("DATA-0000: ä"), "{}", frame.reason);
    }
}
