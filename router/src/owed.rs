//! Leases to give back: those whose release the store did not take. Each is tried again until it is given back or has expired.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use process::Shutdown;
use scheduler::Timestamp;
use store::{LEASE_LIFE, Lease};
use tokio::time::MissedTickBehavior;

use crate::core::Core;

/// How often they are tried.
const EVERY: Duration = Duration::from_millis(500);
/// The most that are remembered; the oldest goes first, for it expires first.
const MOST: usize = 10_000;

/// A lease that nobody needs any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Debt {
    pub(crate) lease: Lease,
    pub(crate) since: Timestamp,
}

/// What is to be given back, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Owed(Mutex<VecDeque<Debt>>);

impl Owed {
    /// Remembers a debt.
    pub(crate) fn add(&self, debt: Debt) {
        let mut debts = self.debts();
        if debts.len() == MOST {
            debts.pop_front();
        }
        debts.push_back(debt);
    }

    /// Takes the oldest debt whose lease may still live.
    pub(crate) fn take(&self, now: Timestamp) -> Option<Debt> {
        let mut debts = self.debts();
        std::iter::from_fn(|| debts.pop_front()).find(|debt| now.since(debt.since) < LEASE_LIFE)
    }

    fn debts(&self) -> MutexGuard<'_, VecDeque<Debt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives back what is owed until the drain begins.
pub(crate) async fn give_back(core: Arc<Core>, shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            _ = ticks.tick() => core.pay().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use scheduler::SessionId;

    use super::*;

    fn debt(session: u128, since: u64) -> Debt {
        let since = Timestamp::at(Duration::from_secs(since));
        Debt { lease: Lease::slot(&"a".parse().unwrap(), SessionId::from_random(session)), since }
    }

    #[test]
    fn debts_are_paid_in_their_order_and_forgotten_with_their_leases() {
        let owed = Owed::default();
        [debt(1, 0), debt(2, 5), debt(3, 6)].into_iter().for_each(|debt| owed.add(debt));
        let now = Timestamp::at(Duration::from_secs(16));
        assert_eq!([owed.take(now), owed.take(now), owed.take(now)], [Some(debt(2, 5)), Some(debt(3, 6)), None]);
    }

    #[test]
    fn the_oldest_debt_makes_room() {
        let owed = Owed::default();
        (0..=MOST as u128).for_each(|session| owed.add(debt(session, 0)));
        assert_eq!(owed.take(Timestamp::ZERO), Some(debt(1, 0)));
    }
}
