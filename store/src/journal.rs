//! The journal: records that must be on disk before anybody is told that they are safe. It stands apart from both backends,
//! because neither remembers through a crash.
//!
//! * [`Journal`]: append, replace and acknowledge, fsynced in groups by a thread of its own, so that no caller's runtime waits.
//! * `line`: how a record is written and told from garbage. `log`: the file's life: replay, growth, compaction. `disk`: the
//!   file itself. `writer`: the thread.
//!
//! A record is live from its append until it is acknowledged or replaced; what is live is replayed when the journal is opened
//! again. What was cut short by a crash is cut off, what is damaged is passed over, and both are counted. A record whose
//! append failed may be replayed nevertheless, so records carry an id of their own that makes them safe to hear twice.

mod disk;
mod line;
mod log;
mod writer;

use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use disk::Disk;
use line::Line;
use log::Log;
use writer::{Entry, Writer};

/// A record's number in its journal: later records have higher ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordNumber(u64);

/// A live record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<R> {
    /// Acknowledges or replaces it.
    pub number: RecordNumber,
    /// What was appended.
    pub record: R,
}

/// What a journal held when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay<R> {
    /// The live records, oldest first.
    pub records: Vec<Kept<R>>,
    /// What was in the way.
    pub damage: Damage,
}

/// What a journal could not read when it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Bytes cut off at the end: an append that a crash cut short.
    pub torn_bytes: u64,
    /// Lines in the middle that are not what was written; they are lost.
    pub corrupt_lines: usize,
    /// Records of a shape that this program does not know; they stay in the file for one that does.
    pub unknown_records: usize,
}

/// Why a journal cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be made, read or locked.
    #[error("cannot open the journal {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// Another process has it.
    #[error("the journal {} belongs to another running process: give each process a store.directory of its own", .0.display())]
    Locked(PathBuf),
    /// The file begins as no journal of this version does.
    #[error("{} is no journal of version 1: move it away and start again", .0.display())]
    Foreign(PathBuf),
    /// The disk did not take a record.
    #[error("cannot write to the journal {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// Live records fill the journal.
    #[error("the journal {} is full: {limit} bytes hold records that nobody has acknowledged", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// Its largest size, in bytes.
        limit: u64,
    },
    /// A record is too long or cannot be written as JSON.
    #[error("a record cannot be journalled: {0}")]
    Record(String),
    /// The thread that writes has ended.
    #[error("the journal {} is closed", .0.display())]
    Closed(PathBuf),
}

impl JournalError {
    /// Tells whether the disk or the journal has no room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Write { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Open { .. } | Self::Locked(_) | Self::Foreign(_) | Self::Record(_) | Self::Closed(_) => false,
        }
    }
}

/// An append-only file of records, or nothing but their numbers where no directory is configured. Dropping it waits until
/// what was asked for is written.
#[derive(Debug)]
pub struct Journal<R> {
    next: AtomicU64,
    writer: Option<Writer>,
    records: PhantomData<fn(R)>,
}

impl<R: Serialize + DeserializeOwned> Journal<R> {
    /// Numbers records and keeps none: what is appended lives in its owner's memory.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { next: AtomicU64::new(1), writer: None, records: PhantomData }
    }

    /// Opens the journal at `path`, of at most `limit` bytes, and makes its directory and itself where they are missing. Blocks.
    ///
    /// # Errors
    /// Fails when the file cannot be made or read, is no journal, or belongs to another process.
    pub fn open(path: &Path, limit: u64) -> Result<(Self, Replay<R>), JournalError> {
        let disk = Disk::open(path)?;
        let (log, found) = Log::replay::<R>(disk, limit).map_err(|error| error.at(path))?;
        let journal =
            Self { next: AtomicU64::new(found.next), writer: Some(Writer::start(path, log)?), records: PhantomData };
        Ok((journal, found.replay))
    }

    /// Appends records and resolves when they are on disk. Together they are not atomic: a crash may keep the first of them.
    /// If the future is dropped they may be kept under numbers that nobody knows, until the journal is opened again.
    ///
    /// # Errors
    /// Fails when the disk or the journal is full, and on a record beyond 256 KiB; then none of them is safe.
    pub async fn append(&self, records: &[R]) -> Result<Vec<RecordNumber>, JournalError> {
        self.write(records.iter().map(|record| (Vec::new(), record))).await
    }

    /// Puts one record in the place of others, atomically, and resolves when that is on disk.
    ///
    /// # Errors
    /// As [`Journal::append`]; then the others are live still.
    pub async fn replace(&self, old: Vec<RecordNumber>, record: &R) -> Result<RecordNumber, JournalError> {
        let entry = self.line(old, record)?;
        let number = entry.number();
        self.commit(vec![entry]).await?;
        Ok(number)
    }

    /// Puts records in the places of others, each of them atomically, as [`Journal::append`] does with none.
    ///
    /// # Errors
    /// As [`Journal::append`]; then the others are live still.
    pub async fn supersede(&self, changes: &[(Vec<RecordNumber>, R)]) -> Result<Vec<RecordNumber>, JournalError> {
        self.write(changes.iter().map(|(old, record)| (old.clone(), record))).await
    }

    /// Lets records go that somebody else keeps now. A crash soon after may replay them.
    ///
    /// # Errors
    /// Fails when the disk does not take it; the records are let go nevertheless, and may be replayed.
    pub async fn acknowledge(&self, numbers: Vec<RecordNumber>) -> Result<(), JournalError> {
        if numbers.is_empty() {
            return Ok(());
        }
        let entry = Line::forgetting(self.number(), numbers).encode().map(Entry::forgets)?;
        self.commit(vec![entry]).await
    }

    /// Tells whether what is appended outlives the process.
    #[must_use]
    pub fn is_on_disk(&self) -> bool {
        self.writer.is_some()
    }

    async fn write<'a>(
        &self,
        changes: impl Iterator<Item = (Vec<RecordNumber>, &'a R)>,
    ) -> Result<Vec<RecordNumber>, JournalError>
    where
        R: 'a,
    {
        let entries = changes.map(|(old, record)| self.line(old, record)).collect::<Result<Vec<Entry>, _>>()?;
        let numbers = entries.iter().map(Entry::number).collect();
        if !entries.is_empty() {
            self.commit(entries).await?;
        }
        Ok(numbers)
    }

    fn number(&self) -> RecordNumber {
        RecordNumber(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn line(&self, forget: Vec<RecordNumber>, record: &R) -> Result<Entry, JournalError> {
        Line { number: self.number(), forget, record: Some(record) }.encode().map(Entry::adds)
    }

    async fn commit(&self, entries: Vec<Entry>) -> Result<(), JournalError> {
        match &self.writer {
            Some(writer) => writer.commit(entries).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
