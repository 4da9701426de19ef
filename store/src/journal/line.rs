//! One line of a journal: a checksum, a space, and JSON that says which records it adds and lets go. A line is atomic: a crash
//! leaves all of it or garbage.

use std::fmt::Write as _;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{JournalError, RecordNumber};

/// How every journal begins.
pub(super) const HEADER: &[u8] = b"crosspoint journal 1\n";
/// The longest line, in bytes.
pub(super) const LONGEST: usize = 256 << 10;
/// Bytes of the checksum: enough that damage passes once in 2^64 times.
const SUM: usize = 8;

/// What one line says.
#[derive(Serialize, Deserialize)]
pub(super) struct Line<R> {
    pub(super) number: RecordNumber,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) forget: Vec<RecordNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<R>,
}

/// A line that is ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Encoded {
    pub(super) number: RecordNumber,
    pub(super) forget: Vec<RecordNumber>,
    pub(super) bytes: Vec<u8>,
}

/// What a line that was found says.
pub(super) enum Found<R> {
    /// A line that was written here.
    Line(Line<R>),
    /// A line that was written by a program that knows other records.
    Unknown(Line<IgnoredAny>),
    /// Not what was written.
    Garbage,
}

impl Line<()> {
    /// Lets records go and adds none.
    pub(super) fn forgetting(number: RecordNumber, forget: Vec<RecordNumber>) -> Self {
        Self { number, forget, record: None }
    }
}

impl<R: Serialize> Line<R> {
    /// Writes the line.
    ///
    /// # Errors
    /// Fails on a record that is no JSON or too long.
    pub(super) fn encode(self) -> Result<Encoded, JournalError> {
        let json = serde_json::to_vec(&self).map_err(|error| JournalError::Record(error.to_string()))?;
        let mut bytes = sum(&json).into_bytes();
        bytes.push(b' ');
        bytes.extend(json);
        bytes.push(b'\n');
        if bytes.len() > LONGEST {
            let problem = format!("expected at most {LONGEST} bytes, got {}", bytes.len());
            return Err(JournalError::Record(problem));
        }
        Ok(Encoded { number: self.number, forget: self.forget, bytes })
    }
}

/// Reads a line that was found, its end included.
pub(super) fn read<R: DeserializeOwned>(bytes: &[u8]) -> Found<R> {
    let json = bytes.strip_suffix(b"\n").and_then(|line| line.split_at_checked(2 * SUM)).and_then(|(found, rest)| {
        let json = rest.strip_prefix(b" ")?;
        (found == sum(json).as_bytes()).then_some(json)
    });
    let Some(json) = json else { return Found::Garbage };
    match serde_json::from_slice(json) {
        Ok(line) => Found::Line(line),
        Err(_) => serde_json::from_slice(json).map_or(Found::Garbage, Found::Unknown),
    }
}

fn sum(json: &[u8]) -> String {
    let mut text = String::with_capacity(2 * SUM);
    for byte in Sha256::digest(json).iter().take(SUM) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
