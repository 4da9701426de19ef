//! The session's clock: samples since the first one that the caller sent. Positions are whole samples, never floats.

use std::time::Duration;

use crate::events::Layout;

/// What a stream that cannot be cut is clocked with: microseconds.
const NOMINAL: u64 = 1_000_000;
const NANOS: u128 = 1_000_000_000;

/// Converts between samples and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeline {
    rate: u64,
}

impl Timeline {
    /// Clocks audio of a layout.
    pub(crate) fn of(layout: Layout) -> Self {
        match layout {
            Layout::Frames { rate, .. } | Layout::Units { rate, .. } => Self { rate: rate.get().into() },
            Layout::Opaque => Self { rate: NOMINAL },
        }
    }

    /// Rounds a time to samples.
    pub(crate) fn samples(self, time: Duration) -> u64 {
        let samples = (time.as_nanos() * u128::from(self.rate) + NANOS / 2) / NANOS;
        u64::try_from(samples).unwrap_or(u64::MAX / 2).min(u64::MAX / 2)
    }

    /// Returns when a sample is.
    pub(crate) fn time(self, samples: u64) -> Duration {
        let nanos = u128::from(samples % self.rate) * NANOS / u128::from(self.rate);
        Duration::from_secs(samples / self.rate) + Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }

    /// Counts the samples of so many milliseconds.
    pub(crate) fn millis(self, millis: u64) -> u64 {
        self.rate.saturating_mul(millis) / 1_000
    }

    /// Converts a difference of samples to nanoseconds.
    pub(crate) fn nanos(self, samples: i64) -> i64 {
        let nanos = i128::from(samples) * 1_000_000_000 / i128::from(self.rate);
        i64::try_from(nanos).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    fn timeline(rate: u32) -> Timeline {
        let bytes = NonZeroU32::MIN;
        Timeline::of(Layout::Frames { rate: NonZeroU32::new(rate).unwrap(), bytes })
    }

    #[test]
    fn times_come_back_as_the_samples_they_were() {
        for rate in [8_000, 16_000, 44_100, 48_000] {
            let timeline = timeline(rate);
            for sample in [0, 1, 7, 44_099, 1_234_567, 99_999_999_999] {
                assert_eq!(timeline.samples(timeline.time(sample)), sample, "{rate}");
            }
        }
    }

    #[test]
    fn absurd_times_have_room_to_be_added_to() {
        assert_eq!(timeline(16_000).samples(Duration::MAX), u64::MAX / 2);
        assert_eq!(Timeline::of(Layout::Opaque).samples(Duration::from_secs(2)), 2_000_000);
        assert_eq!(timeline(8_000).nanos(-80), -10_000_000);
    }
}
