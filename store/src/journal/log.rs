//! A log's life: what is live is found at the start, new lines go to the end, and when most of it is no longer live the rest is
//! written anew.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::disk::Medium;
use super::line::{Found, HEADER, LONGEST, Line, read};
use super::writer::Entry;
use super::{Damage, JournalError, Kept, RecordNumber, Replay};

/// Dead bytes that are not worth the work of compaction.
const TOLERATED: u64 = 1 << 20;

/// Why a log cannot go on.
#[derive(Clone, Debug)]
pub(super) enum LogError {
    Foreign,
    Read(Arc<io::Error>),
    Write(Arc<io::Error>),
    Full { limit: u64 },
}

impl LogError {
    /// Names the file.
    pub(super) fn at(self, path: &Path) -> JournalError {
        let path = path.to_owned();
        match self {
            Self::Foreign => JournalError::Foreign(path),
            Self::Read(source) => JournalError::Open { path, source },
            Self::Write(source) => JournalError::Write { path, source },
            Self::Full { limit } => JournalError::Full { path, limit },
        }
    }
}

/// What a replay found, and the number of the next record.
pub(super) struct Replayed<R> {
    pub(super) replay: Replay<R>,
    pub(super) next: u64,
}

/// Lines on a medium, and where the live ones are.
#[derive(Debug)]
pub(super) struct Log<M> {
    medium: M,
    limit: u64,
    /// Where the next line goes.
    length: u64,
    live: BTreeMap<RecordNumber, Range<u64>>,
    live_bytes: u64,
}

impl<M: Medium> Log<M> {
    /// Reads what is live and cuts off a torn end.
    pub(super) fn replay<R: DeserializeOwned>(medium: M, limit: u64) -> Result<(Self, Replayed<R>), LogError> {
        let mut log = Self { medium, limit, length: 0, live: BTreeMap::new(), live_bytes: 0 };
        let mut reading = Reading::new();
        let mut lines = BufReader::new(log.medium.reader().map_err(read_failed)?);
        reading.header(&mut lines)?;
        reading.lines(&mut lines)?;
        drop(lines);
        if reading.good == 0 {
            log.medium.write(0, HEADER).map_err(write_failed)?;
        }
        log.length = reading.good.max(HEADER.len() as u64);
        if reading.damage.torn_bytes > 0 {
            log.medium.truncate(log.length).map_err(write_failed)?;
        }
        log.live = reading.live;
        log.live_bytes = log.live.values().map(length).sum();
        let records = reading.records.into_iter().map(|(number, record)| Kept { number, record }).collect();
        Ok((log, Replayed { replay: Replay { records, damage: reading.damage }, next: reading.highest + 1 }))
    }

    /// Writes lines and waits until they are safe. What is only let go is let go even when that cannot be written.
    pub(super) fn commit(&mut self, entries: &[Entry]) -> Result<(), LogError> {
        entries.iter().filter(|entry| !entry.adds_a_record()).for_each(|entry| self.forget(entry.forgotten()));
        let bytes: Vec<u8> = entries.iter().flat_map(Entry::bytes).copied().collect();
        self.make_room(bytes.len() as u64)?;
        if let Err(error) = self.medium.write(self.length, &bytes) {
            // A part of a line would be passed over at a replay; cutting it off gives its bytes back as well.
            let _ = self.medium.truncate(self.length);
            return Err(write_failed(error));
        }
        for entry in entries {
            self.written(entry);
        }
        Ok(())
    }

    /// Writes the live lines anew when most of the log is dead.
    pub(super) fn tidy(&mut self) -> Result<(), LogError> {
        let nothing_lives = self.live.is_empty() && self.dead() > TOLERATED / 16;
        if nothing_lives || self.dead() > self.live_bytes + TOLERATED { self.compact() } else { Ok(()) }
    }

    fn make_room(&mut self, bytes: u64) -> Result<(), LogError> {
        if self.length + bytes <= self.limit {
            return Ok(());
        }
        if self.dead() > 0 {
            self.compact()?;
        }
        if self.length + bytes <= self.limit { Ok(()) } else { Err(LogError::Full { limit: self.limit }) }
    }

