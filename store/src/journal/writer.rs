//! The thread that writes a journal: what has gathered while the disk was busy is written together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::disk::Medium;
use super::line::Encoded;
use super::log::{Log, LogError};
use super::{JournalError, RecordNumber};

/// Commits that may wait; who comes then waits for room.
const WAITING: usize = 1024;
/// Commits written together, at most.
const GROUP: usize = 256;

/// A line on its way to the log.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// Adds a record, in the place of others or of none.
    Adds(Encoded),
    /// Lets records go.
    Forgets(Encoded),
}

impl Entry {
    pub(super) fn adds(line: Encoded) -> Self {
        Self::Adds(line)
    }

    pub(super) fn forgets(line: Encoded) -> Self {
        Self::Forgets(line)
    }

    pub(super) fn number(&self) -> RecordNumber {
        self.line().number
    }

    pub(super) fn forgotten(&self) -> &[RecordNumber] {
        &self.line().forget
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.line().bytes
    }

    pub(super) fn adds_a_record(&self) -> bool {
        matches!(self, Self::Adds(_))
    }

    fn line(&self) -> &Encoded {
        match self {
            Self::Adds(line) | Self::Forgets(line) => line,
        }
    }
}

/// Lines that are written together, and who waits for them.
struct Commit {
    entries: Vec<Entry>,
    done: oneshot::Sender<Result<(), LogError>>,
}

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    commits: Option<mpsc::Sender<Commit>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start<M: Medium>(path: &Path, log: Log<M>) -> Result<Self, JournalError> {
        let (commits, waiting) = mpsc::channel(WAITING);
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(move || write(log, waiting));
        let thread = thread.map_err(|error| JournalError::Open { path: path.to_owned(), source: Arc::new(error) })?;
        Ok(Self { path: path.to_owned(), commits: Some(commits), thread: Some(thread) })
    }

    /// Resolves when the lines are on disk.
    pub(super) async fn commit(&self, entries: Vec<Entry>) -> Result<(), JournalError> {
        let closed = || JournalError::Closed(self.path.clone());
        let (done, outcome) = oneshot::channel();
        let commits = self.commits.as_ref().ok_or_else(closed)?;
        commits.send(Commit { entries, done }).await.map_err(|_| closed())?;
        outcome.await.map_err(|_| closed())?.map_err(|error| error.at(&self.path))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.commits = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn write<M: Medium>(mut log: Log<M>, mut waiting: mpsc::Receiver<Commit>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut group = vec![first];
        while let Some(next) = (group.len() < GROUP).then(|| waiting.try_recv().ok()).flatten() {
            group.push(next);
        }
        let entries: Vec<Entry> = group.iter_mut().flat_map(|commit| std::mem::take(&mut commit.entries)).collect();
        let outcome = log.commit(&entries);
        for commit in group {
            // Nobody waits any more for an append that was dropped.
            let _ = commit.done.send(outcome.clone());
        }
        if let Err(error) = log.tidy() {
            warn!(?error, "a journal cannot be compacted, it grows until it can");
        }
    }
}
