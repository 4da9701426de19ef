//! Distance and slowness on loopback: when a result that is ready now reaches the caller.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

/// How long results take to the caller. They never overtake each other.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    delay: Duration,
    jitter: Duration,
    dice: SmallRng,
    last: Option<Instant>,
}

impl Link {
    /// Delays by `delay`, up to `jitter` more or less.
    pub(crate) fn new(delay: Duration, jitter: Duration, seed: u64) -> Self {
        Self { delay, jitter: jitter.min(delay), dice: SmallRng::seed_from_u64(seed), last: None }
    }

    /// Says when a result that is ready at `now` arrives.
    pub(crate) fn arrival(&mut self, now: Instant) -> Instant {
        let stray = self.jitter.mul_f64(self.dice.random_range(0.0..=2.0));
        let due = now + (self.delay + stray).saturating_sub(self.jitter);
        let due = self.last.map_or(due, |last| due.max(last));
        self.last = Some(due);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stray_within_the_jitter_and_keep_their_order() {
        let (delay, jitter) = (Duration::from_millis(100), Duration::from_millis(50));
        let mut link = Link::new(delay, jitter, 3);
        let now = Instant::now();
        let mut before = now;
        for _ in 0..50 {
            let due = link.arrival(now);
            assert!(due >= before && due >= now + delay - jitter && due <= now + delay + jitter);
            before = due;
        }
    }
}
