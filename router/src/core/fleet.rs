//! The fleet, shared: one writer at a time changes it, and everybody reads the view that was published last, without a lock.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use scheduler::{Fleet, FleetView, Pool};

/// Publishing copies every node's line, so it takes at most this share of the time: one part in so many.
const SHARE: u32 = 20;

/// A fleet and its published view.
#[derive(Debug)]
pub(super) struct SharedFleet {
    fleet: Mutex<Owned>,
    view: ArcSwap<FleetView>,
}

#[derive(Debug)]
struct Owned {
    fleet: Fleet,
    published_at: Instant,
    /// How long it took.
    copying: Duration,
}

/// A fleet that is being changed.
#[derive(Debug)]
pub(crate) struct FleetGuard<'a> {
    owned: MutexGuard<'a, Owned>,
    view: &'a ArcSwap<FleetView>,
}

impl SharedFleet {
    pub(super) fn new(pools: Vec<Pool>) -> Self {
        let fleet = Fleet::new(pools);
        let view = ArcSwap::new(fleet.snapshot());
        Self { fleet: Mutex::new(Owned { fleet, published_at: Instant::now(), copying: Duration::ZERO }), view }
    }

    pub(super) fn view(&self) -> Arc<FleetView> {
        self.view.load_full()
    }

    pub(super) fn change(&self) -> FleetGuard<'_> {
        FleetGuard { owned: self.fleet.lock().unwrap_or_else(PoisonError::into_inner), view: &self.view }
    }

    pub(super) fn publish(&self) {
        self.change().publish();
    }
}

impl FleetGuard<'_> {
    fn publish(&mut self) {
        let began = Instant::now();
        if self.owned.fleet.view().version() != self.view.load().version() {
            self.view.store(self.owned.fleet.snapshot());
        }
        self.owned.published_at = Instant::now();
        self.owned.copying = began.elapsed();
    }
}

impl Deref for FleetGuard<'_> {
    type Target = Fleet;
    fn deref(&self) -> &Fleet {
        &self.owned.fleet
    }
}

impl DerefMut for FleetGuard<'_> {
    fn deref_mut(&mut self) -> &mut Fleet {
        &mut self.owned.fleet
    }
}

impl Drop for FleetGuard<'_> {
    fn drop(&mut self) {
        if self.owned.published_at.elapsed() >= self.owned.copying * SHARE {
            self.publish();
        }
    }
}
