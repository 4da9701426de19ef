//! Callers that run in web pages. A browser says which origin a page is of: HTTP answers carry what lets that page read
//! them (CORS), and a WebSocket, which browsers open wherever a page wants, is refused to foreign pages here.

use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// How long a browser may remember what a preflight was told.
const MAX_AGE: Duration = Duration::from_secs(3600);
/// What a page may read of an answer's headers, beyond what any page may.
const EXPOSED: [HeaderName; 5] = [
    HeaderName::from_static("dg-request-id"),
    HeaderName::from_static("dg-error"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-should-retry"),
    header::RETRY_AFTER,
];

/// Whose web pages may call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Origin {
    /// Everybody's, written `*`.
    Any,
    /// Those of one origin, as browsers write it.
    Exactly(String),
}

/// Says that a text is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an origin such as https://app.example, or \"*\", got {0:?}")]
pub struct OriginError(String);

impl TryFrom<String> for Origin {
    type Error = OriginError;

    fn try_from(text: String) -> Result<Self, OriginError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let written = written(&text).filter(|written| *written == text.to_ascii_lowercase());
        written.map(Self::Exactly).ok_or(OriginError(text))
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Any => "*".to_owned(),
            Origin::Exactly(text) => text,
        }
    }
}

/// Writes a text's origin as browsers do; a text that is more than an origin differs from it.
fn written(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    Some(format!("{scheme}://{}", authority.as_str()).to_ascii_lowercase())
}

/// Tells whether a page of `origin` may read answers.
fn allows(origins: &[Origin], origin: &HeaderValue) -> bool {
    origins.iter().any(|known| match known {
        Origin::Any => true,
        Origin::Exactly(text) => text.as_bytes() == origin.as_bytes(),
    })
}

/// Makes what answers preflights and marks answers; nothing where no page is let in.
pub(super) fn cors(origins: &[Origin]) -> Option<CorsLayer> {
    let origins: Vec<_> = (!origins.is_empty()).then(|| origins.to_vec())?;
    let allowed = move |origin: &HeaderValue, _: &Parts| allows(&origins, origin);
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_methods([Method::GET, Method::POST])
        // A key is a header of its own, never a cookie: no header that a page may send gives it more than it has.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED)
        .max_age(MAX_AGE);
    Some(layer)
}

/// Tells whether a WebSocket may be opened: by whoever is no browser, by pages of this very host, by pages let in.
pub(super) fn may_upgrade(origins: &[Origin], headers: &HeaderMap) -> bool {
    let mut origin = headers.get_all(header::ORIGIN).iter();
    match (origin.next(), origin.next()) {
        (None, _) => true,
        (Some(origin), None) => is_at_home(origin, headers) || allows(origins, origin),
        (Some(_), Some(_)) => false,
    }
}

/// Tells whether a page is of the host that it calls. TLS may have ended before this proxy: schemes are not compared.
fn is_at_home(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let page = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    matches!((page, host), (Some((_, page)), Some(host)) if !host.is_empty() && page.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(texts: &[&str]) -> Vec<Origin> {
        texts.iter().map(|text| Origin::try_from((*text).to_owned()).unwrap()).collect()
    }

    fn upgrade(origins: &[Origin], origin: &str, host: &str) -> bool {
        let pairs = [(header::ORIGIN, origin), (header::HOST, host)];
        may_upgrade(
            origins,
            &pairs.map(|(name, value)| (name, HeaderValue::from_str(value).unwrap())).into_iter().collect(),
        )
    }

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        for text in ["https://app.example", "http://localhost:3000", "https://[::1]:8443", "chrome-extension://abcdef"]
        {
            assert_eq!(Origin::try_from(text.to_owned()), Ok(Origin::Exactly(text.to_owned())));
        }
        assert_eq!(
            Origin::try_from("HTTPS://App.Example".to_owned()),
            Ok(Origin::Exactly("https://app.example".to_owned()))
        );
        for text in
            ["", "app.example", "https://app.example/", "https://a.example/b", "https://", "null", "/", "https://*.a b"]
        {
            let error = Origin::try_from(text.to_owned()).unwrap_err();
            assert!(error.to_string().ends_with(&format!("got {text:?}")), "{error}");
        }
    }

    #[test]
    fn what_is_no_browser_needs_no_origin() {
        assert!(may_upgrade(&[], &HeaderMap::new()));
    }

    #[test]
    fn without_a_list_only_pages_of_the_same_host_may_open_streams() {
        assert!(upgrade(&[], "https://stt.example", "STT.example"));
        assert!(upgrade(&[], "http://127.0.0.1:8080", "127.0.0.1:8080"));
        assert!(!upgrade(&[], "http://127.0.0.1:3000", "127.0.0.1:8080"));
        assert!(!upgrade(&[], "https://evil.example", "stt.example"));
        assert!(!upgrade(&[], "null", "stt.example"));
        assert!(!upgrade(&[], "https://", ""));
    }

    #[test]
    fn a_listed_origin_is_compared_to_the_last_letter() {
        let list = origins(&["https://app.example"]);
        assert!(upgrade(&list, "https://app.example", "stt.example"));
        for foreign in
            ["http://app.example", "https://app.example:8443", "https://app.example.evil", "https://xapp.example"]
        {
            assert!(!upgrade(&list, foreign, "stt.example"), "{foreign}");
        }
        assert!(upgrade(&origins(&["*"]), "https://evil.example", "stt.example"));
    }

    #[test]
    fn two_origins_are_one_too_many() {
        let two = ["https://app.example", "https://evil.example"];
        let headers = two.into_iter().map(|origin| (header::ORIGIN, HeaderValue::from_static(origin))).collect();
        assert!(!may_upgrade(&origins(&["https://app.example"]), &headers));
    }
}
