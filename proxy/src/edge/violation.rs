//! The ways in which a request can break the rules of the edge, and how each is answered. One table, so that status,
//! words and metric label of a rule cannot drift apart.

use axum::body::Body;
use http::header::CONNECTION;
use http::{HeaderValue, Response, StatusCode};
use metrics::counter;

use super::Dialect;

macro_rules! violations {
    ($($(#[$doc:meta])+ $name:ident = $status:ident, $label:literal, $message:literal;)+) => {
        /// A rule of the edge that a request broke.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum Violation {
            $($(#[$doc])+ #[error($message)] $name,)+
        }

        impl Violation {
            /// Every rule there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Returns the status of the answer.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// Returns the name of the rule in metrics and logs.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)+ }
            }

            /// Returns what was wrong and what to do about it.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)+ }
            }
        }
    };
}

violations! {
    /// The request line is not a method, a target and a version with single spaces between them.
    RequestLine = BAD_REQUEST, "request_line",
        "malformed request line: expected a method, a target and HTTP/1.1, with one space between them";
    /// The target is not a path of this server.
    Target = BAD_REQUEST, "target",
        "unacceptable request target: expected a path that begins with a slash and has visible ASCII characters only";
    /// The target is longer than [`super::Limits::target_bytes`].
    TargetTooLong = URI_TOO_LONG, "target_too_long", "the request target is too long: send fewer query parameters";
    /// The head is longer than [`super::Limits::header_bytes`].
    HeadTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", "the headers are too large: send less in them";
    /// There are more headers than [`super::Limits::header_count`].
    TooManyHeaders = REQUEST_HEADER_FIELDS_TOO_LARGE, "too_many_headers", "there are too many headers: send fewer";
    /// The head did not come within [`super::Limits::header_read`].
    SlowHead = REQUEST_TIMEOUT, "slow_head", "the headers took too long to arrive: send them at once";
    /// A line ends with LF alone.
    BareLineFeed = BAD_REQUEST, "bare_line_feed", "a header line ends with LF alone: end every line with CR LF";
    /// A header goes on in a second line.
    FoldedHeader = BAD_REQUEST, "folded_header", "a header is folded over two lines: write it on one";
    /// A header's name is not a token, or there is no colon after it.
    HeaderName = BAD_REQUEST, "header_name",
        "malformed header name: expected letters, digits and hyphens, then a colon with no space before it";
    /// A header's name has an underscore, which other servers take for a hyphen.
    Underscore = BAD_REQUEST, "underscore", "a header name has an underscore: write a hyphen";
    /// A header's value has NUL, a bare CR or another control character.
    HeaderValue = BAD_REQUEST, "header_value", "a header value has a control character: remove it";
    /// There is no Host.
    MissingHost = BAD_REQUEST, "missing_host", "the Host header is missing: send exactly one";
    /// There is more than one Host.
    RepeatedHost = BAD_REQUEST, "repeated_host", "there is more than one Host header: send exactly one";
    /// The Host is not a name or an address with an optional port.
    Host = BAD_REQUEST, "host", "malformed Host header: expected a name or an address, and a port if need be";
    /// Content-Length is not one number.
    ContentLength = BAD_REQUEST, "content_length", "malformed Content-Length header: expected one decimal number";
    /// Two Content-Length headers differ.
    ContentLengths = BAD_REQUEST, "content_lengths", "two Content-Length headers differ: send exactly one";
    /// Both Content-Length and Transfer-Encoding are there.
    LengthAndEncoding = BAD_REQUEST, "length_and_encoding",
        "both Content-Length and Transfer-Encoding are set: send only one of them";
    /// Transfer-Encoding is not exactly `chunked`.
    TransferEncoding = BAD_REQUEST, "transfer_encoding",
        "unacceptable Transfer-Encoding header: expected it once, with the value chunked";
    /// Transfer-Encoding in HTTP/1.0, which has none.
    OldTransferEncoding = BAD_REQUEST, "old_transfer_encoding",
        "Transfer-Encoding is set on an HTTP/1.0 request: send HTTP/1.1 or a Content-Length";
    /// A chunk's size, or the end of a chunk, is malformed.
    Chunk = BAD_REQUEST, "chunk", "malformed chunk: expected a size in hexadecimal, CR LF, as many bytes, and CR LF";
    /// There are fields after the last chunk.
    Trailer = BAD_REQUEST, "trailer", "there are trailer fields after the last chunk: send them as headers";
    /// The body is slower than [`super::Limits::body_bytes_per_second`].
    SlowBody = REQUEST_TIMEOUT, "slow_body", "the body arrives too slowly: send it faster, or stream over a WebSocket";
    /// The body is larger than [`super::Limits::upload_bytes`].
    UploadTooLarge = PAYLOAD_TOO_LARGE, "upload_too_large", "the body is too large: send the recording in parts";
    /// The body is compressed.
    ContentEncoding = UNSUPPORTED_MEDIA_TYPE, "content_encoding",
        "the body has a Content-Encoding: send it as it is, without compressing it";
}

impl Violation {
    /// Finds a rule by its [`Violation::label`].
    pub(super) fn from_label(label: &[u8]) -> Option<Self> {
        Self::ALL.iter().copied().find(|violation| violation.label().as_bytes() == label)
    }

    /// Finds the rule among the causes of an error.
    pub(super) fn behind(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let here = inner.and_then(|inner| inner.downcast_ref()).or_else(|| error.downcast_ref());
        here.copied().or_else(|| error.source().and_then(Self::behind))
    }

    /// Counts the violation and writes the answer, after which the connection closes. `id` is the request's, where it
    /// has one already.
    pub(super) fn answer(self, dialect: Dialect, id: Option<&str>) -> Response<Body> {
        counter!("crosspoint_proxy_strict_rejections_total", "rule" => self.label()).increment(1);
        tracing::debug!(rule = self.label(), "request refused at the edge");
        let id = id.map_or_else(new_request_id, str::to_owned);
        let mut response = Response::new(Body::from(dialect.body(self.status(), self.message(), &id)));
        *response.status_mut() = self.status();
        dialect.write_headers(response.headers_mut(), self.message(), &id);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// Makes an identifier for a request that no handler will see.
pub(super) fn new_request_id() -> String {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_rule_has_its_own_label_and_an_answer() {
        for &violation in Violation::ALL {
            assert_eq!(Violation::from_label(violation.label().as_bytes()), Some(violation));
            let response = violation.answer(Dialect::OpenAi, Some("an-id"));
            assert_eq!(response.status(), violation.status());
            assert_eq!(response.headers()["x-request-id"], "an-id");
            let response = violation.answer(Dialect::Deepgram, None);
            assert_eq!(response.status(), violation.status());
            assert_eq!(response.headers()["dg-error"], violation.message());
            assert!(Uuid::parse_str(response.headers()["dg-request-id"].to_str().unwrap()).is_ok());
        }
    }

    #[test]
    fn a_rule_is_found_behind_an_input_error() {
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, Violation::Chunk);
        assert_eq!(Violation::behind(&error), Some(Violation::Chunk));
        assert_eq!(Violation::behind(&std::io::Error::other("unrelated")), None);
    }
}
