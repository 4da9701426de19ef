//! Many times, as a histogram.

use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};

/// Times between a microsecond and two minutes, in nanoseconds, exact to three digits.
const SHORTEST: u64 = 1_000;
const LONGEST: u64 = 120_000_000_000;
const DIGITS: u8 = 3;

/// A collection of times.
#[derive(Clone, Debug)]
pub(crate) struct Timings(Histogram<u64>);

impl Timings {
    /// Begins with none.
    pub(crate) fn new() -> Result<Self, CreationError> {
        Histogram::new_with_bounds(SHORTEST, LONGEST, DIGITS).map(Self)
    }

    /// Adds a time; longer ones count as two minutes.
    pub(crate) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Returns the time that a share of all times do not exceed, in milliseconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e6
    }

    /// Returns the longest time, in milliseconds.
    pub(crate) fn max(&self) -> f64 {
        self.0.max() as f64 / 1e6
    }

    /// Counts the times.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_in_milliseconds_and_exact_to_three_digits() {
        let mut timings = Timings::new().unwrap();
        (1..=1_000).for_each(|tenths| timings.record(Duration::from_micros(100 * tenths)));
        for (share, expected) in [(0.5, 50.0), (0.99, 99.0)] {
            let quantile = timings.quantile(share);
            assert!((quantile - expected).abs() <= expected / 1_000.0, "{quantile}");
        }
        assert!((timings.max() - 100.0).abs() < 0.1 && timings.count() == 1_000);
    }

    #[test]
    fn a_time_without_end_is_the_longest_there_is() {
        let mut timings = Timings::new().unwrap();
        timings.record(Duration::MAX);
        assert!((timings.max() / 120_000.0 - 1.0).abs() < 0.001);
    }
}
