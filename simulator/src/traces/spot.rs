//! Spot capacity: how many nodes a spot pool can have at a time, from a trace or from dice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::Rng;
use rand_distr::{Distribution, Exp};
use scheduler::{PoolName, Timestamp};
use serde::{Deserialize, Serialize};

use super::{TraceError, read_text};

/// A spot set: what stands behind each spot pool of a fleet.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpotFile {
    /// What tables call it.
    pub name: String,
    /// Pools and their source; a spot pool that is not listed is never short.
    pub pools: BTreeMap<PoolName, SpotSource>,
}

/// Where one pool's capacity comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpotSource {
    /// A recorded zone.
    Trace(SpotEntry),
    /// Dice, for whoever has no trace.
    Synthetic(SyntheticSpot),
}

/// A recorded zone: `{"metadata":{"gap_seconds":300},"data":[16,16,4,…]}`. A trace that ends begins again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpotEntry {
    /// The file.
    pub file: PathBuf,
    /// Nodes per recorded instance.
    #[serde(default = "one")]
    pub multiplier: u32,
    /// Where in the trace the scenario begins.
    #[serde(default, with = "scheduler::units::duration")]
    pub offset: Duration,
}

/// A capacity that is drawn anew from time to time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyntheticSpot {
    /// The most nodes; a level is drawn between half of it and all of it.
    pub most: u32,
    /// Mean time between two draws; times are exponential.
    #[serde(with = "scheduler::units::positive_duration")]
    pub holds: Duration,
    /// The share of draws that give nothing at all.
    pub empty: f64,
}

#[derive(Deserialize)]
struct Recording {
    metadata: Metadata,
    data: Vec<u32>,
}

#[derive(Deserialize)]
struct Metadata {
    gap_seconds: u32,
}

/// How many nodes a pool can have, as steps in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    steps: Vec<(Timestamp, u32)>,
}

impl Capacity {
    /// Makes a capacity that never changes.
    #[must_use]
    pub fn always(nodes: u32) -> Self {
        Self { steps: vec![(Timestamp::ZERO, nodes)] }
    }

    /// Reads a recorded zone.
    ///
    /// # Errors
    /// Fails when the file cannot be read or is not in the format.
    pub fn read(path: &Path, entry: &SpotEntry, horizon: Duration) -> Result<Self, TraceError> {
        let text = read_text(path)?;
        let json = |cause| TraceError::Json { path: path.to_owned(), cause };
        let recording: Recording = serde_json::from_str(&text).map_err(json)?;
        let gap = Duration::from_secs(recording.metadata.gap_seconds.max(1).into());
        if recording.data.is_empty() {
            return Ok(Self::always(0));
        }
        let first = usize::try_from(entry.offset.as_secs() / gap.as_secs()).unwrap_or(0);
        let at = |tick: usize| Timestamp::at(gap.saturating_mul(u32::try_from(tick).unwrap_or(u32::MAX)));
        let levels = recording.data.iter().cycle().skip(first % recording.data.len());
        let steps = levels.enumerate().map(|(tick, level)| (at(tick), level.saturating_mul(entry.multiplier)));
        Ok(Self::of(steps.take_while(|(at, _)| *at < Timestamp::at(horizon))))
    }

    /// Draws a capacity.
    pub fn draw(synthetic: &SyntheticSpot, horizon: Duration, dice: &mut impl Rng) -> Self {
        let mean = synthetic.holds.as_secs_f64().max(1.0);
        let mut now = 0.0;
        let mut steps = Vec::new();
        while now < horizon.as_secs_f64() {
            let empty = dice.random_bool(synthetic.empty.clamp(0.0, 1.0));
            let level = if empty { 0 } else { dice.random_range(synthetic.most / 2..=synthetic.most) };
            steps.push((Timestamp::at(Duration::from_secs_f64(now)), level));
            now += Exp::new(1.0 / mean).map_or(mean, |law| law.sample(dice)).max(1.0);
        }
        Self::of(steps.into_iter())
    }

    /// Keeps the steps that change something.
    fn of(steps: impl Iterator<Item = (Timestamp, u32)>) -> Self {
        let mut steps: Vec<_> = steps.collect();
        steps.dedup_by_key(|(_, level)| *level);
        Self { steps }
    }

