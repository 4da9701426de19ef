//! The figures, as a table for people and as data.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use super::jitter::{Jitter, quantile};
use super::recording::Recording;
use super::score::Differences;

/// Bootstrap samples, and the seed of their dice.
const SAMPLES: usize = 10_000;
const SEED: u64 = 1;
/// How much of them the interval holds: 95 %.
const OUTSIDE: f64 = 0.025;

/// What seams cost.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How long the speech lasts, in seconds.
    pub seconds: f64,
    /// Words that are said in it.
    pub words: usize,
    /// How far the engine's times stray from run to run.
    pub jitter: Jitter,
    /// Rounds without a fault.
    pub unbroken: Vec<Round>,
    /// Rounds in which the node was killed.
    pub broken: Vec<Round>,
    /// The word error rate without a fault, and with one.
    pub error_rate: (f64, f64),
    /// How much more it is with a fault.
    pub price: Interval,
    #[serde(skip)]
    said: Vec<String>,
    #[serde(skip)]
    usual: Vec<String>,
}

/// What became of the words in one round.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// Where the node was killed, in seconds; nothing where none was.
    pub cut: Option<f64>,
    /// How the transcript differs from what was said.
    pub errors: Differences,
    /// How it differs from the first one without a fault.
    pub strays: Differences,
}

/// A mean, and where it lies with a probability of 95 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Draws samples of as many values, with repetition, and looks at their means.
    fn of(values: &[f64]) -> Self {
        let mean = |values: &mut dyn Iterator<Item = f64>, count: usize| values.sum::<f64>() / count.max(1) as f64;
        let mut dice = StdRng::seed_from_u64(SEED);
        let count = values.len();
        if count == 0 {
            return Self::default();
        }
        let mut sample = || mean(&mut (0..count).map(|_| values[dice.random_range(0..count)]), count);
        let means: Vec<f64> = (0..SAMPLES).map(|_| sample()).collect();
        let mean = mean(&mut values.iter().copied(), count);
        Self { mean, low: quantile(&means, OUTSIDE), high: quantile(&means, 1.0 - OUTSIDE) }
    }
}

impl Report {
    pub(super) fn new(recording: &Recording, jitter: Jitter) -> Self {
        Self {
            seconds: recording.length().as_secs_f64(),
            words: recording.said().len(),
            jitter,
            unbroken: Vec::new(),
            broken: Vec::new(),
            error_rate: (0.0, 0.0),
            price: Interval::default(),
            said: recording.said().to_vec(),
            usual: Vec::new(),
        }
    }

    /// Takes the transcript of a round, the first of which must be one without a fault.
    pub(super) fn take(&mut self, cut: Option<Duration>, heard: &[String]) {
        let errors = Differences::between(&self.said, heard);
        if self.unbroken.is_empty() {
            heard.clone_into(&mut self.usual);
        }
        let strays = Differences::between(&self.usual, heard);
        let round = Round { cut: cut.map(|cut| cut.as_secs_f64()), errors, strays };
        match cut {
            Some(_) => self.broken.push(round),
            None => self.unbroken.push(round),
        }
    }

    /// Compares the rounds.
    pub(super) fn concluded(mut self) -> Self {
        let rate = |round: &Round| round.errors.sum() as f64 / self.words.max(1) as f64;
        let mean = |rounds: &[Round]| rounds.iter().map(rate).sum::<f64>() / rounds.len().max(1) as f64;
        self.error_rate = (mean(&self.unbroken), mean(&self.broken));
        let more: Vec<f64> = self.broken.iter().map(|round| rate(round) - self.error_rate.0).collect();
        self.price = Interval::of(&more);
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jitter, .. } = self;
        writeln!(f, "{:.1} s of speech, {} words", self.seconds, self.words)?;
        writeln!(
            f,
            "word times of {} runs from other points on: a whole run strays by {:.0} ms at most, a word from its run by {:.0} ms (p50), {:.0} ms (p95), {:.0} ms (most); {} words compared, {} without a partner",
            jitter.runs,
            jitter.most_offset(),
            jitter.noise(0.5),
            jitter.noise(0.95),
            jitter.noise(1.0),
            jitter.words,
            jitter.unmatched
        )?;
        let (without, with) = self.error_rate;
        writeln!(f, "\nword error rate without a fault  {:6.2} %   {} rounds", 100.0 * without, self.unbroken.len())?;
        writeln!(f, "with a node killed on the way    {:6.2} %   {} cut points", 100.0 * with, self.broken.len())?;
        let Interval { mean, low, high } = self.price;
        let (mean, low, high) = (100.0 * mean, 100.0 * low, 100.0 * high);
        writeln!(f, "difference                       {mean:+6.2} points, 95 % from {low:+.2} to {high:+.2}")?;
        let sum =
            |count: fn(&Differences) -> usize| self.broken.iter().map(|round| count(&round.strays)).sum::<usize>();
        let same = self.broken.iter().filter(|round| round.strays.sum() == 0).count();
        writeln!(
            f,
            "\n{same} of {} broken transcripts are those of the first round without a fault; in the others",
            self.broken.len()
        )?;
        writeln!(
            f,
            "words changed {}, lost {}, added {}",
            sum(|strays| strays.changed),
            sum(|strays| strays.lost),
            sum(|strays| strays.added)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_holds_the_mean_and_grows_with_the_spread() {
        let narrow = Interval::of(&[0.1; 100]);
        assert!((narrow.low - 0.1).abs() < 1e-9 && (narrow.high - 0.1).abs() < 1e-9);
        let values: Vec<f64> = (0..100).map(|number| f64::from(number % 2)).collect();
        let wide = Interval::of(&values);
        assert!(
            (wide.mean - 0.5).abs() < 1e-9 && (0.38..0.42).contains(&wide.low) && (0.58..0.62).contains(&wide.high)
        );
        assert_eq!(Interval::of(&[]), Interval::default());
    }
}
