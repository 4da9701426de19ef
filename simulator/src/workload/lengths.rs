//! Session lengths, and the holding times that theory is checked with.

use std::time::Duration;

use rand::Rng;
use rand_distr::{Distribution, Exp1, LogNormal, StandardNormal};

use crate::scenario::{Durations, Holding};

/// The law of session lengths.
pub(super) struct Lengths {
    durations: Durations,
}

impl Lengths {
    pub(super) fn of(durations: &Durations) -> Self {
        Self { durations: *durations }
    }

    /// Returns the mean, in seconds, by integrating over the normal density.
    pub(super) fn mean(&self) -> f64 {
        let share = self.durations.meetings.share.clamp(0.0, 1.0);
        let clipped = |(mu, sigma): (f64, f64)| {
            let steps = (-8_000..=8_000).map(|step| f64::from(step) / 1_000.0);
            let mass = |z: f64| (-z * z / 2.0).exp();
            let sum: f64 = steps.clone().map(|z| mass(z) * self.clip(sigma.mul_add(z, mu).exp())).sum();
            sum / steps.map(mass).sum::<f64>()
        };
        (1.0 - share) * clipped(self.calls()) + share * clipped(self.meetings())
    }

    pub(super) fn draw(&self, dice: &mut impl Rng) -> Duration {
        let meeting = dice.random::<f64>() < self.durations.meetings.share;
        let (mu, sigma) = if meeting { self.meetings() } else { self.calls() };
        let normal: f64 = StandardNormal.sample(dice);
        Duration::from_secs_f64(self.clip(sigma.mul_add(normal, mu).exp()))
    }

    fn calls(&self) -> (f64, f64) {
        (self.durations.mu, self.durations.sigma)
    }

    fn meetings(&self) -> (f64, f64) {
        (self.durations.meetings.median.as_secs_f64().max(1.0).ln(), self.durations.meetings.sigma)
    }

    fn clip(&self, seconds: f64) -> f64 {
        let least = self.durations.least.as_secs_f64();
        seconds.clamp(least, self.durations.most.as_secs_f64().max(least))
    }
}

/// Draws a holding time with the given mean, in seconds; the lognormal one is as uneven as calls are.
pub(super) fn holding(holding: Holding, mean: f64, dice: &mut impl Rng) -> Duration {
    let sigma = Durations::default().sigma;
    let seconds = match holding {
        Holding::Constant => mean,
        Holding::Exponential => {
            let draw: f64 = Exp1.sample(dice);
            draw * mean
        }
        Holding::Lognormal => {
            LogNormal::new(mean.ln() - sigma * sigma / 2.0, sigma).map_or(mean, |law| law.sample(dice))
        }
    };
    Duration::from_secs_f64(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::dice;

    #[test]
    fn the_mean_is_that_of_the_draws() {
        let lengths = Lengths::of(&Durations::default());
        let mut dice = dice(3, 4);
        let drawn = (0..400_000).map(|_| lengths.draw(&mut dice).as_secs_f64()).sum::<f64>() / 4e5;
        assert!((drawn / lengths.mean() - 1.0).abs() < 0.02, "{drawn} {}", lengths.mean());
    }

    #[test]
    fn calls_alone_last_189_seconds_on_average() {
        let mut durations = Durations::default();
        durations.meetings.share = 0.0;
        assert!((Lengths::of(&durations).mean() - 189.0).abs() < 1.0, "{}", Lengths::of(&durations).mean());
    }

    #[test]
    fn holding_times_have_their_mean() {
        for law in [Holding::Exponential, Holding::Lognormal, Holding::Constant] {
            let mut dice = dice(5, 6);
            let mean = (0..400_000).map(|_| holding(law, 100.0, &mut dice).as_secs_f64()).sum::<f64>() / 4e5;
            assert!((mean / 100.0 - 1.0).abs() < 0.02, "{law:?}: {mean}");
        }
    }
}
