//! The generic cell rate algorithm: a rate kept with one number, the time at which everything so far is paid for.
//!
//! The formula is the virtual scheduling algorithm of ITU-T I.371, annex A (the ATM Forum's Traffic Management 4.0 has the
//! same): a unit costs `period / units`; it may come while what is unpaid, its own cost included, is at most one period. So a
//! caller who was idle may have a period's units at once, and in any time `t` at most `units + units × t / period`.

use std::time::Duration;

use scheduler::Timestamp;

/// The most that may be owed: more is forgiven, so that a mistake is not paid for for ever.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// So many units in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) units: u64,
    pub(crate) period: Duration,
}

impl Rate {
    /// Makes a rate per minute.
    pub(crate) fn per_minute(units: u64) -> Self {
        Self { units, period: Duration::from_secs(60) }
    }

    /// Returns the units that may come at once where so much is unpaid.
    pub(crate) fn left(self, unpaid: Duration) -> u64 {
        let free = self.period.saturating_sub(unpaid).as_nanos() * u128::from(self.units);
        u64::try_from(free.checked_div(self.period.as_nanos()).unwrap_or(0)).unwrap_or(u64::MAX)
    }

    /// Returns what units cost, in nanoseconds times the rate's units, so that nothing is ever rounded.
    fn cost(self, units: u64) -> u128 {
        u128::from(units) * self.period.as_nanos()
    }
}

/// What one caller has used of a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gcra {
    /// Unpaid at a time, in nanoseconds times `units`, which are paid for by the passing of one nanosecond.
    owed: u128,
    at: Timestamp,
    units: u64,
}

impl Gcra {
    /// Returns how long it takes until everything is paid for.
    pub(crate) fn unpaid(self, now: Timestamp) -> Duration {
        time(self.owed(self.units, now), self.units, 1)
    }

    /// Tells how long these units must wait, in whole microseconds; more than fit into a period wait until nothing is unpaid.
    pub(crate) fn wait(self, rate: Rate, units: u64, now: Timestamp) -> Duration {
        if rate.units == 0 && units > 0 {
            return rate.period;
        }
        let over =
            (self.owed(rate.units, now) + rate.cost(units.min(rate.units))).saturating_sub(rate.cost(rate.units));
        time(over, rate.units, 1_000)
    }

    /// Charges units, whether they had to wait or not.
    pub(crate) fn charge(&mut self, rate: Rate, units: u64, now: Timestamp) {
        let most = LONGEST.as_nanos() * u128::from(rate.units);
        let owed = (self.owed(rate.units, now) + rate.cost(units)).min(most);
        *self = Self { owed, at: now, units: rate.units };
    }

    fn owed(self, units: u64, now: Timestamp) -> u128 {
        self.owed.saturating_sub(now.since(self.at).as_nanos() * u128::from(units))
    }
}

/// Returns the time in which `owed` is paid for, rounded up to a multiple of `step` nanoseconds.
fn time(owed: u128, units: u64, step: u128) -> Duration {
    if units == 0 {
        return Duration::ZERO;
    }
    let nanos = owed.div_ceil(u128::from(units)).next_multiple_of(step);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: u64) -> Timestamp {
        Timestamp::at(Duration::from_micros(micros))
    }

    /// Admits what need not wait, and charges it.
    fn admit(gcra: &mut Gcra, rate: Rate, units: u64, now: Timestamp) -> bool {
        let admitted = gcra.wait(rate, units, now).is_zero();
        if admitted {
            gcra.charge(rate, units, now);
        }
        admitted
    }

    proptest! {
        #[test]
        fn at_most_the_burst_and_the_rate_come_through(
            units in 1_u64..5_000,
            gaps in prop::collection::vec((0_u64..3_000_000, 1_u64..8), 1..300),
        ) {
            let (rate, mut gcra) = (Rate::per_minute(units), Gcra::default());
            let (mut now, mut admitted) = (1_000_000, Vec::new());
            for (gap, asked) in gaps {
                now += gap;
                let asked = asked.min(units);
                if admit(&mut gcra, rate, asked, at(now)) {
                    admitted.push((now, asked));
                }
                // In every window that ends now.
                let mut came = 0;
                for (then, asked) in admitted.iter().rev() {
                    came += u128::from(*asked);
                    let most = u128::from(units) * (60_000_000 + u128::from(now - then));
                    prop_assert!(came * 60_000_000 <= most, "{came} in {} us at {units} a minute", now - then);
                }
            }
        }

        #[test]
        fn who_keeps_to_the_rate_is_never_refused(
            units in 1_u64..5_000,
            late in prop::collection::vec(0_u64..2_000_000, 1..500),
        ) {
            let (rate, mut gcra) = (Rate::per_minute(units), Gcra::default());
            let mut now = 1_000_000;
            for late in late {
                prop_assert!(admit(&mut gcra, rate, 1, at(now)));
                now += 60_000_000_u64.div_ceil(units) + late;
            }
        }

        #[test]
        fn an_idle_caller_may_have_the_whole_limit_at_once(units in 1_u64..5_000) {
            let (rate, mut gcra) = (Rate::per_minute(units), Gcra::default());
            prop_assert_eq!((0..units + 5).filter(|_| admit(&mut gcra, rate, 1, at(7))).count() as u64, units);
        }

        #[test]
        fn who_waits_as_told_is_let_in_and_no_sooner(units in 1_u64..5_000, asked in 1_u64..10_000, used in 1_u64..10_000) {
            let (rate, mut gcra, now) = (Rate::per_minute(units), Gcra::default(), at(5));
            gcra.charge(rate, used, now);
            let wait = gcra.wait(rate, asked, now);
            if !wait.is_zero() {
                prop_assert!(!gcra.wait(rate, asked, now + wait - Duration::from_micros(1)).is_zero());
            }
            prop_assert!(gcra.wait(rate, asked, now + wait).is_zero());
        }
    }

    #[test]
    fn more_than_a_period_holds_is_let_in_alone_and_paid_back() {
        let (rate, mut gcra, now) = (Rate::per_minute(10), Gcra::default(), at(5));
        assert!(admit(&mut gcra, rate, 30, now));
        assert_eq!(gcra.wait(rate, 1, now), Duration::from_secs(126));
        assert_eq!((rate.left(gcra.unpaid(now)), rate.left(Duration::ZERO)), (0, 10));
        assert!(!gcra.wait(Rate::per_minute(0), 1, now + LONGEST).is_zero(), "a rate of nothing lets nothing in");
        gcra.charge(rate, u64::MAX, now);
        assert_eq!(gcra.unpaid(now), LONGEST);
    }
}
