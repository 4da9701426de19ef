//! Slots promised and not yet reported: one word per node, shared by every view of a fleet, so that a promise made on one
//! view counts on all of them and nobody waits for a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::fleet::line::{PoolIndex, Side};
use crate::fleet::maps::MOST_POOLS;
use crate::units::Timestamp;

/// Promises are counted by half seconds; the six youngest are kept, so a promise that no report shows counts for 2.5 to 3 s.
const SPAN: u64 = 500_000;
const SPANS: u16 = 6;
const COUNTS: u64 = (1 << 48) - 1;
/// A report this much younger than a promise includes the session: by then it has connected or been refused.
const SETTLED_SPANS: u16 = 2;

/// Promises on one node: the number of the youngest half second in the upper 16 bits, then six counts of 8 bits, the
/// youngest lowest. Sixteen bits of half seconds come round after nine hours; a tick clears what is older than 3 s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Promised(pub(crate) u64);

/// Half seconds since the start of the clock, round and round.
#[expect(clippy::cast_possible_truncation, reason = "only differences of these numbers are used")]
fn span(at: Timestamp) -> u16 {
    (at.micros() / SPAN) as u16
}

impl Promised {
    fn youngest(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// Returns the same promises as seen at a later moment; one that is earlier by a little changes nothing. A word that is
    /// younger by more is a word of hours ago: its number has come round, or it never had one.
    fn at(self, now: Timestamp) -> Self {
        let passed = span(now).wrapping_sub(self.youngest());
        if passed == 0 || passed.wrapping_neg() < SPANS {
            return self;
        }
        let counts = if passed >= SPANS { 0 } else { (self.0 << (8 * u32::from(passed))) & COUNTS };
        Self(u64::from(span(now)) << 48 | counts)
    }

    /// Counts the promises that may still be on their way.
    pub(crate) fn count(self, now: Timestamp) -> u32 {
        let counts = self.at(now).0 & COUNTS;
        // The six bytes, added pairwise.
        let pairs = (counts & 0x00FF_00FF_00FF_00FF) + ((counts >> 8) & 0x00FF_00FF_00FF_00FF);
        (pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48) as u32
    }

    fn add(self, now: Timestamp) -> Self {
        let word = self.at(now);
        if word.0 & 0xFF == 0xFF { word } else { Self(word.0 + 1) }
    }

    /// Takes away the oldest.
    fn withdraw(self, now: Timestamp) -> Self {
        let word = self.at(now);
        let oldest = (0..SPANS).rev().map(|place| 1 << (8 * place)).find(|one| word.0 & COUNTS & (one * 0xFF) != 0);
        Self(word.0 - oldest.unwrap_or(0))
    }

    /// Takes away what a report shows: `arrived` sessions, the oldest first, and everything old enough to have arrived.
    fn settle(self, mut arrived: u32, reported_at: Timestamp) -> Self {
        let word = self.at(reported_at);
        let behind = word.youngest().wrapping_sub(span(reported_at));
        let mut counts = word.0 & COUNTS;
        for place in (0..SPANS).rev() {
            let shift = 8 * u32::from(place);
            let count = ((counts >> shift) & 0xFF) as u32;
            // `behind` counts the half seconds of promises that are younger than the report.
            let settled = if place >= SETTLED_SPANS + behind { count } else { count.min(arrived) };
            arrived = arrived.saturating_sub(settled);
            counts -= u64::from(settled) << shift;
        }
        Self(word.0 & !COUNTS | counts)
    }
}

/// One node's word, and how many promises were ever made there.
#[derive(Debug, Default)]
struct Slot {
    word: AtomicU64,
    made: AtomicU32,
}

/// Promises on every node of a fleet.
#[derive(Clone, Debug)]
pub(crate) struct Promises {
    slots: Arc<[Slot]>,
    pools: Arc<[[AtomicU32; MOST_POOLS]; 2]>,
    /// Promises before the last tick.
    before: Arc<AtomicU32>,
    /// Bits of pools that have promised what they had at the last tick, by side.
    spent: Arc<[AtomicU64; 2]>,
}

impl Default for Promises {
    fn default() -> Self {
        let none = || std::array::from_fn(|_| AtomicU32::new(0));
        let pools = Arc::new([none(), none()]);
        Self { slots: Arc::default(), pools, before: Arc::default(), spent: Arc::default() }
    }
}

impl Promises {
    /// Makes room for nodes up to and including `index`. Views that exist keep the smaller table, and what is promised on
    /// them meanwhile is not seen here: it is a hint, and room doubles, so this is rare.
    pub(crate) fn make_room(&mut self, index: usize) {
        if index < self.slots.len() {
            return;
        }
        *self = self.copy((index + 1).next_power_of_two().max(64));
    }