    /// Returns when the capacity changes, and to what.
    #[must_use]
    pub fn steps(&self) -> &[(Timestamp, u32)] {
        &self.steps
    }

    /// Returns the nodes that can be had at a time.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> u32 {
        let after = self.steps.partition_point(|(at, _)| *at <= now);
        after.checked_sub(1).map_or(0, |at| self.steps[at].1)
    }

    /// Forces the capacity to nothing while a span lasts.
    #[must_use]
    pub fn without(&self, from: Timestamp, to: Timestamp) -> Self {
        let before = self.steps.iter().copied().filter(|(at, _)| *at < from);
        let after = self.steps.iter().copied().filter(|(at, _)| *at > to);
        Self::of(before.chain([(from, 0), (to, self.at(to))]).chain(after))
    }

    /// Returns the capacity with at most `most` nodes.
    #[must_use]
    pub fn capped(&self, most: u32) -> Self {
        Self::of(self.steps.iter().map(|(at, level)| (*at, (*level).min(most))))
    }

    /// Returns the mean capacity of each of `bins` bins.
    #[must_use]
    pub fn means(&self, bin: Duration, bins: usize) -> Vec<f64> {
        let mut means = vec![0.0; bins];
        let width = bin.as_secs_f64();
        let end = Timestamp::at(bin.saturating_mul(u32::try_from(bins).unwrap_or(u32::MAX)));
        let ends = self.steps.iter().skip(1).map(|(at, _)| *at).chain([end]);
        for ((from, level), to) in self.steps.iter().zip(ends) {
            let (from, to) = (seconds(*from), seconds(to.min(end)));
            let mut at = from;
            while at < to {
                let index = (at / width + 1e-9).floor();
                let until = to.min((index + 1.0) * width);
                if let Some(mean) = means.get_mut(as_index(index)) {
                    *mean += f64::from(*level) * (until - at) / width;
                }
                at = until;
            }
        }
        means
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.since(Timestamp::ZERO).as_secs_f64()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer casts saturate")]
fn as_index(value: f64) -> usize {
    value as usize
}

fn one() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::at(Duration::from_secs(seconds))
    }

    fn read(multiplier: u32, offset: u64) -> Capacity {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(br#"{"metadata":{"gap_seconds":100},"data":[2,2,0,1]}"#).unwrap();
        let entry = SpotEntry { file: PathBuf::new(), multiplier, offset: Duration::from_secs(offset) };
        Capacity::read(file.path(), &entry, Duration::from_secs(600)).unwrap()
    }

    #[test]
    fn a_trace_is_multiplied_shifted_and_begun_again() {
        assert_eq!(read(4, 0).steps(), [(at(0), 8), (at(200), 0), (at(300), 4), (at(400), 8)]);
        assert_eq!(read(1, 200).steps(), [(at(0), 0), (at(100), 1), (at(200), 2), (at(400), 0), (at(500), 1)]);
    }

    #[test]
    fn the_capacity_is_that_of_the_last_step() {
        let capacity = read(1, 0);
        assert_eq!([0, 199, 200, 300, 599].map(|second| capacity.at(at(second))), [2, 2, 0, 1, 2]);
    }

    #[test]
    fn bin_means_weigh_each_level_by_its_time() {
        assert_eq!(read(1, 0).means(Duration::from_secs(150), 4), [2.0, 2.0 / 3.0, 4.0 / 3.0, 2.0]);
    }

    #[test]
    fn an_outage_takes_everything_and_gives_it_back() {
        let capacity = read(1, 0).without(at(50), at(350));
        assert_eq!([0, 50, 349, 350, 400].map(|second| capacity.at(at(second))), [2, 0, 0, 1, 2]);
    }

    #[test]
    fn the_same_dice_draw_the_same_capacity() {
        let synthetic = SyntheticSpot { most: 16, holds: Duration::from_secs(3600), empty: 0.2 };
        let draw = |seed| Capacity::draw(&synthetic, Duration::from_secs(86_400), &mut SmallRng::seed_from_u64(seed));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(1).steps().iter().all(|(_, level)| *level == 0 || (8..=16).contains(level)));
    }
}
