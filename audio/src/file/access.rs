//! How a parser may go through a file. One that may jump looks for the end of every part it is promised, and gives up
//! on a file that broke off; one that may not reads on until there is no more.

use std::io::{Read, Result, Seek, SeekFrom};

use crate::sniff::Container;

/// The parts of an MP4 that are looked at: a handful in those that are one piece.
const PARTS: usize = 64;

/// Whether the parser may know where the file ends and go there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// It must: tables may come last.
    Anywhere,
    /// It should not: the file holds less than it promises, or nothing at its end is needed.
    Forward,
}

impl Access {
    /// Chooses for a file of `len` bytes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn choose(container: Container, file: &mut (impl Read + Seek), len: u64) -> Result<Self> {
        let forward = container == Container::Webm || container == Container::Mp4 && breaks_off(file, len)?;
        Ok(if forward { Self::Forward } else { Self::Anywhere })
    }
}

/// Tells whether the last part of an MP4 is longer than what is left of the file.
fn breaks_off(file: &mut (impl Read + Seek), len: u64) -> Result<bool> {
    let mut start = 0_u64;
    for _ in 0..PARTS {
        if start.saturating_add(16) > len {
            break;
        }
        let mut header = [0; 16];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut header)?;
        let [a, b, c, d, _, _, _, _, long @ ..] = header;
        let size = match u32::from_be_bytes([a, b, c, d]) {
            0 => return Ok(false), // it ends where the file ends
            1 => u64::from_be_bytes(long),
            short => short.into(),
        };
        start = start.saturating_add(size.max(8));
    }
    Ok(start > len)
}
