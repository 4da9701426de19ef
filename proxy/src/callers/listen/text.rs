//! The caller's text messages: JSON, told apart by `type`.

use serde::Deserialize;
use session::Control;

/// Longest text message that is looked at, in bytes.
const LIMIT: usize = 16 << 10;
/// How much of a message that makes no sense is shown again.
const SHOWN: usize = 1 << 10;

/// What a caller's text message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallerText {
    /// A sign of life.
    KeepAlive,
    /// Something the session must know.
    Control(Control),
    /// Nothing that this API knows.
    Unknown,
}

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
}

/// Understands a text message.
pub(crate) fn hear(text: &str) -> CallerText {
    if text.len() > LIMIT {
        return CallerText::Unknown;
    }
    let Ok(message) = serde_json::from_str::<Typed<'_>>(text) else { return CallerText::Unknown };
    match message.kind.as_ref() {
        "KeepAlive" => CallerText::KeepAlive,
        "Finalize" => CallerText::Control(Control::Finalize),
        "CloseStream" => CallerText::Control(Control::CloseStream),
        "Configure" => CallerText::Control(Control::Configure),
        _ => CallerText::Unknown,
    }
}

/// Answers a message that makes no sense; the session goes on.
pub(crate) fn schema_error(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN).collect();
    let message = serde_json::json!({
        "type": "Error",
        "variant": "SchemaError",
        "description": "Could not parse the text message",
        "message": shown,
    });
    message.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_does_not_matter() {
        assert_eq!(hear(r#"{"type": "KeepAlive"}"#), CallerText::KeepAlive);
        assert_eq!(hear(r#"{"type":"CloseStream"}"#), CallerText::Control(Control::CloseStream));
        assert_eq!(hear(r#"{"type":"Finalize","channel":0}"#), CallerText::Control(Control::Finalize));
    }

    #[test]
    fn what_is_no_known_message_is_unknown() {
        for text in ["", "hello", "{}", r#"{"type":7}"#, r#"{"type":"Dance"}"#, "[1]"] {
            assert_eq!(hear(text), CallerText::Unknown, "{text}");
        }
        assert_eq!(hear(&format!(r#"{{"type":"KeepAlive","x":"{}"}}"#, "y".repeat(LIMIT))), CallerText::Unknown);
    }

    #[test]
    fn the_answer_shows_the_callers_text() {
        let answer: serde_json::Value = serde_json::from_str(&schema_error("hel\"lo")).unwrap();
        assert_eq!(answer["message"], "hel\"lo");
        assert_eq!(answer["variant"], "SchemaError");
    }
}
