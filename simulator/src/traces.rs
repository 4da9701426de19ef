//! Traces: recorded days, read from files that the repository does not hold.

mod servegen;
mod sessions;
mod spot;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

pub use servegen::{Client, ClientRates, Law, RateTrace, WINDOW, Window};
pub use sessions::{Recorded, RecordedSessions};
pub use spot::{Capacity, SpotEntry, SpotFile, SpotSource, SyntheticSpot};

/// Why a trace cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("cannot read trace {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// A line is not what the format says.
    #[error("trace {}, line {line}: expected {expected}, got {found:?}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// The file is not the JSON that the format says.
    #[error("trace {}: {cause}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: serde_json::Error,
    },
    /// The trace is shorter than the scenario.
    #[error("trace {} ends after {has} windows of 10 minutes, the scenario needs {needs}", path.display())]
    Short {
        /// The file.
        path: PathBuf,
        /// Windows in the file.
        has: usize,
        /// Windows needed.
        needs: usize,
    },
}

/// More than any trace has: a compressed file may not fill the memory.
const MOST_BYTES: u64 = 1 << 30;

/// Reads a text file, unpacking it when its name ends in `.gz`.
fn read_text(path: &Path) -> Result<String, TraceError> {
    let unreadable = |cause| TraceError::Unreadable { path: path.to_owned(), cause };
    let file = BufReader::new(File::open(path).map_err(unreadable)?);
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let mut reader: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut text = String::new();
    reader.by_ref().take(MOST_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// Reads one field of a line.
fn field<T: std::str::FromStr>(
    text: Option<&str>,
    path: &Path,
    line: usize,
    expected: &'static str,
) -> Result<T, TraceError> {
    let found = text.unwrap_or_default().trim();
    found.parse().map_err(|_| TraceError::Line { path: path.to_owned(), line, expected, found: found.to_owned() })
}
