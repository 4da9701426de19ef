//! What sessions have used and the store has not been told yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use process::Shutdown;
use scheduler::KeyId;
use store::{Caller, Limits, Used};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Quota;

/// How often the store is told.
const EVERY: Duration = Duration::from_secs(1);
/// Keys whose use may wait; more is not counted.
const KEYS: usize = 10_000;

type ByKey = HashMap<KeyId, (Limits, Used)>;

/// Use by key, added up.
#[derive(Debug, Default)]
pub(super) struct Spending(Mutex<ByKey>);

impl Spending {
    pub(super) fn add(&self, key: &KeyId, limits: &Limits, used: Used) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < KEYS || waiting.contains_key(key) {
            let (known, sum) = waiting.entry(key.clone()).or_default();
            *known = *limits;
            sum.upload_bytes = sum.upload_bytes.saturating_add(used.upload_bytes);
            sum.audio += used.audio;
        }
    }

    pub(super) fn take(&self) -> ByKey {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where a session's use is charged.
#[derive(Clone)]
pub(crate) struct Bill(Arc<Quota>);

impl Bill {
    /// Opens a bill.
    pub(crate) fn of(quota: &Arc<Quota>) -> Self {
        Self(Arc::clone(quota))
    }

    /// Charges use to a caller's key, soon.
    pub(crate) fn charge(&self, caller: &Caller, used: Used) {
        if caller.limits.are_counted() && used != Used::default() {
            self.0.spending.add(&caller.key, &caller.limits, used);
        }
    }
}

impl Quota {
    /// Tells the store what was used, until the drain has begun and no bill is open.
    pub(crate) async fn keep(self: Arc<Self>, started: Instant, shutdown: Shutdown) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Whoever admits holds one, and this task.
        while !shutdown.token().is_cancelled() || Arc::strong_count(&self) > 2 {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.begun(), if !shutdown.token().is_cancelled() => {}
            }
            self.charge_all(scheduler::Timestamp::at(started.elapsed())).await;
        }
    }
}
