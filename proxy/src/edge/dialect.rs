//! The words of a refusal: each API's SDKs read errors in a shape of their own, and the path tells which API is meant.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

/// The shape that an error is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `err_code`, `err_msg` and `request_id`: of `/v1/listen`, and of every path that is nobody's.
    Deepgram,
    /// `error` with `message`, `type`, `param` and `code`: of `/v1/audio` and `/v1/models`.
    OpenAi,
}

impl Dialect {
    /// Returns the dialect of a path, whether or not it leads anywhere.
    #[must_use]
    pub fn of(path: &str) -> Self {
        let is_under = |own: &str| path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if is_under("/v1/audio") || is_under("/v1/models") { Self::OpenAi } else { Self::Deepgram }
    }

    /// Returns the header that carries the request's id.
    pub(super) const fn id_header(self) -> &'static str {
        match self {
            Self::Deepgram => "dg-request-id",
            Self::OpenAi => "x-request-id",
        }
    }

    /// Writes the body of a refusal that is the caller's own doing.
    pub(super) fn body(self, status: StatusCode, message: &str, id: &str) -> String {
        let code = status.canonical_reason().unwrap_or("Error");
        let body = match self {
            Self::Deepgram => json!({ "err_code": code, "err_msg": message, "request_id": id }),
            Self::OpenAi => {
                let code = code.to_ascii_lowercase().replace(' ', "_");
                let kind = "invalid_request_error";
                json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
            }
        };
        body.to_string()
    }

    /// Writes the headers of a refusal that comes to nothing else when it is tried again.
    pub(super) fn write_headers(self, headers: &mut HeaderMap, message: &'static str, id: &str) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(id) = HeaderValue::from_str(id) {
            headers.insert(self.id_header(), id);
        }
        match self {
            Self::Deepgram => headers.insert("dg-error", HeaderValue::from_static(message)),
            Self::OpenAi => headers.insert("x-should-retry", HeaderValue::from_static("false")),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_an_apis_as_a_whole_word() {
        for path in ["/v1/audio/transcriptions", "/v1/audio", "/v1/models", "/v1/models/a/b"] {
            assert_eq!(Dialect::of(path), Dialect::OpenAi, "{path}");
        }
        for path in ["/", "/v1/listen", "/v1/modelsx", "/v1", "/v2/models", ""] {
            assert_eq!(Dialect::of(path), Dialect::Deepgram, "{path}");
        }
    }
}
