//! The reader between a file and the libraries that parse it. A parser that is led astray reads too much: in circles,
//! or one packet as large as the file. So every step has an allowance, and so has the whole.

use std::io::{Error, Read, Result, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use symphonia::core::io::MediaSource;

use super::access::Access;
use crate::sniff::Container;

/// What opening a file may read: the tables of a 12 h M4A take 8 MiB, pictures may come before them.
const OPENING: u64 = 64 << 20;
/// What one packet may read; the largest are of FLAC, and of video that comes between.
const PACKET: u64 = 16 << 20;
/// How often the whole file may be read.
const PASSES: u64 = 8;

/// What may still be read, shared between the file's reader and the decoder that sets it.
#[derive(Clone, Debug)]
pub(super) struct Meter(Arc<Allowance>);

#[derive(Debug)]
struct Allowance {
    step: AtomicU64,
    whole: AtomicU64,
}

impl Meter {
    /// Allows another packet.
    pub(super) fn next_packet(&self) {
        self.0.step.store(PACKET, Ordering::Relaxed);
    }

    /// Tells whether an allowance is used up: the error that the parser made of it is not worth showing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.step.load(Ordering::Relaxed) == 0 || self.0.whole.load(Ordering::Relaxed) == 0
    }

    /// The reader is the only one who takes, so that load and store need not be one.
    fn take(&self, wanted: usize) -> Result<usize> {
        let (step, whole) = (self.0.step.load(Ordering::Relaxed), self.0.whole.load(Ordering::Relaxed));
        let granted = usize::try_from(step.min(whole)).unwrap_or(usize::MAX).min(wanted);
        if granted == 0 && wanted > 0 {
            return Err(Error::other("allowance used up"));
        }
        self.0.step.store(step - granted as u64, Ordering::Relaxed);
        self.0.whole.store(whole - granted as u64, Ordering::Relaxed);
        Ok(granted)
    }
}

/// A file that is read within its allowance.
#[derive(Debug)]
pub(super) struct Metered<R> {
    file: R,
    access: Access,
    len: u64,
    meter: Meter,
}

impl<R: Read + Seek> Metered<R> {
    /// Goes to the start of a file and allows to open it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn new(mut file: R, container: Container) -> Result<Self> {
        let len = file.seek(SeekFrom::End(0))?;
        let access = Access::choose(container, &mut file, len)?;
        file.rewind()?;
        let whole = AtomicU64::new(len.saturating_mul(PASSES).saturating_add(OPENING));
        let meter = Meter(Arc::new(Allowance { step: AtomicU64::new(OPENING), whole }));
        Ok(Self { file, access, len, meter })
    }
}

impl<R> Metered<R> {
    /// Returns the handle that allows more.
    pub(super) fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// Returns the file's length in bytes.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let granted = self.meter.take(buffer.len())?;
        self.file.read(&mut buffer[..granted])
    }
}

impl<R: Seek> Seek for Metered<R> {
    fn seek(&mut self, position: SeekFrom) -> Result<u64> {
        self.file.seek(position)
    }
}

impl<R: Read + Seek + Send + Sync> MediaSource for Metered<R> {
    fn is_seekable(&self) -> bool {
        self.access == Access::Anywhere
    }

    fn byte_len(&self) -> Option<u64> {
        self.is_seekable().then_some(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn a_file_is_read_so_often_and_no_more() {
        let mut file = Metered::new(Cursor::new(vec![7; 1000]), Container::Mp3).unwrap();
        let (meter, mut buffer, mut read) = (file.meter(), vec![0; 1 << 20], 0);
        while let Ok(bytes) = file.read(&mut buffer) {
            read += bytes as u64;
            file.rewind().unwrap();
            meter.next_packet();
        }
        assert!(meter.is_empty());
        assert!(read <= PASSES * 1000 + OPENING);
    }
}
