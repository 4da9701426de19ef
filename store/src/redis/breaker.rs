//! The breaker: after five failures in a row nobody waits for Redis any more, but one call a second that looks whether it is back.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

/// Failures in a row that open the breaker.
const FAILURES: u32 = 5;
/// Time between two looks while it is open.
const PROBE: Duration = Duration::from_secs(1);

/// What became of the calls so far.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Closed,
    Failing {
        failures: u32,
    },
    Open {
        probe_at: Instant,
    },
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Try,
    Skip,
}

impl Breaker {
    /// Asks whether a call may be made now.
    pub(super) fn ask(&self, now: Instant) -> Verdict {
        let mut state = self.state();
        match *state {
            State::Closed | State::Failing { .. } => Verdict::Try,
            State::Open { probe_at } if now < probe_at => Verdict::Skip,
            State::Open { .. } => {
                *state = State::Open { probe_at: now + PROBE };
                Verdict::Try
            }
        }
    }

    /// Notes a call that was answered.
    pub(super) fn succeeded(&self) {
        let before = std::mem::take(&mut *self.state());
        match before {
            State::Closed | State::Failing { .. } => {}
            State::Open { .. } => info!("redis answers again"),
        }
    }

    /// Notes a call that was not.
    pub(super) fn failed(&self, cause: &str, now: Instant) {
        let mut state = self.state();
        let failures = match *state {
            State::Closed => 1,
            State::Failing { failures } => failures + 1,
            State::Open { .. } => return,
        };
        *state = if failures < FAILURES {
            State::Failing { failures }
        } else {
            warn!(cause, "redis is away, going on without it");
            State::Open { probe_at: now + PROBE }
        };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn five_failures_in_a_row_open_it_and_one_answer_closes_it() {
        let breaker = Breaker::default();
        let now = Instant::now();
        (0..4).for_each(|_| breaker.failed("away", now));
        breaker.succeeded();
        (0..4).for_each(|_| breaker.failed("away", now));
        assert_eq!(breaker.ask(now), Verdict::Try);
        breaker.failed("away", now);
        assert_eq!(breaker.ask(now), Verdict::Skip);
        breaker.succeeded();
        assert_eq!(breaker.ask(now), Verdict::Try);
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_breaker_lets_one_call_a_second_through() {
        let breaker = Breaker::default();
        let opened = Instant::now();
        (0..5).for_each(|_| breaker.failed("away", opened));
        let asked = [0, 999, 1_000, 1_001, 1_999, 2_000].map(|at| breaker.ask(opened + Duration::from_millis(at)));
        assert_eq!(asked, [Verdict::Skip, Verdict::Skip, Verdict::Try, Verdict::Skip, Verdict::Skip, Verdict::Try]);
    }
}
