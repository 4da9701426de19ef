//! Answers over HTTP, and refusals with everything that SDKs read of them.

use anyhow::Context as _;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use uuid::Uuid;

use super::up::KEY;
use super::within;

/// Where callers call.
pub(crate) trait Door {
    /// Returns its `host:port`.
    fn address(&self) -> &str;
}

/// An answer: status, headers, body.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Whether a refused caller should try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    Never,
    /// After a time of at most three minutes, which differs so that not everybody comes at once.
    Soon,
}

/// A refusal, as a caller can tell it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) retry: Retry,
}

impl Refusal {
    /// A refusal that is no use to try again.
    pub(crate) fn new(status: u16, code: &str, message: &str) -> Self {
        Self { status, code: code.to_owned(), message: message.to_owned(), retry: Retry::Never }
    }

    /// A refusal that may be tried again.
    pub(crate) fn retry(self) -> Self {
        Self { retry: Retry::Soon, ..self }
    }
}

impl Answer {
    /// Reads the body.
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Reads the body as text.
    pub(crate) fn text(&self) -> anyhow::Result<&str> {
        Ok(std::str::from_utf8(&self.body)?)
    }

    /// Returns the request's id, which must be a UUID.
    pub(crate) fn request_id(&self) -> anyhow::Result<String> {
        let id = self.header("dg-request-id").context("no dg-request-id")?;
        Ok(Uuid::parse_str(&id).with_context(|| format!("{id:?} is no UUID"))?.to_string())
    }

    /// Reads the answer as a refusal; headers and body must agree.
    pub(crate) fn refusal(&self) -> anyhow::Result<Refusal> {
        let body = self.json()?;
        let field = |name: &str| body[name].as_str().map(str::to_owned).with_context(|| format!("no {name} in {body}"));
        let message = field("err_msg")?;
        anyhow::ensure!(self.header("dg-error").as_ref() == Some(&message), "dg-error differs from err_msg: {self:?}");
        anyhow::ensure!(field("request_id")? == self.request_id()?, "request_id differs from dg-request-id");
        anyhow::ensure!(self.header("content-type").as_deref() == Some("application/json"), "not sent as JSON");
        let retry = match self.header("retry-after") {
            None => Retry::Never,
            Some(seconds) => {
                anyhow::ensure!((1..=180).contains(&seconds.parse::<u32>()?), "retry-after is {seconds}");
                Retry::Soon
            }
        };
        Ok(Refusal { status: self.status, code: field("err_code")?, message, retry })
    }

    /// Returns a header as text.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }
}

/// Prepares a request with the key in it.
pub(crate) fn request(door: &impl Door, method: Method, target: &str) -> anyhow::Result<RequestBuilder> {
    Ok(stranger(door, method, target)?.header("authorization", format!("Token {KEY}")))
}

/// Prepares a request without a key.
pub(crate) fn stranger(door: &impl Door, method: Method, target: &str) -> anyhow::Result<RequestBuilder> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    Ok(client.request(method, format!("http://{}{target}", door.address())))
}

/// Sends a request and reads its answer.
pub(crate) async fn send(request: RequestBuilder) -> anyhow::Result<Answer> {
    let response = within("answer", request.send()).await??;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = within("body", response.bytes()).await??.to_vec();
    Ok(Answer { status, headers, body })
}

/// Posts a file.
pub(crate) async fn post(door: &impl Door, query: &str, file: Vec<u8>) -> anyhow::Result<Answer> {
    let target = format!("/v1/listen?{query}");
    send(request(door, Method::POST, &target)?.header("content-type", "audio/wav").body(file)).await
}

/// Sends a form to `/v1/audio/transcriptions`: fields, then a file.
pub(crate) async fn transcribe(door: &impl Door, fields: &[(&str, &str)], file: &[u8]) -> anyhow::Result<Answer> {
    const BOUNDARY: &str = "a-boundary-that-no-test-audio-has";
    let mut body = Vec::new();
    for (name, value) in fields {
        let part = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"upload\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(file);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    let request = stranger(door, Method::POST, "/v1/audio/transcriptions")?
        .header("authorization", format!("Bearer {KEY}"))
        .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
    send(request.body(body)).await
}
