//! Text messages of a caller.

use serde::Deserialize;

/// What a caller may say in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type")]
pub(super) enum Control {
    /// The caller is still there.
    KeepAlive,
    /// The caller wants results for what it sent.
    Finalize,
    /// There will be no more audio.
    CloseStream,
    /// The caller wants other key terms or features than it asked for at first.
    Configure,
}

impl Control {
    /// Reads a message; other members than `type` do not matter.
    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_whatever_their_spacing_and_other_members() {
        assert_eq!(Control::read(r#"{"type": "KeepAlive"}"#), Some(Control::KeepAlive));
        assert_eq!(Control::read(r#"{"channel":0,"type":"Finalize"}"#), Some(Control::Finalize));
        assert_eq!(Control::read(r#"{"type":"CloseStream"}"#), Some(Control::CloseStream));
        for other in ["", "{", "[]", "null", r#"{"type":7}"#, r#"{"type":"Zorb"}"#, r#"{"Type":"KeepAlive"}"#] {
            assert_eq!(Control::read(other), None, "{other}");
        }
    }
}