    fn dead(&self) -> u64 {
        self.length - HEADER.len() as u64 - self.live_bytes
    }

    fn written(&mut self, entry: &Entry) {
        let end = self.length + entry.bytes().len() as u64;
        if entry.adds_a_record() {
            self.forget(entry.forgotten());
            self.live_bytes += end - self.length;
            self.live.insert(entry.number(), self.length..end);
        }
        self.length = end;
    }

    fn forget(&mut self, numbers: &[RecordNumber]) {
        for number in numbers {
            if let Some(part) = self.live.remove(number) {
                self.live_bytes -= length(&part);
            }
        }
    }

    fn compact(&mut self) -> Result<(), LogError> {
        if self.live.is_empty() {
            // Needs no room, so that a full disk cannot keep what nobody needs.
            self.medium.truncate(HEADER.len() as u64).map_err(write_failed)?;
        } else {
            let parts: Vec<_> = self.live.values().cloned().collect();
            self.medium.keep(&parts).map_err(write_failed)?;
        }
        self.length = HEADER.len() as u64;
        for part in self.live.values_mut() {
            let end = self.length + length(part);
            *part = self.length..end;
            self.length = end;
        }
        Ok(())
    }
}

/// What was found so far.
struct Reading<R> {
    records: BTreeMap<RecordNumber, R>,
    live: BTreeMap<RecordNumber, Range<u64>>,
    damage: Damage,
    /// The end of the last line that is what was written.
    good: u64,
    highest: u64,
}

impl<R: DeserializeOwned> Reading<R> {
    fn new() -> Self {
        Self { records: BTreeMap::new(), live: BTreeMap::new(), damage: Damage::default(), good: 0, highest: 0 }
    }

    fn header(&mut self, lines: &mut impl Read) -> Result<(), LogError> {
        let mut header = Vec::new();
        lines.take(HEADER.len() as u64).read_to_end(&mut header).map_err(read_failed)?;
        match header.len() {
            _ if header == HEADER => self.good = HEADER.len() as u64,
            // The first start was cut short.
            length if HEADER.starts_with(&header) => self.damage.torn_bytes = length as u64,
            _ => return Err(LogError::Foreign),
        }
        Ok(())
    }

    fn lines(&mut self, lines: &mut impl BufRead) -> Result<(), LogError> {
        let (mut end, mut garbage, mut line) = (self.good, 0, Vec::new());
        // Garbage without an end of line is read in pieces.
        while lines.by_ref().take(LONGEST as u64).read_until(b'\n', &mut line).map_err(read_failed)? > 0 {
            let start = end;
            end += line.len() as u64;
            let found = read::<R>(&line);
            line.clear();
            match found {
                Found::Line(Line { number, forget, record }) => self.found(number, &forget, record, start..end),
                Found::Unknown(Line { number, forget, record: _ }) => {
                    self.damage.unknown_records += 1;
                    self.live.insert(number, start..end);
                    self.found(number, &forget, None, start..end);
                }
                Found::Garbage => {
                    garbage += 1;
                    continue;
                }
            }
            self.damage.corrupt_lines += std::mem::take(&mut garbage);
        }
        if self.good > 0 {
            self.damage.torn_bytes = end - self.good;
        }
        Ok(())
    }

    fn found(&mut self, number: RecordNumber, forget: &[RecordNumber], record: Option<R>, part: Range<u64>) {
        self.good = part.end;
        self.highest = self.highest.max(number.0);
        for number in forget {
            self.live.remove(number);
            self.records.remove(number);
        }
        if let Some(record) = record {
            self.live.insert(number, part);
            self.records.insert(number, record);
        }
    }
}

fn length(part: &Range<u64>) -> u64 {
    part.end - part.start
}

fn read_failed(error: io::Error) -> LogError {
    LogError::Read(Arc::new(error))
}

fn write_failed(error: io::Error) -> LogError {
    LogError::Write(Arc::new(error))
}