    /// Returns promises of their own, equal to these.
    pub(crate) fn frozen(&self) -> Self {
        self.copy(self.slots.len())
    }

    fn copy(&self, room: usize) -> Self {
        let slot = |index: usize| self.slots.get(index).map_or_else(Slot::default, Slot::copy);
        let before = Arc::new(AtomicU32::new(self.before.load(Ordering::Relaxed)));
        let spent = Arc::new([Side::Open, Side::Closed].map(|side| AtomicU64::new(self.spent(side))));
        let count = |pools: &[AtomicU32; MOST_POOLS]| {
            std::array::from_fn(|pool| AtomicU32::new(pools[pool].load(Ordering::Relaxed)))
        };
        let pools = Arc::new([count(&self.pools[0]), count(&self.pools[1])]);
        Self { slots: (0..room).map(slot).collect(), pools, before, spent }
    }

    /// Returns what is promised on a node.
    pub(crate) fn on(&self, index: usize) -> Promised {
        Promised(self.slots.get(index).map_or(0, |slot| slot.word.load(Ordering::Relaxed)))
    }

    /// Counts the promises that were ever made on a node, round and round.
    pub(crate) fn made(&self, index: usize) -> u32 {
        self.slots.get(index).map_or(0, |slot| slot.made.load(Ordering::Relaxed))
    }

    /// Counts all promises, round and round: whose turn it is.
    pub(crate) fn turn(&self) -> u32 {
        let counts = self.pools.iter().flatten().map(|count| count.load(Ordering::Relaxed));
        counts.fold(self.before.load(Ordering::Relaxed), u32::wrapping_add)
    }

    /// Sets whose turn it is, for a replay; after the counts by pool.
    pub(crate) fn set_turn(&self, turn: u32) {
        let since = self.turn().wrapping_sub(self.before.load(Ordering::Relaxed));
        self.before.store(turn.wrapping_sub(since), Ordering::Relaxed);
    }

    /// Promises a slot of a node, and returns how many its side of the pool has promised since the last tick.
    pub(crate) fn promise(&self, index: usize, (pool, side): (PoolIndex, Side), now: Timestamp) -> u32 {
        let promised = self.pools[row(side)][pool.get()].fetch_add(1, Ordering::Relaxed);
        if let Some(slot) = self.slots.get(index) {
            slot.made.fetch_add(1, Ordering::Relaxed);
            slot.change(|word| word.add(now));
        }
        promised.wrapping_add(1)
    }

    /// Returns the bits of pools that have promised what they had.
    pub(crate) fn spent(&self, side: Side) -> u64 {
        self.spent[row(side)].load(Ordering::Relaxed)
    }

