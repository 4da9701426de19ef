//! What a caller sends faster than it is heard, in an unlinked temporary file: so the caller is read on, and its pings, which
//! come behind its own audio, are answered. What is in memory of it is two segments at most, and the messages come out in the
//! order in which they went in.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::warn;

use crate::budget::{Budget, Share};

/// Bytes written to the disk, and read from it, at once, but for a message that is longer.
const SEGMENT: usize = 64 << 10;
/// Where segments begin in the file: each has room for the longest message behind the last that fitted.
const SLOT: u64 = (SEGMENT + (1 << 20) + HEAD) as u64;
/// A message's kind and length.
const HEAD: usize = 5;

/// How much may wait on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SpillLimits {
    /// Bytes of one stream; with none it is read no faster than it is heard.
    pub bytes: u64,
    /// Bytes of all streams.
    pub bytes_together: u64,
}

impl Default for SpillLimits {
    fn default() -> Self {
        Self { bytes: 32 << 20, bytes_together: 4 << 30 }
    }
}

/// A message that waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spilled {
    Audio(Bytes),
    Text(Bytes),
}

/// Messages that wait.
#[derive(Debug)]
pub(super) struct Spill {
    limit: u64,
    share: Share,
    /// Bytes that wait, with their heads.
    bytes: u64,
    /// The next ones.
    ready: VecDeque<Spilled>,
    file: Option<Arc<File>>,
    segments: VecDeque<Segment>,
    slots: Slots,
    /// The last ones, as they are written.
    tail: Vec<u8>,
    job: Option<Job>,
    disk: Disk,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    slot: u64,
    length: usize,
}

/// Places in the file that are used again, so that it grows no further than what waits.
#[derive(Debug, Default)]
struct Slots {
    free: Vec<u64>,
    next: u64,
}

#[derive(Debug)]
enum Job {
    Write(Segment, JoinHandle<(io::Result<()>, Vec<u8>)>),
    Read(Segment, JoinHandle<io::Result<Vec<u8>>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Works,
    /// Nothing more is written; what waits is in memory, or can be read still.
    Full,
}

impl Spill {
    /// Starts with nothing, within the limits of the stream and of all of them.
    pub(super) fn new(limit: u64, together: &Arc<Budget>) -> Self {
        Self {
            limit,
            share: together.share(),
            bytes: 0,
            ready: VecDeque::new(),
            file: None,
            segments: VecDeque::new(),
            slots: Slots::default(),
            tail: Vec::new(),
            job: None,
            disk: Disk::Works,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Tells whether another message may be read.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < self.limit && self.tail.len() < SEGMENT && self.disk == Disk::Works
    }

    /// Keeps a message. Where the account of all streams is spent it is the last.
    pub(super) fn push(&mut self, message: &Spilled) {
        let (kind, payload) = match message {
            Spilled::Audio(payload) => (0, payload),
            Spilled::Text(payload) => (1, payload),
        };
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.tail.push(kind);
        self.tail.extend_from_slice(&length.to_be_bytes());
        self.tail.extend_from_slice(payload);
        let more = (HEAD + payload.len()) as u64;
        self.bytes += more;
        if !self.share.take(more) {
            self.disk = Disk::Full;
        }
        self.write();
    }

    /// Returns the next message; none where none waits.
    ///
    /// # Errors
    /// Fails when the disk does not give back what it took: the order is lost then.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Spilled>>> {
        loop {
            if let Some(next) = self.ready.pop_front() {
                return Poll::Ready(Ok(Some(self.taken(next))));
            }
            ready!(self.poll_job(cx))?;
            if !self.ready.is_empty() {
                continue;
            }
            match self.segments.pop_front() {
                Some(segment) => self.read(segment)?,
                None if self.tail.is_empty() => return Poll::Ready(Ok(None)),
                None => self.ready = decode(&Bytes::from(std::mem::take(&mut self.tail)))?,
            }
        }
    }

    /// Goes on with what the disk is doing; ready when it does nothing.
    pub(super) fn poll_job(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(job) = &mut self.job {
            match job {
                Job::Write(segment, writing) => {
                    let (segment, written) = (*segment, ready!(writing.poll_unpin(cx)));
                    self.job = None;
                    let (outcome, bytes) = written.map_err(io::Error::from)?;
                    self.written(segment, outcome, bytes);
                }
                Job::Read(segment, reading) => {
                    let (slot, read) = (segment.slot, ready!(reading.poll_unpin(cx)));
                    self.job = None;
                    self.slots.free.push(slot);
                    self.ready = decode(&Bytes::from(read.map_err(io::Error::from).flatten()?))?;
                }
            }
            self.write();
        }
        Poll::Ready(Ok(()))
    }

    fn taken(&mut self, message: Spilled) -> Spilled {
        let (Spilled::Audio(payload) | Spilled::Text(payload)) = &message;
        let less = (HEAD + payload.len()) as u64;
        self.bytes -= less;
        self.share.give(less);
        if self.bytes == 0 {
            // Neither the file nor the buffers are kept for the next time, which may never come.
            (self.file, self.slots, self.disk) = (None, Slots::default(), Disk::Works);
            (self.ready, self.segments) = (VecDeque::new(), VecDeque::new());
        }
        message
    }

