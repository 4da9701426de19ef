//! Engine adapters: how legs speak to nodes. They know session events, never caller APIs.

pub(crate) mod listen;

use scheduler::SessionId;

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
    let message = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|json| json.get("err_msg").and_then(|text| text.as_str()).map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    message.chars().filter(|c| !c.is_control()).take(300).collect()
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
}
