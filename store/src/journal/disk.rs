//! The file of a journal, and what is asked of it: a trait, so that tests can have a disk that is full.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::JournalError;
use super::line::HEADER;

/// Bytes copied at one time when the file is written anew.
const COPIED: usize = 64 << 10;

/// Where a log's bytes are.
pub(super) trait Medium: Send + 'static {
    /// Returns a reader from the beginning.
    ///
    /// # Errors
    /// Fails when the disk does.
    fn reader(&self) -> io::Result<impl Read + '_>;

    /// Writes bytes at a place and waits until they are safe.
    ///
    /// # Errors
    /// Fails when the disk does; then a part of them may be there.
    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts off everything from a place on.
    ///
    /// # Errors
    /// Fails when the disk does.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Keeps the header and these parts, in this order, and nothing else. Atomic.
    ///
    /// # Errors
    /// Fails when the disk does; then everything is as it was.
    fn keep(&mut self, parts: &[Range<u64>]) -> io::Result<()>;
}

/// A journal's file, locked for this process.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    file: File,
    /// A file of its own, because the journal's is replaced when it is written anew.
    _lock: File,
}

impl Disk {
    /// Opens, or makes, the file and its directory.
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |error: io::Error| JournalError::Open { path: path.to_owned(), source: Arc::new(error) };
        fs::create_dir_all(directory(path)).map_err(failed)?;
        let lock = writable(&path.with_extension("lock")).map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::Locked(path.to_owned()),
            TryLockError::Error(error) => failed(error),
        })?;
        let file = writable(path).map_err(failed)?;
        sync_directory(path).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, _lock: lock })
    }

    fn copy(&self, parts: &[Range<u64>], to: &mut File) -> io::Result<()> {
        let mut buffer = vec![0; COPIED];
        to.write_all(HEADER)?;
        for part in parts {
            let mut at = part.start;
            while at < part.end {
                let length = usize::try_from(part.end - at).unwrap_or(COPIED).min(COPIED);
                self.file.read_exact_at(&mut buffer[..length], at)?;
                to.write_all(&buffer[..length])?;
                at += length as u64;
            }
        }
        to.sync_all()
    }
}

impl Medium for Disk {
    fn reader(&self) -> io::Result<impl Read + '_> {
        File::open(&self.path)
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, at)?;
        self.file.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.sync_data()
    }

    fn keep(&mut self, parts: &[Range<u64>]) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = writable(&new)?;
        file.set_len(0)?;
        if let Err(error) = self.copy(parts, &mut file) {
            // What it took of a full disk is given back.
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        fs::rename(&new, &self.path)?;
        self.file = file;
        sync_directory(&self.path)
    }
}

/// Opens for reading and writing; only its owner may look inside.
fn writable(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// A file that was made or renamed is safe once its directory is.
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory(path))?.sync_all()
}
