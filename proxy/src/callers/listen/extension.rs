//! What this API tells callers beyond Deepgram's, where they ask for it with `events=1` or `ack=1`: how far their stream is,
//! what happens to it, and how to go on with it after a lost connection. Who does not ask sees nothing of it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use session::{Cause, CloseReason, Merged, Progress};

/// What a caller asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Extension {
    /// Nothing.
    #[default]
    Plain,
    /// `ack=1`: how far the stream is, every second.
    Acks,
    /// `events=1`: moves from node to node.
    Events,
    /// Both.
    Both,
}

impl Extension {
    /// Reads what was asked for; `is_on` tells whether a parameter is.
    pub(super) fn read(is_on: impl Fn(&str) -> bool) -> Self {
        match (is_on("ack"), is_on("events")) {
            (false, false) => Self::Plain,
            (true, false) => Self::Acks,
            (false, true) => Self::Events,
            (true, true) => Self::Both,
        }
    }

    /// Tells whether the caller is told every second how far its stream is.
    pub(crate) fn tells_progress(self) -> bool {
        matches!(self, Self::Acks | Self::Both)
    }

    /// Tells whether the caller is told of moves.
    pub(crate) fn tells_events(self) -> bool {
        matches!(self, Self::Events | Self::Both)
    }
}

/// What a stream loses with its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Failover {
    /// Nothing, wherever it is cut.
    Full,
    /// Itself: its audio cannot be replayed from anywhere but its beginning.
    None,
}

/// A message that only this API has. Times are milliseconds, positions are samples of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
pub(crate) enum Notice<'a> {
    /// First of all.
    SessionInfo {
        /// Opens the stream again; none where it cannot be resumed.
        resume_token: Option<&'a str>,
        /// Audio that may be accepted and not final.
        max_unacked_samples: Option<u64>,
        failover: Failover,
    },
    /// How far the stream is.
    AudioAck { received_samples: u64, final_samples: u64 },
    /// First of all after a resume: the caller sends from `received_samples` on.
    Resumed { received_samples: u64, final_samples: u64, last_seq: u64 },
    /// The leg `epoch` was lost; what comes after the sample will be late.
    Failover { epoch: u32, from_sample: u64, reason: &'static str, planned: bool },
    /// The leg `epoch` goes on.
    Recovered { epoch: u32, gap_ms: u64, replayed_ms: u64, merged: &'static str },
    /// The session ends, and it is not the caller's doing.
    GaveUp { code: u16, reason: &'static str, description: &'static str, resume_token: Option<&'a str> },
}

impl Notice<'_> {
    /// Says how far a stream is.
    pub(crate) fn ack(progress: Progress) -> Self {
        Self::AudioAck { received_samples: progress.received, final_samples: progress.settled }
    }

    /// Says why a session ends.
    pub(crate) fn gave_up(reason: CloseReason, resume_token: Option<&str>) -> Notice<'_> {
        let (code, description) = (reason.close_code(), reason.close_text());
        Notice::GaveUp { code, reason: reason.label(), description, resume_token }
    }

    /// Writes it.
    pub(crate) fn text(&self) -> String {
        // Numbers and texts can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Names why a leg was lost.
pub(crate) fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Lost => "lost",
        Cause::Unanswered => "unanswered",
        Cause::Behind => "behind",
        Cause::Nonsense => "nonsense",
    }
}

/// Names how results were made to go on.
pub(crate) fn merged_name(merged: Merged) -> &'static str {
    match merged {
        Merged::Seam => "seam",
        Merged::Aligned => "aligned",
        Merged::Time => "time",
    }
}

/// What a message to the caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tale {
    /// A final result.
    Final,
    /// The last message of a stream.
    Summary,
    /// Anything else.
    Other,
}

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    is_final: bool,
}

/// Tells final results from all else.
pub(crate) fn tale(text: &str) -> Tale {
    let typed = serde_json::from_str::<Typed<'_>>(text).ok();
    match typed.as_ref().map(|typed| (typed.kind.as_ref(), typed.is_final)) {
        Some(("Results", true)) => Tale::Final,
        Some(("Metadata", _)) => Tale::Summary,
        Some(_) | None => Tale::Other,
    }
}

/// Writes its number into a result.
pub(crate) fn numbered(text: &str, seq: u64) -> String {
    match text.trim_start().strip_prefix('{') {
        Some(rest) => format!("{{\"seq\":{seq},{}", rest.trim_start()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(notice: &Notice<'_>) -> Value {
        serde_json::from_str(&notice.text()).unwrap()
    }

    #[test]
    fn each_wish_is_one_of_its_own() {
        let read = |on: &[&str]| Extension::read(|name| on.contains(&name));
        assert_eq!([read(&[]), read(&["ack"])], [Extension::Plain, Extension::Acks]);
        assert_eq!([read(&["events"]), read(&["ack", "events"])], [Extension::Events, Extension::Both]);
        assert!(!Extension::Events.tells_progress() && !Extension::Acks.tells_events());
    }

    #[test]
    fn notices_are_flat_and_named_by_their_type() {
        let info = Notice::SessionInfo {
            resume_token: Some("t"),
            max_unacked_samples: Some(960_000),
            failover: Failover::Full,
        };
        let expected = json!({"type":"SessionInfo","resume_token":"t","max_unacked_samples":960_000,"failover":"full"});
        assert_eq!(written(&info), expected);
        assert_eq!(
            written(&Notice::ack(Progress { received: 7, settled: 3 })),
            json!({"type":"AudioAck","received_samples":7,"final_samples":3})
        );
        assert_eq!(
            written(&Notice::gave_up(CloseReason::NoCapacity, None)),
            json!({"type":"GaveUp","code":1013,"reason":"no_capacity","description":"no capacity, please try again",
                "resume_token":null})
        );
    }

    #[test]
    fn only_final_results_are_numbered_and_they_stay_what_they_were() {
        let result = "{ \"type\": \"Results\", \"is_final\": true}";
        assert_eq!(tale(result), Tale::Final);
        let numbered: Value = serde_json::from_str(&numbered(result, 9)).unwrap();
        assert_eq!(numbered, json!({"type":"Results","is_final":true,"seq":9}));
        assert_eq!(tale(r#"{"type":"Results","is_final":false}"#), Tale::Other);
        assert_eq!(tale(r#"{"type":"Metadata","duration":1.0}"#), Tale::Summary);
        assert_eq!([tale("{"), tale(r#"{"type":"UtteranceEnd"}"#)], [Tale::Other; 2]);
    }
}
