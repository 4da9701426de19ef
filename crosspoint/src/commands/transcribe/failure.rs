//! What can go wrong with a transcript, said so that the reader knows what to do next.

use std::path::PathBuf;

use audio::wav::WavError;
use serde_json::Value;

/// Why there is no transcript.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The address is none.
    #[error("{url:?} is no address this command can reach, expected one such as http://127.0.0.1:8080")]
    Address {
        /// What was given.
        url: String,
    },
    /// There is nobody to ask.
    #[error("no proxy was given: pass --url")]
    NoProxy,
    /// The file cannot be read.
    #[error("cannot read {}: {}", path.display(), Self::plain(cause))]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// There is nothing in the file.
    #[error("{} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Only sound of a known format can be streamed.
    #[error("cannot stream {}: {cause}; leave --stream out to send the file as it is", path.display())]
    NotWav {
        /// The file.
        path: PathBuf,
        /// Why it cannot.
        cause: WavError,
    },
    /// The key holds what no header may.
    #[error("the key has characters that cannot be sent, check --key or CROSSPOINT_KEY")]
    Key,
    /// Nothing listens there.
    #[error("cannot reach the proxy at {url} ({cause}): is `crosspoint up` running?")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// The operating system's words.
        cause: String,
    },
    /// The proxy wants a key, or another one.
    #[error("the proxy {what}: pass --key or set CROSSPOINT_KEY{request}")]
    KeyRefused {
        /// Whether there was a key.
        what: &'static str,
        /// The request, to ask about.
        request: RequestId,
    },
    /// The proxy says no.
    #[error("the proxy refused ({status}): {what}{request}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The proxy's words.
        what: String,
        /// The request, to ask about.
        request: RequestId,
    },
    /// The stream was closed before its end.
    #[error("the proxy closed the stream with code {code}{reason}{request}")]
    Closed {
        /// The WebSocket close code.
        code: u16,
        /// The proxy's words, after a colon.
        reason: String,
        /// The request, to ask about.
        request: RequestId,
    },
    /// The connection broke.
    #[error("the connection to the proxy broke: {cause}{request}")]
    Broken {
        /// The operating system's words.
        cause: String,
        /// The request, to ask about.
        request: RequestId,
    },
    /// The proxy gave up after it had begun to answer.
    #[error("the proxy could not go on: {what}{request}")]
    Ended {
        /// The proxy's words.
        what: String,
        /// The request, to ask about.
        request: RequestId,
    },
    /// Somebody pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The answer is no transcript.
    #[error("the proxy's answer is no transcript: {cause}{request}")]
    Unexpected {
        /// What is wrong with it.
        cause: String,
        /// The request, to ask about.
        request: RequestId,
    },
}

/// The id that the proxy gave the request, if it did. Written behind an error, in brackets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RequestId(pub(super) Option<String>);

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |id| write!(f, " (request {id})"))
    }
}

/// Whether a key went with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeySent {
    Yes,
    No,
}

/// A response that says no.
#[derive(Clone, Debug)]
pub(super) struct Refusal<'a> {
    /// The HTTP status.
    pub(super) status: u16,
    /// The `dg-error` header.
    pub(super) header: Option<&'a str>,
    /// The body, or what has come of it.
    pub(super) body: &'a [u8],
    /// The request.
    pub(super) request: RequestId,
}

impl Failure {
    /// Returns the operating system's words without its number: `no such file or directory`.
    pub(super) fn plain(error: &std::io::Error) -> String {
        let words = error.to_string();
        words.split(" (os error").next().unwrap_or(&words).to_lowercase()
    }

    /// Understands a refusal: its status, and a body that may hold one of the known shapes, or anything.
    pub(super) fn refused(refusal: &Refusal<'_>, key: KeySent) -> Self {
        let Refusal { status, body, request, .. } = refusal;
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        let request = RequestId(request.0.clone().or_else(|| said["request_id"].as_str().map(str::to_owned)));
        match (status, key) {
            (401, KeySent::Yes) => Self::KeyRefused { what: "refused the key", request },
            (401, KeySent::No) => Self::KeyRefused { what: "wants a key", request },
            (status, _) => Self::Refused { status: *status, what: words(&said, refusal), request },
        }
    }
}

/// The body's words; the header's where the body is late, as it may be when a handshake is refused.
fn words(said: &Value, refusal: &Refusal<'_>) -> String {
    let known = [&said["err_msg"], &said["message"], &said["error"]["message"], &said["error"]];
    let message = known.into_iter().find_map(Value::as_str).or(refusal.header).map(str::to_owned);
    let message = message.unwrap_or_else(|| String::from_utf8_lossy(refusal.body).chars().take(200).collect());
    let message: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if message.trim().is_empty() { "without a reason".to_owned() } else { message.trim().to_owned() }
}
