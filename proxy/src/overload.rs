//! Overload: a proxy short of memory takes no new sessions, so that those it has may go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use process::{Memory, Shutdown};
use tracing::{info, warn};

use crate::budget::Budget;
use crate::metrics;

/// How often memory is looked at.
const EVERY: Duration = Duration::from_millis(250);
/// From this share of the limit on, no new sessions are taken.
const SHORT: f64 = 0.92;
/// Below this share they are taken again.
const ENOUGH: f64 = 0.88;

/// Whether memory is short, as last looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryWatch(Arc<AtomicBool>);

impl MemoryWatch {
    /// Tells whether new sessions must be refused.
    pub(crate) fn is_short(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Looks at memory until the drain begins, and shows what streams hold of it and of the disk. Where memory cannot be
    /// read, it is never short.
    pub(crate) async fn keep(self, [rings, spills]: [Arc<Budget>; 2], shutdown: Shutdown) {
        let memory = Memory::find();
        let mut ticks = tokio::time::interval(EVERY);
        metrics::rings_limit(rings.limit());
        loop {
            tokio::select! {
                () = shutdown.begun() => return,
                _ = ticks.tick() => {}
            }
            metrics::held(rings.used(), spills.used());
            if let Some(used) = memory.and_then(|memory| memory.used()) {
                metrics::memory(used);
                self.note(used);
            }
        }
    }

    fn note(&self, used: f64) {
        match self.is_short() {
            false if used >= SHORT => {
                warn!(used, "memory is short, no new sessions are taken");
                self.0.store(true, Ordering::Relaxed);
            }
            true if used < ENOUGH => {
                info!(used, "memory is enough again");
                self.0.store(false, Ordering::Relaxed);
            }
            true | false => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_short_from_92_percent_until_it_is_below_88() {
        let watch = MemoryWatch::default();
        let short = [0.91, 0.92, 0.89, 0.87, 0.91].map(|used| {
            watch.note(used);
            watch.is_short()
        });
        assert_eq!(short, [false, true, true, false, false]);
    }
}
