//! Why sessions end. One enum, so that a code, a status, a label and a log line can never disagree.
//!
//! * `codes`: what machines are told. `words`: what people are.

mod codes;
mod words;

use scheduler::Refusal;

/// Whose doing an ending was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The caller asked for it, or did something wrong.
    Caller,
    /// A node did.
    Node,
    /// Crosspoint did: no capacity, or a drain.
    Us,
}

/// The one reason a session ended for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// Everything asked for was delivered.
    Completed,
    /// The caller went away without a close.
    CallerGone,
    /// The caller sent nothing for too long, or no audio in time.
    CallerSilent,
    /// The caller does not read its results.
    CallerSlow,
    /// The request cannot be understood.
    BadRequest,
    /// A parameter's value cannot be taken.
    BadParameter,
    /// There is no such path.
    UnknownPath,
    /// There is no such stream to go on with, or it is somebody else's.
    NothingToResume,
    /// The path does not take this method.
    WrongMethod,
    /// The key opens nothing, or none came.
    Unauthorised,
    /// The key is good, and not for this.
    Forbidden,
    /// The key was revoked while it was in use.
    KeyRevoked,
    /// The key, or the token, expired while it was in use.
    KeyExpired,
    /// The web page that opened the stream is of an origin that is not let in.
    ForeignOrigin,
    /// Nobody offers that model or language.
    UnknownModel,
    /// What was sent is no audio that anything here understands.
    BadAudio,
    /// A frame or a message is over the limit.
    FrameTooBig,
    /// The frames do not follow the WebSocket protocol.
    BadFrames,
    /// A text message is not UTF-8.
    BadText,
    /// Pings come faster than ten a second.
    CallerFlooding,
    /// The key's new sessions or uploads come faster than they may.
    RateLimited,
    /// The key has as many sessions as it may have at one time.
    ConcurrencyLimited,
    /// The key's audio for today is spent.
    QuotaSpent,
    /// The upload is over the limit.
    UploadTooBig,
    /// The upload came too slowly.
    UploadTooSlow,
    /// The body's type or encoding is not taken.
    UnsupportedBody,
    /// No pool may serve this request, whatever its load.
    NotAllowed,
    /// A stream was asked for, and every node with the model hears files only.
    FilesOnly,
    /// Every node that may serve is full.
    NoCapacity,
    /// No node that may serve is alive.
    NoLiveNode,
    /// No router answered.
    RouterAway,
    /// No key can be checked, for the store is away.
    KeysAway,
    /// The node died after it had given results.
    NodeLost,
    /// The node took audio and gave nothing for too long.
    NodeStalled,
    /// The node answered with something that makes no sense.
    NodeFailed,
    /// This proxy is short of memory.
    Overloaded,
    /// This proxy is being replaced.
    Draining,
}

impl CloseReason {
    /// Every reason, for tests and for metrics that start at zero.
    pub const ALL: [Self; 37] = [
        Self::Completed,
        Self::CallerGone,
        Self::CallerSilent,
        Self::CallerSlow,
        Self::BadRequest,
        Self::BadParameter,
        Self::UnknownPath,
        Self::NothingToResume,
        Self::WrongMethod,
        Self::Unauthorised,
        Self::Forbidden,
        Self::KeyRevoked,
        Self::KeyExpired,
        Self::ForeignOrigin,
        Self::UnknownModel,
        Self::BadAudio,
        Self::FrameTooBig,
        Self::BadFrames,
        Self::BadText,
        Self::CallerFlooding,
        Self::RateLimited,
        Self::ConcurrencyLimited,
        Self::QuotaSpent,
        Self::UploadTooBig,
        Self::UploadTooSlow,
        Self::UnsupportedBody,
        Self::NotAllowed,
        Self::FilesOnly,
        Self::NoCapacity,
        Self::NoLiveNode,
        Self::RouterAway,
        Self::KeysAway,
        Self::NodeLost,
        Self::NodeStalled,
        Self::NodeFailed,
        Self::Overloaded,
        Self::Draining,
    ];

    /// Tells whose doing it was.
    #[must_use]
    pub fn blame(self) -> Blame {
        match self {
            Self::NodeLost | Self::NodeStalled | Self::NodeFailed => Blame::Node,
            Self::NoCapacity
            | Self::NoLiveNode
            | Self::RouterAway
            | Self::KeysAway
            | Self::Overloaded
            | Self::Draining => Blame::Us,
            Self::Completed
            | Self::CallerGone
            | Self::CallerSilent
            | Self::CallerSlow
            | Self::BadRequest
            | Self::BadParameter
            | Self::UnknownPath
            | Self::NothingToResume
            | Self::WrongMethod
            | Self::Unauthorised
            | Self::Forbidden
            | Self::KeyRevoked
            | Self::KeyExpired
            | Self::ForeignOrigin
            | Self::UnknownModel
            | Self::BadAudio
            | Self::FrameTooBig
            | Self::BadFrames
            | Self::BadText
            | Self::CallerFlooding
            | Self::RateLimited
            | Self::ConcurrencyLimited
            | Self::QuotaSpent
            | Self::UploadTooBig
            | Self::UploadTooSlow
            | Self::UnsupportedBody
            | Self::NotAllowed
            | Self::FilesOnly => Blame::Caller,
        }
    }
}

impl From<Refusal> for CloseReason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotAllowed => Self::NotAllowed,
            Refusal::Full => Self::NoCapacity,
            Refusal::NoLiveNode => Self::NoLiveNode,
            Refusal::OverLimit => Self::ConcurrencyLimited,
            Refusal::FilesOnly => Self::FilesOnly,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_has_its_own_label() {
        let labels: HashSet<_> = CloseReason::ALL.iter().map(|reason| reason.label()).collect();
        assert_eq!(labels.len(), CloseReason::ALL.len());
    }

    #[test]
    fn a_close_text_fits_a_control_frame() {
        assert!(CloseReason::ALL.iter().all(|reason| reason.close_text().len() <= 123));
    }

    #[test]
    fn only_a_completed_session_closes_with_1000() {
        let clean: Vec<_> = CloseReason::ALL.into_iter().filter(|reason| reason.close_code() == 1000).collect();
        assert_eq!(clean, [CloseReason::Completed]);
    }
}
