//! Errors as Deepgram's SDKs expect them: a JSON body, `dg-error` and `dg-request-id` on every answer.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use scheduler::{SessionId, Work};
use serde_json::json;
use session::{CloseReason, Usage};
use store::KeyError;

use crate::callers::{Widened, header_value};
use crate::delivery::Failure;
use crate::metrics;
use crate::quota::{Limited, retry_after};

/// Why a request is not served, and what to tell the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) reason: CloseReason,
    pub(crate) text: String,
    limited: Option<Limited>,
}

impl Problem {
    pub(crate) fn new(reason: CloseReason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into(), limited: None }
    }

    /// Answers a request that never became a session, and counts it.
    pub(crate) fn refuse(&self, session: SessionId, work: Work) -> Response<Body> {
        metrics::ended(work, self.reason, &Usage::default());
        self.answer(session)
    }

    /// Writes the body of an answer with the problem.
    pub(crate) fn body(&self, session: SessionId) -> String {
        let body = json!({ "err_code": code(self.reason), "err_msg": self.text, "request_id": session.to_string() });
        body.to_string()
    }

    /// Answers with the problem.
    pub(crate) fn answer(&self, session: SessionId) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body(session)));
        *response.status_mut() =
            StatusCode::from_u16(self.reason.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("dg-error", header_value(&self.text));
        headers.insert("dg-request-id", header_value(&session.to_string()));
        if let Some(after) = retry_after(self.reason, self.limited) {
            Limited::write(after, headers);
        }
        response
    }
}

/// Deepgram's words for a limit of the caller's own.
const TOO_MANY: &str = "Too many requests. Please try again later";

impl From<Failure> for Problem {
    fn from(Failure { reason, text, limited }: Failure) -> Self {
        let text = match reason.http_status() {
            429 => format!("{TOO_MANY} ({text})"),
            _ => text,
        };
        Self { reason, text, limited }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Unknown => Self::new(CloseReason::Unauthorised, "Invalid credentials."),
            KeyError::NotLoopback(_) | KeyError::Revoked | KeyError::Expired => {
                Self::new(CloseReason::Unauthorised, format!("Invalid credentials: {error}."))
            }
            KeyError::OutOfScope(_) | KeyError::NotLendable => {
                Self::new(CloseReason::Forbidden, format!("User does not have sufficient permissions: {error}."))
            }
            KeyError::Away(_) => Self::new(CloseReason::KeysAway, CloseReason::KeysAway.close_text()),
        }
    }
}

impl From<Widened> for Problem {
    fn from(widened: Widened) -> Self {
        Self::new(CloseReason::Forbidden, widened.to_string())
    }
}

fn code(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Unauthorised | CloseReason::KeyRevoked | CloseReason::KeyExpired => "INVALID_AUTH",
        CloseReason::Forbidden => "INSUFFICIENT_PERMISSIONS",
        CloseReason::ForeignOrigin => "ORIGIN_NOT_ALLOWED",
        CloseReason::BadParameter => "INVALID_QUERY_PARAMETER",
        CloseReason::UnknownPath | CloseReason::NothingToResume => "NOT_FOUND",
        CloseReason::WrongMethod => "METHOD_NOT_ALLOWED",
        CloseReason::NotAllowed => "NO_POOL_ALLOWED",
        CloseReason::FilesOnly => "FILES_ONLY",
        CloseReason::UploadTooBig | CloseReason::FrameTooBig => "PAYLOAD_TOO_LARGE",
        CloseReason::UnsupportedBody => "UNSUPPORTED_MEDIA_TYPE",
        CloseReason::UploadTooSlow | CloseReason::CallerSilent | CloseReason::CallerSlow => "REQUEST_TIMEOUT",
        CloseReason::CallerFlooding
        | CloseReason::RateLimited
        | CloseReason::ConcurrencyLimited
        | CloseReason::QuotaSpent => "TOO_MANY_REQUESTS",
        CloseReason::NoCapacity
        | CloseReason::NoLiveNode
        | CloseReason::RouterAway
        | CloseReason::KeysAway
        | CloseReason::Overloaded
        | CloseReason::Draining => "SERVICE_UNAVAILABLE",
        CloseReason::NodeLost | CloseReason::NodeFailed => "BAD_GATEWAY",
        CloseReason::NodeStalled => "GATEWAY_TIMEOUT",
        CloseReason::Completed
        | CloseReason::CallerGone
        | CloseReason::BadRequest
        | CloseReason::UnknownModel
        | CloseReason::BadAudio
        | CloseReason::BadFrames
        | CloseReason::BadText => "Bad Request",
    }
}
