//! Facts: what rules may look at that a placement itself does not need.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::Language;

/// Headers and claims that one request may bring; more are left out.
const MOST_FACTS: usize = 16;
/// The longest value of a header or a claim, in bytes; a longer one is left out.
const LONGEST_FACT: usize = 256;

/// The caller API that a session came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// `/v1/listen`.
    Listen,
    /// `/v1/audio/transcriptions`.
    Transcriptions,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Listen, Self::Transcriptions];

    /// Returns the path of its requests.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Listen => "/v1/listen",
            Self::Transcriptions => "/v1/audio/transcriptions",
        }
    }
}

/// A country as two letters of ISO 3166-1, such as `DE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Country([u8; 2]);

/// Says that a text is no country.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected two letters of a country such as DE, got {0:?}")]
pub struct BadCountry(String);

impl TryFrom<String> for Country {
    type Error = BadCountry;
    fn try_from(text: String) -> Result<Self, BadCountry> {
        match text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err(BadCountry(text.chars().take(64).collect())),
        }
    }
}

impl std::str::FromStr for Country {
    type Err = BadCountry;
    fn from_str(text: &str) -> Result<Self, BadCountry> {
        text.to_owned().try_into()
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.to_string()
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", char::from(self.0[0]), char::from(self.0[1]))
    }
}

/// What a session's request said, as far as rules may ask. All of it comes from callers and is believed only where it narrows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The caller API.
    pub service: Option<Service>,
    /// The path of the request.
    pub path: String,
    /// The headers that the proxy passes on, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The claims of the caller's token.
    pub claims: BTreeMap<String, String>,
    /// Where the caller is.
    pub country: Option<Country>,
    /// The language that the caller says is spoken.
    pub language: Option<Language>,
}

impl Facts {
    /// Notes a header, name in any case.
    pub fn note_header(&mut self, name: &str, value: &str) {
        note(&mut self.headers, name, value);
    }

    /// Notes a claim of the caller's token.
    pub fn note_claim(&mut self, name: &str, value: &str) {
        note(&mut self.claims, name, value);
    }
}

/// What is too long or too much is left out: a rule that looks for it does not hold.
fn note(notes: &mut BTreeMap<String, String>, name: &str, value: &str) {
    if notes.len() < MOST_FACTS && name.len() <= LONGEST_FACT && value.len() <= LONGEST_FACT {
        notes.insert(name.to_ascii_lowercase(), value.to_owned());
    }
}