    /// Notes that a pool has promised what it had. Most of the time that is known, and a look costs less than a word.
    pub(crate) fn spend(&self, pool: PoolIndex, side: Side) {
        let bit = 1 << pool.0;
        if self.spent(side) & bit == 0 {
            self.spent[row(side)].fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Sets which pools have promised what they had.
    pub(crate) fn set_spent(&self, side: Side, pools: u64) {
        self.spent[row(side)].store(pools, Ordering::Relaxed);
    }

    /// Counts the promises on one side of a pool since the last tick.
    pub(crate) fn since_tick(&self, pool: PoolIndex, side: Side) -> u32 {
        self.pools[row(side)][pool.get()].load(Ordering::Relaxed)
    }

    /// Begins to count anew.
    pub(crate) fn tick(&self) {
        let counts = self.pools.iter().flatten().map(|count| count.swap(0, Ordering::Relaxed));
        self.before.fetch_add(counts.fold(0, u32::wrapping_add), Ordering::Relaxed);
    }

    /// Sets what was promised since the last tick, for a replay.
    pub(crate) fn set_since_tick(&self, pool: PoolIndex, side: Side, count: u32) {
        self.pools[row(side)][pool.get()].store(count, Ordering::Relaxed);
    }

    /// Takes away what a report shows.
    pub(crate) fn settle(&self, index: usize, arrived: u32, reported_at: Timestamp) {
        let Some(slot) = self.slots.get(index) else { return };
        if slot.word.load(Ordering::Relaxed) & COUNTS != 0 {
            slot.change(|word| word.settle(arrived, reported_at));
        }
    }

    /// Takes away the oldest promise on a node, and returns whether there was one.
    pub(crate) fn withdraw(&self, index: usize, now: Timestamp) -> bool {
        let Some(slot) = self.slots.get(index) else { return false };
        let any = Promised(slot.word.load(Ordering::Relaxed)).count(now) > 0;
        if any {
            slot.change(|word| word.withdraw(now));
        }
        any
    }

    /// Replaces what is promised on a node.
    pub(crate) fn set(&self, index: usize, promised: Promised) {
        if let Some(slot) = self.slots.get(index) {
            slot.word.store(promised.0, Ordering::Relaxed);
        }
    }
}

fn row(side: Side) -> usize {
    match side {
        Side::Open => 0,
        Side::Closed => 1,
    }
}

impl Slot {
    fn copy(&self) -> Self {
        Self {
            word: AtomicU64::new(self.word.load(Ordering::Relaxed)),
            made: AtomicU32::new(self.made.load(Ordering::Relaxed)),
        }
    }

    fn change(&self, next: impl Fn(Promised) -> Promised) {
        let change = |word| Some(next(Promised(word)).0);
        // The closure never declines, so this cannot fail.
        let _ = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::noon;

    fn at(millis: u64) -> Timestamp {
        Timestamp::at(Duration::from_secs(43_200) + Duration::from_millis(millis))
    }

    #[test]
    fn a_report_settles_the_oldest_promises_first() {
        let promised = [0, 600, 1_200].into_iter().fold(Promised::default(), |word, ms| word.add(at(ms)));
        assert_eq!(promised.count(at(1_200)), 3);
        assert_eq!(promised.settle(1, at(400)).count(at(1_200)), 2);
        assert_eq!(promised.settle(1, at(400)).count(at(3_100)), 2, "the one at 0 is gone, not a younger one");
        assert_eq!(promised.settle(0, at(1_100)).count(at(1_200)), 2, "a second old has arrived or was refused");
    }

    #[test]
    fn a_promise_ends_at_every_hour_whether_or_not_there_was_one_before() {
        for hour in 0..48 {
            let now = Timestamp::at(Duration::from_secs(hour * 3_600));
            let later = |seconds| now + Duration::from_secs(seconds);
            for before in [Promised::default(), Promised::default().add(noon())] {
                let promised = before.add(now);
                assert_eq!(promised.count(now) - before.count(now), 1, "hour {hour}");
                assert_eq!(promised.count(later(3)), 0, "hour {hour}");
                assert_eq!(promised.settle(0, later(2)).count(later(2)), 0, "hour {hour}");
            }
        }
    }

    #[test]
    fn what_is_withdrawn_is_the_oldest_and_never_more_than_there_is() {
        let mut promised = [0, 600, 1_200].into_iter().fold(Promised::default(), |word, ms| word.add(at(ms)));
        for (left, lasting) in [(2, 2), (1, 1), (0, 0), (0, 0)] {
            promised = promised.withdraw(at(1_200));
            assert_eq!((promised.count(at(1_200)), promised.count(at(3_400))), (left, lasting));
        }
    }

    #[test]
    fn a_view_that_is_a_little_late_takes_nothing_away() {
        let promised = Promised::default().add(at(600));
        assert_eq!(promised.add(at(400)).count(at(600)), 2);
    }

    #[test]
    fn room_doubles_and_keeps_what_was_promised() {
        let mut promises = Promises::default();
        promises.make_room(0);
        promises.promise(3, (PoolIndex(0), Side::Open), at(0));
        promises.make_room(64);
        assert_eq!((promises.on(3).count(at(0)), promises.on(64).count(at(0))), (1, 0));
        promises.promise(1_000, (PoolIndex(0), Side::Open), at(0));
        assert_eq!(promises.turn(), 2);
    }

    proptest! {
        #[test]
        fn promises_add_up_for_half_a_span_less_than_their_life(
            made in prop::collection::vec(0..2_500_u64, 0..200), later in 0..10_000_u64,
        ) {
            let mut made = made;
            made.sort_unstable();
            let word = made.iter().fold(Promised::default(), |word, ms| word.add(at(*ms)));
            let now = made.last().copied().unwrap_or(0) + later;
            let counted = word.count(at(now)) as usize;
            let young = made.iter().filter(|ms| now - **ms < 2_500).count();
            let alive = made.iter().filter(|ms| now - **ms < 3_000).count();
            prop_assert!((young..=alive).contains(&counted), "{counted} of {young} to {alive}");
        }
    }
}