    /// Writes the tail where it is long enough and the disk is free.
    fn write(&mut self) {
        if self.job.is_some() || self.tail.len() < SEGMENT || self.disk == Disk::Full {
            return;
        }
        let bytes = std::mem::take(&mut self.tail);
        let segment = Segment { slot: self.slots.take(), length: bytes.len() };
        let file = self.file.clone().map_or_else(|| tempfile::tempfile().map(Arc::new), Ok);
        match file {
            Ok(file) => {
                self.file = Some(Arc::clone(&file));
                let writing = spawn_blocking(move || (file.write_all_at(&bytes, segment.slot * SLOT), bytes));
                self.job = Some(Job::Write(segment, writing));
            }
            Err(error) => self.written(segment, Err(error), bytes),
        }
    }

    fn written(&mut self, segment: Segment, outcome: io::Result<()>, mut bytes: Vec<u8>) {
        match outcome {
            Ok(()) => self.segments.push_back(segment),
            Err(error) => {
                warn!(%error, "a stream cannot spill: its caller is read no faster than it is heard");
                bytes.append(&mut self.tail);
                (self.tail, self.disk) = (bytes, Disk::Full);
            }
        }
    }

    fn read(&mut self, segment: Segment) -> io::Result<()> {
        let file = self.file.clone().ok_or(io::ErrorKind::NotFound)?;
        let reading = spawn_blocking(move || {
            let mut bytes = vec![0; segment.length];
            file.read_exact_at(&mut bytes, segment.slot * SLOT).map(|()| bytes)
        });
        self.job = Some(Job::Read(segment, reading));
        Ok(())
    }
}

impl Slots {
    fn take(&mut self) -> u64 {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }
}

/// Cuts a segment into its messages, copying nothing.
fn decode(segment: &Bytes) -> io::Result<VecDeque<Spilled>> {
    let (mut messages, mut at) = (VecDeque::new(), 0);
    while let Some([kind, length @ ..]) = segment.get(at..).and_then(|rest| rest.first_chunk::<HEAD>()) {
        let from = at + HEAD;
        at = from.saturating_add(u32::from_be_bytes(*length) as usize);
        if at > segment.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let payload = segment.slice(from..at);
        messages.push_back(if *kind == 0 { Spilled::Audio(payload) } else { Spilled::Text(payload) });
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn audio(number: u32) -> Spilled {
        let mut sound = number.to_be_bytes().to_vec();
        sound.resize(4 + number as usize * 977 % 9_000, 7);
        Spilled::Audio(sound.into())
    }

    async fn next(spill: &mut Spill) -> Option<Spilled> {
        poll_fn(|cx| spill.poll_next(cx)).await.unwrap()
    }

    /// Waits until the disk has taken what it was given.
    async fn rest(spill: &mut Spill) {
        poll_fn(|cx| spill.poll_job(cx)).await.unwrap();
    }

    /// Puts a thousand messages in and takes them out some way behind, so many at a time.
    async fn pass(ahead: u32, burst: u32) {
        let budget = Budget::new(u64::MAX);
        let (mut spill, mut out) = (Spill::new(u64::MAX, &budget), 0);
        for number in 0..1_000 {
            spill.push(&audio(number));
            spill.push(&Spilled::Text(Bytes::from(number.to_string())));
            rest(&mut spill).await;
            while out + ahead < number && out % burst != burst - 1 || out + ahead * 2 < number {
                out = take(&mut spill, out).await;
            }
            assert!(spill.tail.len() < SEGMENT + 20_000, "{} bytes are in memory", spill.tail.len());
        }
        while !spill.is_empty() {
            out = take(&mut spill, out).await;
        }
        assert_eq!((out, next(&mut spill).await, budget.used(), spill.file.is_none()), (1_000, None, 0, true));
    }

    async fn take(spill: &mut Spill, number: u32) -> u32 {
        assert!(next(spill).await == Some(audio(number)), "audio {number} is not in its place");
        assert_eq!(next(spill).await, Some(Spilled::Text(number.to_string().into())));
        number + 1
    }

    #[tokio::test]
    async fn what_went_in_comes_out_in_order_however_the_ends_keep_pace() {
        for (ahead, burst) in [(1, 1), (50, 3), (400, 90)] {
            pass(ahead, burst).await;
        }
    }

    #[tokio::test]
    async fn a_file_that_is_never_empty_does_not_grow_for_ever() {
        let mut spill = Spill::new(u64::MAX, &Budget::new(u64::MAX));
        for number in 0..5_000 {
            spill.push(&Spilled::Audio(vec![1; 10_000].into()));
            rest(&mut spill).await;
            if number >= 100 {
                next(&mut spill).await.unwrap();
            }
        }
        assert!(spill.slots.next < 30, "{} segments for 100 messages", spill.slots.next);
    }

    #[tokio::test]
    async fn there_is_room_within_the_limits_of_the_stream_and_of_all() {
        let budget = Budget::new(50_000);
        let mut spill = Spill::new(20_000, &budget);
        let message = Spilled::Audio(vec![1; 10_000].into());
        spill.push(&message);
        assert!(spill.has_room());
        spill.push(&message);
        assert!(!spill.has_room(), "its own limit");
        let mut other = Spill::new(u64::MAX, &budget);
        for _ in 0..3 {
            assert!(other.has_room());
            other.push(&message);
        }
        assert!(!other.has_room(), "the limit of all");
        for spill in [&mut spill, &mut other] {
            while let Some(taken) = next(spill).await {
                assert_eq!(taken, message);
            }
            assert!(spill.is_empty() && spill.has_room());
        }
        assert!(!Spill::new(0, &budget).has_room(), "none is wanted");
    }
}
