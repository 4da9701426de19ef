//! One part of a session as it goes. The audio path stores three numbers and nothing else: no lock, no log, no allocation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use session::Usage;

use super::spent::{Spent, Standing};
use super::{Meters, PartId};

/// A part of a session, shared by its meter and by the task that journals it.
#[derive(Debug)]
pub(super) struct Part {
    began: Spent,
    opened: Instant,
    /// In microseconds.
    audio: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    sequence: AtomicU64,
    closed: OnceLock<(Duration, Standing)>,
}

impl Part {
    pub(super) fn new(began: Spent) -> Self {
        Self {
            began,
            opened: Instant::now(),
            audio: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            sequence: AtomicU64::new(0),
            closed: OnceLock::new(),
        }
    }

    pub(super) fn id(&self) -> PartId {
        (self.began.session, self.began.part)
    }

    /// Returns what it has used so far.
    pub(super) fn spent(&self) -> Spent {
        let (slot, standing) = self.closed.get().cloned().unwrap_or_else(|| (self.opened.elapsed(), Standing::Live));
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let used = Usage {
            audio: Duration::from_micros(read(&self.audio)),
            bytes_in: read(&self.bytes_in),
            bytes_out: read(&self.bytes_out),
            slot,
        };
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        self.began.so_far(sequence, &used, standing)
    }
}

/// Meters one part of a session. Dropping it means that the session goes on elsewhere, or nowhere.
#[derive(Debug)]
pub(crate) struct Meter {
    part: Arc<Part>,
    meters: Meters,
}

impl Meter {
    pub(super) fn new(part: Arc<Part>, meters: Meters) -> Self {
        Self { part, meters }
    }

    /// Notes what the part has used so far; its slot is held from its begin to its end.
    pub(crate) fn used(&self, usage: &Usage) {
        let audio = u64::try_from(usage.audio.as_micros()).unwrap_or(u64::MAX);
        self.part.audio.store(audio, Ordering::Relaxed);
        self.part.bytes_in.store(usage.bytes_in, Ordering::Relaxed);
        self.part.bytes_out.store(usage.bytes_out, Ordering::Relaxed);
    }

    /// Ends the session with this part. The end of a file's chunk is not the end of the file.
    pub(crate) fn end(self, reason: &str) {
        let standing = if self.part.began.is_chunk { Standing::Left } else { Standing::Ended(reason.to_owned()) };
        self.close(standing);
    }

    fn close(&self, standing: Standing) {
        // Only the first close counts.
        let _ = self.part.closed.set((self.part.opened.elapsed(), standing));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.close(Standing::Left);
        self.meters.closed(Arc::clone(&self.part));
    }
}
