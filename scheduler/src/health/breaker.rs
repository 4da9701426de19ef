//! The circuit breaker of a pool that has no agents: after failures in a row nobody is sent there for a while, and then one
//! session at a time, until one succeeds.

use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fleet::Gate;
use crate::units::{Timestamp, positive_duration};

/// When a pool without agents is left alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerLimits {
    /// Failures in a row.
    pub failures: NonZeroU32,
    /// For how long.
    #[serde(with = "positive_duration")]
    #[schemars(with = "String")]
    pub rest: Duration,
}

impl Default for BreakerLimits {
    fn default() -> Self {
        Self { failures: NonZeroU32::MIN.saturating_add(4), rest: Duration::from_secs(60) }
    }
}

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Sessions pass; so many failed in a row.
    Closed { failures: u32 },
    /// Nobody passes before this moment, and one at a time after it.
    Open { until: Timestamp },
}

/// A breaker: pure, driven by what happens to sessions.
#[derive(Clone, Debug)]
pub struct Breaker {
    limits: BreakerLimits,
    state: State,
}

impl Breaker {
    /// Starts with sessions passing.
    #[must_use]
    pub fn new(limits: BreakerLimits) -> Self {
        Self { limits, state: State::Closed { failures: 0 } }
    }

    /// Notes that a session was served.
    pub fn succeeded(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// Notes that a session was not served. The one that is let through after a rest decides for another rest.
    pub fn failed(&mut self, now: Timestamp) {
        let rest = State::Open { until: now + self.limits.rest };
        self.state = match self.state {
            State::Closed { failures } if failures + 1 >= self.limits.failures.get() => rest,
            State::Closed { failures } => State::Closed { failures: failures + 1 },
            State::Open { until } if now >= until => rest,
            State::Open { until } => State::Open { until },
        };
    }

    /// Tells whether nobody is let through now.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        matches!(self.state, State::Open { until } if now < until)
    }

    pub(crate) fn gate(&self) -> Gate {
        match self.state {
            State::Closed { .. } => Gate::Open,
            State::Open { until } => Gate::Shut { until },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noon;

    fn failing(times: u32) -> Breaker {
        let mut breaker = Breaker::new(BreakerLimits::default());
        (0..times).for_each(|_| breaker.failed(noon()));
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it_for_a_minute() {
        let minute = Duration::from_secs(60);
        assert!(!failing(4).is_open(noon()));
        assert!(failing(5).is_open(noon() + minute - Duration::from_micros(1)));
        assert!(!failing(5).is_open(noon() + minute));
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let mut breaker = failing(4);
        breaker.succeeded();
        (0..4).for_each(|_| breaker.failed(noon()));
        assert!(!breaker.is_open(noon()));
    }

    #[test]
    fn after_the_rest_one_failure_is_enough_and_one_success_too() {
        let later = noon() + Duration::from_secs(61);
        let mut again = failing(5);
        again.failed(later);
        assert!(again.is_open(later + Duration::from_secs(59)));
        let mut back = failing(5);
        back.succeeded();
        back.failed(later);
        assert!(!back.is_open(later));
    }

    #[test]
    fn failures_of_sessions_that_were_on_their_way_do_not_lengthen_the_rest() {
        let mut breaker = failing(5);
        breaker.failed(noon() + Duration::from_secs(30));
        assert!(!breaker.is_open(noon() + Duration::from_secs(60)));
    }
}
