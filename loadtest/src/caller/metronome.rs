//! A finer clock for crowds. A runtime's timer rings once a millisecond or two, so that hundreds of callers would speak in
//! bursts that no real callers make, and wait behind each other; this one rings four thousand times a second.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// From one beat to the next.
const BEAT: Duration = Duration::from_micros(250);

/// A thread that wakes callers when they are due. It ends when this is dropped.
#[derive(Debug)]
pub struct Metronome {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    sleepers: Mutex<BinaryHeap<Reverse<Sleeper>>>,
}

/// A caller that waits.
#[derive(Debug)]
struct Sleeper {
    due: Instant,
    wake: oneshot::Sender<()>,
}

impl Metronome {
    /// Starts beating.
    ///
    /// # Errors
    /// Fails when there is no thread to be had.
    pub fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let beating = Arc::clone(&shared);
        let thread = Builder::new().name("metronome".to_owned()).spawn(move || beating.beat())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Resolves at the first beat after `due`.
    pub(crate) async fn until(&self, due: Instant) {
        let (wake, woken) = oneshot::channel();
        self.shared.sleepers().push(Reverse(Sleeper { due, wake }));
        // It cannot be dropped unsent: the thread lives as long as this.
        let _ = woken.await;
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn sleepers(&self) -> MutexGuard<'_, BinaryHeap<Reverse<Sleeper>>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn beat(&self) {
        let mut due = Vec::new();
        while !self.stopped.load(Ordering::Relaxed) {
            self.take_due(Instant::now(), &mut due);
            for sleeper in due.drain(..) {
                let _ = sleeper.wake.send(());
            }
            std::thread::sleep(BEAT);
        }
    }

    /// Moves those that are due out of the heap, so that none is woken while it is locked.
    fn take_due(&self, now: Instant, due: &mut Vec<Sleeper>) {
        let mut sleepers = self.sleepers();
        while sleepers.peek().is_some_and(|Reverse(sleeper)| sleeper.due <= now) {
            due.extend(sleepers.pop().map(|Reverse(sleeper)| sleeper));
        }
    }
}

impl PartialEq for Sleeper {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Sleeper {}

impl PartialOrd for Sleeper {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sleeper {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_woken_early() {
        let metronome = Metronome::start().unwrap();
        let now = Instant::now();
        let wait = |micros| {
            let (metronome, due) = (&metronome, now + Duration::from_micros(micros));
            async move {
                metronome.until(due).await;
                Instant::now() >= due
            }
        };
        assert_eq!(tokio::join!(wait(3_000), wait(0), wait(1_300)), (true, true, true));
    }

    #[test]
    fn only_those_who_are_due_are_taken() {
        let (shared, now) = (Shared::default(), Instant::now());
        for millis in [30, 10, 20] {
            let due = now + Duration::from_millis(millis);
            shared.sleepers().push(Reverse(Sleeper { due, wake: oneshot::channel().0 }));
        }
        let mut due = Vec::new();
        shared.take_due(now + Duration::from_millis(20), &mut due);
        let waited: Vec<_> = due.iter().map(|sleeper| (sleeper.due - now).as_millis()).collect();
        assert_eq!(waited, [10, 20]);
        assert_eq!(shared.sleepers().len(), 1);
    }
}
