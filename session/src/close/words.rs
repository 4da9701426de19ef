//! The words of an ending: its label and the text of the close frame.

use super::CloseReason;

impl CloseReason {
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
            Self::NothingToResume => "nothing_to_resume",
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
            Self::NothingToResume => "there is no such stream to go on with",
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
}
