//! Bytes that all streams share: one account, a share of it for each stream, and what the streams do when it is nearly spent.
//! An account costs an atomic addition now and then, never one per chunk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A stream's share is told to the account when it is so many bytes off.
const GRAIN: u64 = 16 << 10;
/// From these shares of the account on, in percent, streams keep less, and no new ones are taken.
const TIGHT: u64 = 80;
const SPENT: u64 = 95;

/// An account of bytes.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
}

/// How much of an account is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pressure {
    /// Enough.
    None,
    /// Less than a fifth: streams keep half as much.
    Tight,
    /// Less than a twentieth: no new streams.
    Spent,
}

/// What one stream holds of an account. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    /// Opens an account.
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }

    /// Returns its limit, in bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns what is held of it, in bytes.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Tells how much is left.
    pub(crate) fn pressure(&self) -> Pressure {
        let used = self.used().saturating_mul(100);
        let reaches = |percent: u64| used >= self.limit.saturating_mul(percent);
        match (reaches(SPENT), reaches(TIGHT)) {
            (true, _) => Pressure::Spent,
            (false, true) => Pressure::Tight,
            (false, false) => Pressure::None,
        }
    }

    /// Begins a share of nothing.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), bytes: 0 }
    }
}

/// Whether a share was told anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Anew,
    NearEnough,
}

impl Share {
    /// Notes how much is held now, whatever the limit. Small changes wait.
    pub(crate) fn note(&mut self, bytes: u64) -> Told {
        if bytes.abs_diff(self.bytes) < GRAIN && (bytes > 0 || self.bytes == 0) {
            return Told::NearEnough;
        }
        self.set(bytes);
        Told::Anew
    }

    /// Takes so many bytes more, or nothing where that is over the limit.
    pub(crate) fn take(&mut self, bytes: u64) -> bool {
        let within = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.budget.limit);
        let taken = self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok();
        if taken {
            self.bytes += bytes;
        }
        taken
    }

    /// Gives so many bytes back.
    pub(crate) fn give(&mut self, bytes: u64) {
        self.set(self.bytes.saturating_sub(bytes));
    }

    fn set(&mut self, bytes: u64) {
        if bytes >= self.bytes {
            self.budget.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.budget.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_tight_from_80_percent_and_spent_from_95() {
        let budget = Budget::new(1_000_000);
        let mut share = budget.share();
        let pressures = [799_999, 800_000, 949_999, 950_000, 2_000_000].map(|bytes| {
            share.set(bytes);
            budget.pressure()
        });
        use Pressure::{None, Spent, Tight};
        assert_eq!(pressures, [None, Tight, Tight, Spent, Spent]);
        drop(share);
        assert_eq!((budget.used(), budget.pressure()), (0, None));
    }

    #[test]
    fn small_changes_wait_and_the_last_byte_does_not() {
        let budget = Budget::new(u64::MAX);
        let mut share = budget.share();
        assert_eq!((share.note(GRAIN - 1), share.note(GRAIN)), (Told::NearEnough, Told::Anew));
        assert_eq!((share.note(1), budget.used()), (Told::NearEnough, GRAIN));
        assert_eq!((share.note(0), budget.used(), share.note(0)), (Told::Anew, 0, Told::NearEnough));
    }

    proptest! {
        #[test]
        fn an_account_is_the_sum_of_its_shares_and_takers_keep_within_it(
            steps in prop::collection::vec((0_usize..4, 0_u64..400_000, any::<bool>()), 1..200),
        ) {
            let budget = Budget::new(1_000_000);
            let mut shares: Vec<_> = (0..4).map(|_| budget.share()).collect();
            for (number, bytes, takes) in steps {
                if takes {
                    shares[number].take(bytes);
                } else {
                    shares[number].give(bytes);
                }
                prop_assert_eq!(budget.used(), shares.iter().map(|share| share.bytes).sum::<u64>());
                prop_assert!(budget.used() <= budget.limit());
            }
            drop(shares);
            prop_assert_eq!(budget.used(), 0);
        }
    }
}
