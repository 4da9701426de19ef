//! What a scaler remembers of the recent past. All of it can be written down by one process and taken up by another, so
//! moments are seconds on the memory's own clock, which stands still while nobody plans.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::config::PlannerConfig;
use super::forecast::Forecast;
use super::hazard::Hazard;
use super::headroom::Headroom;
use super::rises::Rises;
use super::situation::Zone;
use super::steps::Drains;
use crate::ids::PoolName;
use crate::units::Timestamp;

/// The memory's own clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Clock {
    seconds: f64,
    #[serde(skip)]
    heard: Option<Timestamp>,
}

impl Clock {
    /// Returns the time at `now`, in seconds.
    pub(super) fn at(&self, now: Timestamp) -> f64 {
        self.seconds + self.heard.map_or(0.0, |heard| now.since(heard).as_secs_f64())
    }

    /// Moves on to `now` and returns the seconds since the last time.
    pub(super) fn advance(&mut self, now: Timestamp) -> f64 {
        let seconds = self.at(now) - self.seconds;
        self.seconds += seconds;
        self.heard = Some(now);
        seconds
    }
}

/// The highest of a number's recent values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Highest {
    /// Moments and values; both rise toward the front of what is kept, so the first value is the highest.
    values: VecDeque<(f64, f64)>,
}

impl Highest {
    /// Takes a value and returns the highest since `span` seconds ago.
    pub(super) fn note(&mut self, value: f64, at: f64, span: f64) -> f64 {
        while self.values.back().is_some_and(|(_, lower)| *lower <= value) {
            self.values.pop_back();
        }
        self.values.push_back((at, value));
        while self.values.front().is_some_and(|(then, _)| at - then > span) {
            self.values.pop_front();
        }
        self.values.front().map_or(value, |(_, highest)| *highest)
    }
}

/// What one group of pools was required to hold lately.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Held {
    /// The pools that may serve it; every pool when absent.
    pub(super) pools: Option<BTreeSet<PoolName>>,
    /// The requirement, in slots.
    pub(super) required: Highest,
}

/// What the planner remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    pub(super) clock: Clock,
    pub(super) headroom: Headroom,
    pub(super) hazards: BTreeMap<Zone, Hazard>,
    /// Until when a pool gets no more nodes.
    pub(super) back_off: BTreeMap<PoolName, f64>,
    /// Pools whose last launch failed, until one succeeds.
    pub(super) suspects: BTreeSet<PoolName>,
    /// Nodes lost since the last plan.
    pub(super) lost: BTreeMap<PoolName, u32>,
    pub(super) held: Vec<Held>,
    /// Nodes that a trigger asked for, and until when.
    pub(super) triggered: BTreeMap<PoolName, (u32, f64)>,
    pub(super) drains: Drains,
    pub(super) forecast: Forecast,
    #[serde(default)]
    pub(super) rises: Rises,
    /// Whether there has been a plan.
    pub(super) started: bool,
}

impl Memory {
    pub(super) fn new(config: &PlannerConfig) -> Self {
        Self {
            clock: Clock::default(),
            headroom: Headroom::new(config),
            hazards: BTreeMap::new(),
            back_off: BTreeMap::new(),
            suspects: BTreeSet::new(),
            lost: BTreeMap::new(),
            held: Vec::new(),
            triggered: BTreeMap::new(),
            drains: Drains::default(),
            forecast: Forecast::default(),
            rises: Rises::default(),
            started: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_highest_value_counts_until_it_is_too_old() {
        let mut highest = Highest::default();
        let seen = [(0.0, 5.0), (100.0, 3.0), (200.0, 4.0), (300.0, 1.0), (301.0, 1.0), (600.0, 1.0)];
        let found: Vec<f64> = seen.into_iter().map(|(at, value)| highest.note(value, at, 300.0)).collect();
        assert_eq!(found, [5.0, 5.0, 5.0, 5.0, 4.0, 1.0]);
    }

    #[test]
    fn a_clock_that_was_written_down_goes_on_from_there() {
        let mut clock = Clock::default();
        clock.advance(Timestamp::at(Duration::from_secs(100)));
        assert_eq!(clock.advance(Timestamp::at(Duration::from_secs(110))), 10.0);
        let text = serde_json::to_string(&clock).unwrap();
        let mut taken: Clock = serde_json::from_str(&text).unwrap();
        assert_eq!(taken.advance(Timestamp::at(Duration::from_secs(7))), 0.0);
        assert_eq!(taken.at(Timestamp::at(Duration::from_secs(8))), 11.0);
    }
}
