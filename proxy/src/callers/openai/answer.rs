//! Answers as OpenAI's SDKs expect them: errors with all four keys, and on every answer an id, the time it took and the
//! version of the API.

use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use scheduler::{SessionId, Work};
use serde_json::json;
use session::{Blame, CloseReason, Usage};
use store::KeyError;

use crate::callers::{Widened, header_value};
use crate::delivery::Failure;
use crate::metrics;
use crate::quota::{Limited, retry_after, write_allowance};

/// One request, from its first look to the headers that every answer carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    session: SessionId,
    began: Instant,
}

impl Exchange {
    /// Begins with a request under the id of its session.
    pub(super) fn begin(session: SessionId) -> Self {
        Self { session, began: Instant::now() }
    }

    /// Returns the session.
    pub(super) fn session(&self) -> SessionId {
        self.session
    }

    /// Ends with an answer.
    pub(super) fn end(self, mut response: Response<Body>) -> Response<Body> {
        let headers = response.headers_mut();
        headers.insert("x-request-id", header_value(&self.session.to_string()));
        headers.insert("openai-processing-ms", header_value(&self.began.elapsed().as_millis().to_string()));
        headers.insert("openai-version", HeaderValue::from_static("2020-10-01"));
        response
    }
}

/// Answers 200 with a body of this type.
pub(super) fn found(content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Why a request is not served, and what to tell the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) reason: CloseReason,
    text: String,
    param: Option<&'static str>,
    code: &'static str,
    limited: Option<Limited>,
}

impl Problem {
    /// Tells of a problem that no one parameter has.
    pub(super) fn new(reason: CloseReason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into(), param: None, code: code(reason), limited: None }
    }

    /// Tells that a parameter has a value that it cannot have.
    pub(super) fn invalid(param: &'static str, text: impl Into<String>) -> Self {
        Self { param: Some(param), ..Self::new(CloseReason::BadRequest, text) }
    }

    /// Tells that a parameter is missing.
    pub(super) fn missing(param: &'static str, text: impl Into<String>) -> Self {
        Self { code: "missing_required_parameter", ..Self::invalid(param, text) }
    }

    /// Tells that nobody offers a model of that name.
    pub(super) fn no_model(text: impl Into<String>) -> Self {
        Self { param: Some("model"), ..Self::new(CloseReason::UnknownModel, text) }
    }

    /// Tells that the model does not hear that language.
    pub(super) fn no_language(text: impl Into<String>) -> Self {
        Self { reason: CloseReason::UnknownModel, ..Self::invalid("language", text) }
    }

    /// Answers a request that never became a session, and counts it.
    pub(super) fn refuse(&self, work: Work) -> Response<Body> {
        metrics::ended(work, self.reason, &Usage::default());
        self.answer()
    }

    /// Writes the body of an answer with the problem.
    pub(super) fn body(&self) -> String {
        let body = json!({ "error": {
            "message": self.text, "type": kind(self.reason), "param": self.param, "code": self.code,
        }});
        body.to_string()
    }

    /// Answers with the problem.
    pub(super) fn answer(&self) -> Response<Body> {
        let mut response = found("application/json", self.body());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        let after = retry_after(self.reason, self.limited);
        if let Some(after) = after {
            Limited::write(after, headers);
            headers.insert("retry-after-ms", header_value(&after.as_millis().to_string()));
        }
        if after.is_none() || self.reason == CloseReason::QuotaSpent {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        write_allowance(self.limited.and_then(|limited| limited.allowance), headers);
        response
    }

    /// A model is a resource here, and one that is not there is 404.
    fn status(&self) -> StatusCode {
        if self.code == MODEL_NOT_FOUND {
            return StatusCode::NOT_FOUND;
        }
        StatusCode::from_u16(self.reason.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<Failure> for Problem {
    /// Where an engine cannot use the audio, the file is to blame.
    fn from(Failure { reason, text, limited }: Failure) -> Self {
        let param = (reason == CloseReason::BadAudio).then_some("file");
        let text = text.strip_prefix("Bad Request: ").unwrap_or(&text);
        Self { param, limited, ..Self::new(reason, in_their_words(reason, text)) }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Unknown => Self::new(CloseReason::Unauthorised, "Incorrect API key provided."),
            KeyError::NotLoopback(_) | KeyError::Revoked | KeyError::Expired => {
                Self::new(CloseReason::Unauthorised, format!("Incorrect API key provided: {error}."))
            }
            KeyError::OutOfScope(_) | KeyError::NotLendable => {
                let text = format!("You have insufficient permissions for this operation: {error}.");
                Self::new(CloseReason::Forbidden, text)
            }
            KeyError::Away(_) => Self::new(CloseReason::KeysAway, CloseReason::KeysAway.close_text()),
        }
    }
}

impl From<Widened> for Problem {
    fn from(widened: Widened) -> Self {
        Self { param: Some("x-crosspoint-residency"), ..Self::new(CloseReason::Forbidden, widened.to_string()) }
    }
}

const MODEL_NOT_FOUND: &str = "model_not_found";
const INSUFFICIENT_QUOTA: &str = "insufficient_quota";

fn kind(reason: CloseReason) -> &'static str {
    if is_rate(reason) {
        return "requests";
    }
    if reason == CloseReason::QuotaSpent {
        return INSUFFICIENT_QUOTA;
    }
    match reason.blame() {
        Blame::Caller => "invalid_request_error",
        Blame::Node | Blame::Us => "server_error",
    }
}

/// Tells whether the caller may do later what it may not do now.
fn is_rate(reason: CloseReason) -> bool {
    matches!(reason, CloseReason::RateLimited | CloseReason::ConcurrencyLimited)
}

/// Says what stopped a caller in OpenAI's words, where a limit of its own did.
fn in_their_words(reason: CloseReason, text: &str) -> String {
    if is_rate(reason) {
        format!("Rate limit reached for requests ({text}). Please try again later.")
    } else if reason == CloseReason::QuotaSpent {
        format!("You exceeded your current quota ({text}).")
    } else {
        text.to_owned()
    }
}

fn code(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Unauthorised | CloseReason::KeyRevoked | CloseReason::KeyExpired => "invalid_api_key",
        CloseReason::Forbidden => "insufficient_permissions",
        CloseReason::UnknownPath => "unknown_url",
        CloseReason::WrongMethod => "method_not_supported",
        CloseReason::UnknownModel => MODEL_NOT_FOUND,
        CloseReason::BadRequest
        | CloseReason::BadParameter
        | CloseReason::BadAudio
        | CloseReason::BadFrames
        | CloseReason::BadText => "invalid_value",
        CloseReason::CallerFlooding | CloseReason::RateLimited | CloseReason::ConcurrencyLimited => {
            "rate_limit_exceeded"
        }
        CloseReason::QuotaSpent => INSUFFICIENT_QUOTA,
        CloseReason::Completed
        | CloseReason::CallerGone
        | CloseReason::CallerSilent
        | CloseReason::ForeignOrigin
        | CloseReason::NothingToResume
        | CloseReason::CallerSlow
        | CloseReason::FrameTooBig
        | CloseReason::UploadTooBig
        | CloseReason::UploadTooSlow
        | CloseReason::UnsupportedBody
        | CloseReason::NotAllowed
        | CloseReason::FilesOnly
        | CloseReason::NoCapacity
        | CloseReason::NoLiveNode
        | CloseReason::RouterAway
        | CloseReason::KeysAway
        | CloseReason::NodeLost
        | CloseReason::NodeStalled
        | CloseReason::NodeFailed
        | CloseReason::Overloaded
        | CloseReason::Draining => reason.label(),
    }
}
