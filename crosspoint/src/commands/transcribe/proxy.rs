//! The proxy as a caller sees it: its address, the key, what is asked for.

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue};

use super::failure::{Failure, KeySent, Refusal, RequestId};

/// A proxy, and what is asked of it.
#[derive(Debug)]
pub(super) struct Proxy {
    base: Url,
    key: Option<String>,
    query: Vec<(&'static str, String)>,
}

impl Proxy {
    /// Speaks to the proxy at an address. Nothing is sent yet.
    ///
    /// # Errors
    /// Fails on an address that is none.
    pub(super) fn at(url: &str, key: Option<String>, query: Vec<(&'static str, String)>) -> Result<Self, Failure> {
        let parsed = Url::parse(url).ok().filter(|url| url.scheme() == "http" && url.has_host());
        let base = parsed.ok_or_else(|| Failure::Address { url: url.to_owned() })?;
        Ok(Self { base, key, query })
    }

    /// Returns the address of `/v1/listen` with what is asked for, and `more`.
    pub(super) fn listen(&self, more: &[(&str, String)]) -> Url {
        let mut url = self.resume(&[]);
        let pairs =
            self.query.iter().map(|(key, value)| (*key, value)).chain(more.iter().map(|(key, value)| (*key, value)));
        url.query_pairs_mut().extend_pairs(pairs);
        url
    }

    /// Returns the address of `/v1/listen` with nothing but these wishes.
    pub(super) fn resume(&self, asked: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        let path = format!("{}/v1/listen", self.base.path().trim_end_matches('/'));
        url.set_path(&path);
        url.query_pairs_mut().clear().extend_pairs(asked);
        url
    }

    /// Returns the address as people wrote it.
    pub(super) fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Returns the host and port to connect to.
    pub(super) fn host_and_port(&self) -> (String, u16) {
        let host = self.base.host_str().unwrap_or_default().trim_matches(['[', ']']);
        (host.to_owned(), self.base.port_or_known_default().unwrap_or(80))
    }

    /// Returns the value of the `Authorization` header, if there is a key.
    ///
    /// # Errors
    /// Fails on a key that no header can hold.
    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>, Failure> {
        let value = self.key.as_ref().map(|key| HeaderValue::try_from(format!("Token {key}"))).transpose();
        let mut value = value.map_err(|_| Failure::Key)?;
        value.iter_mut().for_each(|value| value.set_sensitive(true));
        Ok(value)
    }

    /// Understands a refusal.
    pub(super) fn refusal(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Failure {
        let key = if self.key.is_some() { KeySent::Yes } else { KeySent::No };
        let refusal = Refusal { status, header: text(headers, "dg-error"), body, request: request_id(headers) };
        Failure::refused(&refusal, key)
    }
}

/// Reads the id that the proxy gave the request.
pub(super) fn request_id(headers: &HeaderMap) -> RequestId {
    RequestId(text(headers, "dg-request-id").map(str::to_owned))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
