//! Errors as Deepgram's SDKs expect them: a JSON body, `dg-error` and `dg-request-id` on every answer.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use scheduler::{SessionId, Work};
use serde_json::json;
use session::{CloseReason, Usage};

use crate::metrics;

/// Why a request is not served, and what to tell the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) reason: CloseReason,
    pub(crate) text: String,
}

impl Problem {
    pub(crate) fn new(reason: CloseReason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }

    /// Tells the caller why no node serves it.
    pub(crate) fn no_node(reason: CloseReason) -> Self {
        let text = match reason {
            CloseReason::NotAllowed => {
                "no pool may serve this request: check x-crosspoint-residency and x-crosspoint-compliance"
            }
            CloseReason::NoCapacity => "every node that may serve this request is full, please try again",
            CloseReason::RouterAway => "no router answers, please try again",
            _ => reason.close_text(),
        };
        Self::new(reason, text)
    }

    /// Answers a request that never became a session, and counts it.
    pub(crate) fn refuse(&self, session: SessionId, work: Work) -> Response<Body> {
        metrics::ended(work, self.reason, &Usage::default());
        self.answer(session)
    }

    /// Answers with the problem.
    pub(crate) fn answer(&self, session: SessionId) -> Response<Body> {
        let body = json!({ "err_code": code(self.reason), "err_msg": self.text, "request_id": session.to_string() });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() =
            StatusCode::from_u16(self.reason.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("dg-error", header_value(&self.text));
        headers.insert("dg-request-id", header_value(&session.to_string()));
        if let Some(seconds) = self.reason.retry_after_seconds() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Keeps what a header may hold: visible ASCII and spaces.
pub(crate) fn header_value(text: &str) -> HeaderValue {
    let visible: String = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    HeaderValue::from_str(&visible).unwrap_or_else(|_| HeaderValue::from_static("error"))
}

fn code(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Unauthorised => "INVALID_AUTH",
        CloseReason::BadParameter => "INVALID_QUERY_PARAMETER",
        CloseReason::UnknownPath => "NOT_FOUND",
        CloseReason::WrongMethod => "METHOD_NOT_ALLOWED",
        CloseReason::NotAllowed => "NO_POOL_ALLOWED",
        CloseReason::UploadTooBig | CloseReason::FrameTooBig => "PAYLOAD_TOO_LARGE",
        CloseReason::UnsupportedBody => "UNSUPPORTED_MEDIA_TYPE",
        CloseReason::UploadTooSlow | CloseReason::CallerSilent | CloseReason::CallerSlow => "REQUEST_TIMEOUT",
        CloseReason::CallerFlooding => "TOO_MANY_REQUESTS",
        CloseReason::NoCapacity | CloseReason::NoLiveNode | CloseReason::RouterAway | CloseReason::Draining => {
            "SERVICE_UNAVAILABLE"
        }
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
