//! Why sessions end. One enum, so that a code, a status, a label and a log line can never disagree.

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
    pub const ALL: [Self; 36] = [
        Self::Completed,
        Self::CallerGone,
        Self::CallerSilent,
        Self::CallerSlow,
        Self::BadRequest,
        Self::BadParameter,
        Self::UnknownPath,
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

    /// Returns the reason as one word, for metric labels and log fields.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::CallerGone => "caller_gone",
            Self::CallerSilent => "caller_silent",
            Self::CallerSlow => "caller_slow",
            Self::BadRequest => "bad_request",
            Self::BadParameter => "bad_parameter",
            Self::UnknownPath => "unknown_path",
            Self::WrongMethod => "wrong_method",
            Self::Unauthorised => "unauthorised",
            Self::Forbidden => "forbidden",
            Self::KeyRevoked => "key_revoked",
            Self::KeyExpired => "key_expired",
            Self::ForeignOrigin => "foreign_origin",
            Self::UnknownModel => "unknown_model",
            Self::BadAudio => "bad_audio",
            Self::FrameTooBig => "frame_too_big",
            Self::BadFrames => "bad_frames",
            Self::BadText => "bad_text",
            Self::CallerFlooding => "caller_flooding",
            Self::RateLimited => "rate_limited",
            Self::ConcurrencyLimited => "concurrency_limited",
            Self::QuotaSpent => "quota_spent",
            Self::UploadTooBig => "upload_too_big",
            Self::UploadTooSlow => "upload_too_slow",
            Self::UnsupportedBody => "unsupported_body",
            Self::NotAllowed => "not_allowed",
            Self::FilesOnly => "files_only",
            Self::NoCapacity => "no_capacity",
            Self::NoLiveNode => "no_live_node",
            Self::RouterAway => "router_away",
            Self::KeysAway => "keys_away",
            Self::NodeLost => "node_lost",
            Self::NodeStalled => "node_stalled",
            Self::NodeFailed => "node_failed",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
        }
    }

    /// Returns the WebSocket close code.
    #[must_use]
    pub fn close_code(self) -> u16 {
        match self {
            Self::Completed => 1000,
            Self::CallerGone => 1001,
            Self::BadFrames => 1002,
            Self::BadText => 1007,
            Self::BadAudio
            | Self::CallerSlow
            | Self::CallerFlooding
            | Self::RateLimited
            | Self::ConcurrencyLimited
            | Self::QuotaSpent
            | Self::BadRequest
            | Self::BadParameter
            | Self::UnknownPath
            | Self::WrongMethod
            | Self::Unauthorised
            | Self::Forbidden
            | Self::KeyRevoked
            | Self::KeyExpired
            | Self::ForeignOrigin
            | Self::UnknownModel
            | Self::UnsupportedBody
            | Self::UploadTooSlow
            | Self::NotAllowed
            | Self::FilesOnly => 1008,
            Self::FrameTooBig | Self::UploadTooBig => 1009,
            Self::CallerSilent | Self::NodeLost | Self::NodeStalled | Self::NodeFailed => 1011,
            Self::Draining => 1012,
            Self::NoCapacity | Self::NoLiveNode | Self::RouterAway | Self::KeysAway | Self::Overloaded => 1013,
        }
    }

    /// Returns the text of the close frame: at most 123 bytes.
    #[must_use]
    pub fn close_text(self) -> &'static str {
        match self {
            Self::Completed | Self::CallerGone => "",
            Self::CallerSilent => "NET-0001: no audio or text for 10 s. See https://dpgr.am/net0001",
            Self::NodeStalled => "NET-0000: no response in time. See https://dpgr.am/net0000",
            Self::BadAudio => "DATA-0000: the audio cannot be decoded",
            Self::CallerSlow => "results are not being read",
            Self::BadRequest => "bad request",
            Self::BadParameter => "bad parameter",
            Self::UnknownPath => "unknown path",
            Self::WrongMethod => "wrong method",
            Self::Unauthorised => "invalid credentials",
            Self::Forbidden => "the key does not allow this",
            Self::KeyRevoked => "the key was revoked",
            Self::KeyExpired => "the key or token has expired, please open a new stream with a new one",
            Self::ForeignOrigin => "origin not allowed",
            Self::UnknownModel => "unknown model",
            Self::FrameTooBig => "message over 1 MiB",
            Self::BadFrames => "malformed frame",
            Self::BadText => "text that is not UTF-8",
            Self::CallerFlooding => "more than 10 pings a second",
            Self::RateLimited => "too many new sessions, please try again later",
            Self::ConcurrencyLimited => "too many sessions at one time, please try again later",
            Self::QuotaSpent => "the audio for today is spent",
            Self::UploadTooBig => "upload too big",
            Self::UploadTooSlow => "upload too slow",
            Self::UnsupportedBody => "unsupported body",
            Self::NotAllowed => "no pool may serve this request",
            Self::FilesOnly => "this model hears files only: send the audio as a file",
            Self::NoCapacity => "no capacity, please try again",
            Self::NoLiveNode => "no node is available, please try again",
            Self::RouterAway => "no router answers, please try again",
            Self::KeysAway => "keys cannot be checked now, please try again",
            Self::NodeLost => "the node serving this stream was lost",
            Self::NodeFailed => "the node serving this stream failed",
            Self::Overloaded => "this proxy is overloaded, please try again",
            Self::Draining => "this proxy is restarting, please reconnect",
        }
    }

    /// Returns the HTTP status.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::Completed => 200,
            Self::BadRequest
            | Self::BadParameter
            | Self::UnknownModel
            | Self::BadAudio
            | Self::BadFrames
            | Self::BadText
            | Self::NotAllowed
            | Self::FilesOnly => 400,
            Self::Unauthorised | Self::KeyRevoked | Self::KeyExpired => 401,
            Self::Forbidden | Self::ForeignOrigin => 403,
            Self::UnknownPath => 404,
            Self::WrongMethod => 405,
            Self::CallerSilent | Self::CallerSlow | Self::UploadTooSlow => 408,
            Self::FrameTooBig | Self::UploadTooBig => 413,
            Self::UnsupportedBody => 415,
            Self::CallerFlooding | Self::RateLimited | Self::ConcurrencyLimited | Self::QuotaSpent => 429,
            Self::CallerGone => 499,
            Self::NodeLost | Self::NodeFailed => 502,
            Self::NoCapacity
            | Self::NoLiveNode
            | Self::RouterAway
            | Self::KeysAway
            | Self::Overloaded
            | Self::Draining => 503,
            Self::NodeStalled => 504,
        }
    }

    /// Returns after how many seconds a caller should try again: that can help where it was not the caller's fault, or where
    /// the caller may do later what it may not do now.
    #[must_use]
    pub fn retry_after_seconds(self) -> Option<u32> {
        match self.blame() {
            Blame::Caller if matches!(self, Self::RateLimited | Self::ConcurrencyLimited) => Some(2),
            Blame::Caller => None,
            Blame::Node => Some(1),
            Blame::Us => Some(2),
        }
    }

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
