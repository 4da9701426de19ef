//! The engine's slots: one for each stream or file that is heard. Dropping a [`Slot`] is the only way to free it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::gauges::Gauges;

/// How long a leg that replaces another one on this engine waits for the older one's slot.
const HAND_OVER: Duration = Duration::from_secs(2);

/// All slots of this engine.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    total: usize,
    gauges: Gauges,
}

/// Room for one stream or file.
#[derive(Debug)]
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
    gauges: Gauges,
}

impl Slots {
    /// Makes `total` free slots.
    pub(crate) fn new(total: usize, gauges: Gauges) -> Self {
        gauges.slots(total);
        Self { free: Arc::new(Semaphore::new(total)), total, gauges }
    }

    /// Takes a free slot, if there is one.
    pub(crate) fn take(&self) -> Option<Slot> {
        Arc::clone(&self.free).try_acquire_owned().ok().map(|permit| self.slot(permit))
    }

    /// Takes a slot that another leg is about to free; gives up after two seconds.
    pub(crate) async fn take_over(&self) -> Option<Slot> {
        let permit = tokio::time::timeout(HAND_OVER, Arc::clone(&self.free).acquire_owned()).await;
        permit.ok()?.ok().map(|permit| self.slot(permit))
    }

    /// Counts all slots.
    pub(crate) const fn total(&self) -> usize {
        self.total
    }

    /// Counts the slots in use.
    pub(crate) fn active(&self) -> usize {
        self.total.saturating_sub(self.free.available_permits())
    }

    fn slot(&self, permit: OwnedSemaphorePermit) -> Slot {
        self.gauges.slot_taken();
        Slot { _permit: permit, gauges: self.gauges.clone() }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.gauges.slot_freed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_slot_can_be_taken_again() {
        let slots = Slots::new(1, Gauges::default());
        let slot = slots.take().expect("one is free");
        assert!(slots.take().is_none());
        assert_eq!((slots.active(), slots.total()), (1, 1));
        drop(slot);
        assert!(slots.take().is_some());
    }
}
