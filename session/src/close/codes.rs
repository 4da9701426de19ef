//! The numbers of an ending: WebSocket close code, HTTP status, when to come back.

use super::{Blame, CloseReason};

impl CloseReason {
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
            | Self::NothingToResume
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
            Self::UnknownPath | Self::NothingToResume => 404,
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
}
