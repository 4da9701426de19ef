//! What all callers of a round send, and how punctually. It is told of every message, so it only counts.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hdrhistogram::CreationError;
use tokio::time::Instant;

use crate::caller::Sent;
use crate::timings::Timings;

/// The messages of a round.
#[derive(Debug)]
pub(super) struct Traffic {
    window: Range<Instant>,
    messages: AtomicU64,
    lateness: Mutex<Timings>,
}

impl Traffic {
    /// Counts all messages, and judges the punctuality of those that are due within `window`.
    pub(super) fn new(window: Range<Instant>) -> Result<Self, CreationError> {
        Ok(Self { window, messages: AtomicU64::new(0), lateness: Mutex::new(Timings::new()?) })
    }

    /// Takes a message into account.
    pub(super) fn note(&self, sent: Sent) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        if self.window.contains(&sent.due) {
            let late = sent.at.saturating_duration_since(sent.due);
            self.lateness.lock().unwrap_or_else(PoisonError::into_inner).record(late);
        }
    }

    /// Counts the messages so far.
    pub(super) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Returns how late messages left.
    pub(super) fn lateness(&self) -> Timings {
        self.lateness.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_messages_within_the_window_are_judged_but_all_are_counted() {
        let now = Instant::now();
        let at = |millis| now + Duration::from_millis(millis);
        let traffic = Traffic::new(at(100)..at(200)).unwrap();
        for (due, left) in [(99, 150), (100, 103), (199, 250), (200, 200)] {
            traffic.note(Sent { due: at(due), at: at(left) });
        }
        assert_eq!((traffic.messages(), traffic.lateness().count()), (4, 2));
        assert!((traffic.lateness().max() - 51.0).abs() < 0.1);
    }
}
