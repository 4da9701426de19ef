//! Engine adapters: how legs speak to nodes. They know session events, never caller APIs.

mod http;
pub(crate) mod listen;
pub(crate) mod openai;

use std::borrow::Cow;

use scheduler::SessionId;
use serde_json::Value;

use crate::trace::{TRACEPARENT, Trace};

/// What every leg carries, so that a node can tell sessions and their legs apart.
#[derive(Clone, Debug)]
pub(crate) struct LegHeaders {
    pub(crate) session: SessionId,
    pub(crate) epoch: u32,
    pub(crate) trace: Trace,
}

impl LegHeaders {
    /// Returns the headers with their values; the lease is for the node's logs only.
    pub(crate) fn named(&self) -> [(&'static str, String); 4] {
        let session = self.session.to_string();
        [
            ("x-crosspoint-epoch", self.epoch.to_string()),
            ("x-crosspoint-lease", session.clone()),
            ("x-crosspoint-session", session),
            (TRACEPARENT, self.trace.to_string()),
        ]
    }
}

/// Why a node did not take a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// The node is full, dead or confused: another one may serve. The text is for logs and explanations.
    TryAnother(String),
    /// The node says that the request itself is wrong, so no other node will take it.
    CallersFault {
        /// The node's status, from 400 to 499.
        status: u16,
        /// The node's words.
        text: String,
    },
}

impl OpenError {
    /// Reads a node's refusal: what is not the caller's fault may work elsewhere.
    pub(crate) fn from_reply(status: u16, body: &[u8]) -> Self {
        let text = refusal_text(body);
        match status {
            401 | 403..=405 | 408 | 409 | 429 => Self::TryAnother(format!("refused with {status}: {text}")),
            400..=499 => Self::CallersFault { status, text },
            _ => Self::TryAnother(format!("refused with {status}: {text}")),
        }
    }
}

/// Finds the message in an engine's error body; at most 300 characters of it.
fn refusal_text(body: &[u8]) -> String {
    let said = serde_json::from_slice::<Value>(body).ok();
    let message = said.as_ref().and_then(message).map_or_else(|| String::from_utf8_lossy(body), Cow::Borrowed);
    message.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// The places where engines put the words of an error: Deepgram's, `OpenAI`'s and vLLM's, whisper.cpp's, `FastAPI`'s, and
/// what `FastAPI` says of a form that it does not take.
fn message(said: &Value) -> Option<&str> {
    ["/err_msg", "/error/message", "/error", "/detail", "/detail/0/msg", "/message"]
        .into_iter()
        .find_map(|place| said.pointer(place).and_then(Value::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_node_is_worth_another_try_elsewhere() {
        let body = br#"{"err_code":"x","err_msg":"no free slot","request_id":"y"}"#;
        let error = OpenError::from_reply(503, body);
        assert_eq!(error, OpenError::TryAnother("refused with 503: no free slot".to_owned()));
    }

    #[test]
    fn a_request_that_the_engine_calls_bad_is_bad_everywhere() {
        let expected = OpenError::CallersFault { status: 400, text: "nonsense".to_owned() };
        assert_eq!(OpenError::from_reply(400, b"nonsense\n"), expected);
    }

    #[test]
    fn the_words_of_an_error_are_found_wherever_an_engine_puts_them() {
        for (body, expected) in [
            (r#"{"error":{"message":"too long","type":"BadRequestError","param":null,"code":400}}"#, "too long"),
            (r#"{"error":"failed to read audio data"}"#, "failed to read audio data"),
            (r#"{"detail":"Model 'x' is not installed locally."}"#, "Model 'x' is not installed locally."),
            (r#"{"detail":[{"type":"missing","loc":["body","file"],"msg":"Field required"}]}"#, "Field required"),
            ("Invalid request", "Invalid request"),
            (r#"{"error":7}"#, r#"{"error":7}"#),
        ] {
            assert_eq!(refusal_text(body.as_bytes()), expected);
        }
    }
}
