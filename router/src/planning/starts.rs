//! How sessions began lately: how many, how many got no slot, and which pools the law left them.
//!
//! A router knows the sessions that it placed itself and, from reports, how many slots are in use in all. So the share of
//! each set of pools among its own starts stands for the share among all sessions.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use scheduler::{PoolName, Timestamp};

/// The pools that may serve a session; every pool when absent.
pub(crate) type Lawful = Option<BTreeSet<PoolName>>;

/// Sets of pools that are told apart. The one that was seen least is forgotten for a new one.
const MOST_SETS: usize = 64;
/// Time in which half of what was seen is forgotten.
const HALF_LIFE: Duration = Duration::from_secs(600);

/// What was seen since it was last asked.
#[derive(Debug, Default)]
struct Tally {
    began: u32,
    refused: u32,
    shares: Vec<(Lawful, f64)>,
    aged_at: Timestamp,
}

/// What was seen, as the planner is told.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Seen {
    /// Sessions that began.
    pub(super) began: u32,
    /// Sessions that got no slot.
    pub(super) refused: u32,
    /// Of all sessions lately, the share that each set of pools may serve.
    pub(super) shares: Vec<(Lawful, f64)>,
}

/// How sessions began lately.
#[derive(Debug, Default)]
pub(crate) struct Starts(Mutex<Tally>);

impl Starts {
    /// Counts a session that was placed.
    pub(crate) fn placed(&self, lawful: Lawful, now: Timestamp) {
        let mut tally = self.tally();
        tally.began += 1;
        tally.weigh(lawful, now);
    }

    /// Counts a session that got no slot although some pool may serve it.
    pub(crate) fn refused(&self, lawful: Lawful, now: Timestamp) {
        let mut tally = self.tally();
        tally.began += 1;
        tally.refused += 1;
        tally.weigh(lawful, now);
    }

    /// Returns what was seen since the last time.
    pub(super) fn take(&self) -> Seen {
        let mut tally = self.tally();
        let sum: f64 = tally.shares.iter().map(|(_, weight)| weight).sum();
        let shares = tally.shares.iter().map(|(lawful, weight)| (lawful.clone(), weight / sum)).collect();
        let (began, refused) = (std::mem::take(&mut tally.began), std::mem::take(&mut tally.refused));
        Seen { began, refused, shares }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    fn weigh(&mut self, lawful: Lawful, now: Timestamp) {
        let kept = (-now.since(self.aged_at).as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2();
        self.aged_at = now;
        self.shares.iter_mut().for_each(|(_, weight)| *weight *= kept);
        if let Some((_, weight)) = self.shares.iter_mut().find(|(known, _)| *known == lawful) {
            *weight += 1.0;
            return;
        }
        if self.shares.len() >= MOST_SETS {
            self.shares.sort_by(|a, b| b.1.total_cmp(&a.1));
            self.shares.truncate(MOST_SETS - 1);
        }
        self.shares.push((lawful, 1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(pool: &str) -> Lawful {
        Some(BTreeSet::from([pool.parse().unwrap()]))
    }

    #[test]
    fn counts_begin_anew_and_shares_do_not() {
        let starts = Starts::default();
        (0..3).for_each(|_| starts.placed(None, Timestamp::ZERO));
        starts.refused(only("eu"), Timestamp::ZERO);
        let shares = vec![(None, 0.75), (only("eu"), 0.25)];
        assert_eq!(starts.take(), Seen { began: 4, refused: 1, shares: shares.clone() });
        assert_eq!(starts.take(), Seen { began: 0, refused: 0, shares });
    }

    #[test]
    fn what_was_seen_ten_minutes_ago_counts_half() {
        let starts = Starts::default();
        (0..2).for_each(|_| starts.placed(None, Timestamp::ZERO));
        starts.placed(only("eu"), Timestamp::ZERO + HALF_LIFE);
        assert_eq!(starts.take().shares, [(None, 0.5), (only("eu"), 0.5)]);
    }

    #[test]
    fn the_sets_that_are_told_apart_are_bounded() {
        let starts = Starts::default();
        (0..2).for_each(|_| starts.placed(only("often"), Timestamp::ZERO));
        (0..1000).for_each(|number| starts.placed(only(&format!("p{number}")), Timestamp::ZERO));
        let shares = starts.take().shares;
        assert_eq!(shares.len(), MOST_SETS);
        assert!(shares.iter().any(|(lawful, _)| *lawful == only("often")));
    }
}
