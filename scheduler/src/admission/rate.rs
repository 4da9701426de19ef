//! How often something happened lately: counts by second over the last minute.

use std::time::Duration;

use crate::units::Timestamp;

/// Seconds that are kept.
const KEPT: usize = 60;

/// Counts of the last minute.
#[derive(Clone, Debug)]
pub struct Rate {
    counts: [u32; KEPT],
    /// The second that was counted in last.
    second: u64,
}

impl Default for Rate {
    fn default() -> Self {
        Self { counts: [0; KEPT], second: 0 }
    }
}

impl Rate {
    fn turn_to(&mut self, now: Timestamp) {
        let second = now.micros() / 1_000_000;
        let passed = second.saturating_sub(self.second).min(KEPT as u64);
        for step in 1..=passed {
            self.counts[place(self.second.max(second - passed) + step)] = 0;
        }
        self.second = self.second.max(second);
    }

    /// Counts one.
    pub fn note(&mut self, now: Timestamp) {
        self.turn_to(now);
        let count = &mut self.counts[place(self.second)];
        *count = count.saturating_add(1);
    }

    /// Returns how many there were in the last `stretch`, the second that runs included.
    #[must_use]
    pub fn within(&mut self, stretch: Duration, now: Timestamp) -> u32 {
        self.turn_to(now);
        self.ending(0, seconds(stretch))
    }

    /// Returns how many there were in the busiest `stretch` of the last minute.
    #[must_use]
    pub fn peak(&mut self, stretch: Duration, now: Timestamp) -> u32 {
        self.turn_to(now);
        let long = seconds(stretch);
        (0..=KEPT - long).map(|ago| self.ending(ago, long)).max().unwrap_or(0)
    }

    /// Counts the `long` seconds that ended `ago` seconds before the last one.
    fn ending(&self, ago: usize, long: usize) -> u32 {
        let seconds = (ago..ago + long).map(|ago| self.second.checked_sub(ago as u64));
        seconds.flatten().map(|second| self.counts[place(second)]).sum()
    }
}

fn place(second: u64) -> usize {
    usize::try_from(second % KEPT as u64).unwrap_or(0)
}

fn seconds(stretch: Duration) -> usize {
    usize::try_from(stretch.as_secs()).unwrap_or(KEPT).clamp(1, KEPT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_peak_is_the_busiest_stretch(times in prop::collection::vec(0..120_u64, 0..80), stretch in 1..20_u64) {
            let mut times = times;
            times.sort_unstable();
            let at = |second| Timestamp::at(Duration::from_secs(43_200 + second));
            let mut rate = Rate::default();
            times.iter().for_each(|second| rate.note(at(*second)));
            let last = times.last().copied().unwrap_or(0);
            let count = |from: u64| times.iter().filter(|second| (from..from + stretch).contains(second)).count();
            let first = (last + 1).saturating_sub(60);
            let busiest = (first..=last).filter(|from| from + stretch <= last + 1).map(count).max().unwrap_or(0);
            let long = Duration::from_secs(stretch);
            prop_assert_eq!(rate.peak(long, at(last)) as usize, busiest.max(count((last + 1).saturating_sub(stretch))));
            prop_assert_eq!(rate.within(long, at(last)) as usize, count((last + 1).saturating_sub(stretch)));
            prop_assert_eq!(rate.within(long, at(last + 60)), 0);
        }
    }
}
