//! Patterns: a text in which `*` stands for anything, compared without ASCII case.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A text with stars.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Pattern(String);

/// Says that a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 256 characters, with * for anything, got {0:?}")]
pub struct BadPattern(String);

impl Pattern {
    /// Tells whether `text` is of this shape. Takes time in proportion to both lengths at most.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let (text, mut pieces) = (text.as_bytes(), self.0.split('*').map(str::as_bytes));
        let head = pieces.next().unwrap_or_default();
        let Some(tail) = pieces.next_back() else { return text.eq_ignore_ascii_case(head) };
        if text.len() < head.len() + tail.len() {
            return false;
        }
        let (start, rest) = text.split_at(head.len());
        let (mut middle, end) = rest.split_at(rest.len() - tail.len());
        if !start.eq_ignore_ascii_case(head) || !end.eq_ignore_ascii_case(tail) {
            return false;
        }
        pieces.filter(|piece| !piece.is_empty()).all(|piece| {
            let found = middle.windows(piece.len()).position(|window| window.eq_ignore_ascii_case(piece));
            found.is_some_and(|at| {
                middle = &middle[at + piece.len()..];
                true
            })
        })
    }
}

impl FromStr for Pattern {
    type Err = BadPattern;
    fn from_str(text: &str) -> Result<Self, BadPattern> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Pattern {
    type Error = BadPattern;
    fn try_from(text: String) -> Result<Self, BadPattern> {
        if text.is_empty() || text.len() > 256 {
            return Err(BadPattern(text.chars().take(64).collect()));
        }
        Ok(Self(text))
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, slowly.
    fn matches(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => matches(rest, text) || (!text.is_empty() && matches(pattern, &text[1..])),
            ([a, rest @ ..], [b, text @ ..]) if a.eq_ignore_ascii_case(b) => matches(rest, text),
            (_, _) => false,
        }
    }

    #[test]
    fn stars_stand_for_anything_and_case_does_not_matter() {
        let cases =
            [("/v1/listen", "/V1/listen"), ("/v1/*", "/v1/"), ("*", ""), ("a*b*c", "axxbyyc"), ("*-eu", "acme-EU")];
        for (pattern, text) in cases {
            assert!(pattern.parse::<Pattern>().unwrap().matches(text), "{pattern} {text}");
        }
        for (pattern, text) in [("/v1/*", "/v2/x"), ("ab*ba", "aba"), ("a", "ab"), ("a*b*c", "acb")] {
            assert!(!pattern.parse::<Pattern>().unwrap().matches(text), "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn it_is_what_its_definition_says(pattern in "[ab*]{1,8}", text in "[aAb]{0,12}") {
            let expected = matches(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(pattern.parse::<Pattern>().unwrap().matches(&text), expected);
        }
    }
}
