//! Requests that are not served: status, body and headers of each reason in one place.

use audio::AudioError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use uuid::Uuid;

use crate::ending::Outcome;
use crate::fence::Stale;
use crate::query::QueryError;

/// Why a request is refused before anything was heard, or a file after.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// A parameter cannot be used.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A header of ours cannot be read.
    #[error("expected {expected} in the header {name}")]
    Header {
        /// The header.
        name: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// A stream was asked for without a WebSocket.
    #[error("this path streams over a WebSocket ({0}); POST a file instead")]
    NotWebSocket(String),
    /// The file cannot be decoded.
    #[error("Bad Request: failed to process audio: corrupt or unsupported data: {0}")]
    BadAudio(AudioError),
    /// The file is longer than what is heard in one request.
    #[error("{0}")]
    TooLong(AudioError),
    /// The file is larger than what is kept on disk.
    #[error("the file is larger than {} GiB, send it in parts", .0 >> 30)]
    TooLarge(u64),
    /// The file cannot be kept on disk.
    #[error("cannot keep the upload while it is heard: {0}")]
    NoRoom(std::io::ErrorKind),
    /// The upload stopped.
    #[error("no audio received within the timeout")]
    Slow,
    /// The upload broke off.
    #[error("the upload ended before its end")]
    Cut,
    /// The body names a file instead of being one.
    #[error("this engine does not download audio: send the file itself as the body, not a JSON document")]
    Json,
    /// Every slot is taken.
    #[error("all {0} slots of this engine are in use")]
    Full(usize),
    /// The engine is shutting down.
    #[error("this engine is draining")]
    Draining,
    /// A newer leg exists.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// A newer leg came while the file was heard.
    #[error("fenced by a newer leg")]
    Fenced,
    /// The voice failed; the log says how.
    #[error("the speech engine failed")]
    Failed,
}

/// The body of an error.
#[derive(Serialize)]
struct Body<'a> {
    err_code: &'a str,
    err_msg: &'a str,
    request_id: Uuid,
}

impl Refusal {
    /// Says how the refusal is counted.
    pub(crate) const fn outcome(&self) -> Outcome {
        match self {
            Self::Query(_) | Self::Header { .. } | Self::NotWebSocket(_) | Self::Json => Outcome::Rejected,
            Self::BadAudio(_) | Self::TooLong(_) | Self::TooLarge(_) => Outcome::BadAudio,
            Self::Slow => Outcome::Idle,
            Self::Cut => Outcome::Gone,
            Self::Full(_) => Outcome::Full,
            Self::Draining => Outcome::Draining,
            Self::Stale(_) | Self::Fenced => Outcome::Fenced,
            Self::NoRoom(_) | Self::Failed => Outcome::Failed,
        }
    }

    /// Makes the response of the API.
    pub(crate) fn response(&self, request_id: Uuid) -> Response {
        let (status, err_code) = self.status();
        let err_msg = self.to_string();
        let mut response = (status, Json(Body { err_code, err_msg: &err_msg, request_id })).into_response();
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&err_msg) {
            headers.insert("dg-error", value);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    const fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Query(_) | Self::Header { .. } => (StatusCode::BAD_REQUEST, "INVALID_QUERY_PARAMETER"),
            Self::NotWebSocket(_) | Self::BadAudio(_) | Self::Cut | Self::Json => {
                (StatusCode::BAD_REQUEST, "Bad Request")
            }
            Self::TooLong(_) | Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE"),
            Self::NoRoom(_) => (StatusCode::INSUFFICIENT_STORAGE, "INSUFFICIENT_STORAGE"),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "SLOW_UPLOAD"),
            Self::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, "NO_CAPACITY"),
            Self::Draining => (StatusCode::SERVICE_UNAVAILABLE, "DRAINING"),
            Self::Stale(_) | Self::Fenced => (StatusCode::CONFLICT, "FENCED"),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR"),
        }
    }
}

impl From<AudioError> for Refusal {
    fn from(error: AudioError) -> Self {
        match error {
            AudioError::TooLong { .. } | AudioError::Inflated { .. } => Self::TooLong(error),
            AudioError::Unreadable(kind) => Self::NoRoom(kind),
            AudioError::Unsupported { .. }
            | AudioError::NotStreamed { .. }
            | AudioError::Codec { .. }
            | AudioError::Corrupt { .. }
            | AudioError::Empty
            | AudioError::Wav(_) => Self::BadAudio(error),
        }
    }
}
