//! How long to wait before the next router is tried: exponential with full jitter, so that a thousand agents that lost
//! the same router do not come back at the same moment.

use std::time::Duration;

use rand::Rng;

/// Ceiling of the first wait.
const FIRST: Duration = Duration::from_millis(100);
/// Ceiling of every later wait.
const LONGEST: Duration = Duration::from_secs(5);

/// Counts the failures since things last went well.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Draws the wait after one more failure: anything from nothing to a ceiling that doubles each time.
    pub(crate) fn after_failure(&mut self, dice: &mut impl Rng) -> Duration {
        let ceiling = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(dice.random())
    }

    /// Forgets the failures.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    #[test]
    fn waits_grow_to_a_ceiling_and_start_over() {
        let mut dice = SmallRng::seed_from_u64(7);
        let mut backoff = Backoff::default();
        assert!(backoff.after_failure(&mut dice) <= FIRST);
        let later = (0..100).map(|_| backoff.after_failure(&mut dice)).collect::<Vec<_>>();
        assert!(later.iter().all(|wait| *wait <= LONGEST));
        assert!(later.iter().any(|wait| *wait > LONGEST / 2));
        backoff.reset();
        assert!(backoff.after_failure(&mut dice) <= FIRST);
    }
}
