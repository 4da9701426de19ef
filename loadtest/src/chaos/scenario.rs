//! What is started, who calls, and what goes wrong: a scenario, as a file says it.

use std::collections::BTreeMap;
use std::num::{NonZeroU8, NonZeroU16};
use std::time::Duration;

use scheduler::units::{duration, positive_duration};
use serde::Deserialize;
use thiserror::Error;

use super::fault::Fault;
use super::link::Weather;
use crate::caller::Loss;

/// What is done unless a file says otherwise.
pub const DEFAULT_SCENARIO: &str = include_str!("default.yaml");

/// The longest run: scripts have no end, but what callers heard is kept in memory.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A whole run, but for its dice.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// One sentence for people.
    pub about: String,
    /// Streams at the same time.
    pub streams: NonZeroU16,
    /// How long faults are put in.
    #[serde(with = "positive_duration")]
    pub lasts: Duration,
    /// From one fault to the next.
    #[serde(with = "positive_duration")]
    pub every: Duration,
    /// Faults that may overlap.
    pub at_once: NonZeroU8,
    /// Routers; more than one share a Redis.
    pub routers: NonZeroU8,
    /// Proxies.
    pub proxies: NonZeroU8,
    /// Nodes; together they have slots for twice the streams.
    pub nodes: NonZeroU8,
    /// What callers do whose connections are lost.
    pub lost_callers: Loss,
    /// What callers say.
    pub speech: Speeches,
    /// How engines hear.
    pub engine: Hearing,
    /// What the links between proxies and engines are like.
    pub links: Weather,
    /// The share of its processor that each proxy and engine gets.
    pub processor: f64,
    /// What goes wrong.
    pub faults: BTreeMap<Fault, Dose>,
}

/// How callers speak.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Speeches {
    /// The shortest stream.
    #[serde(with = "positive_duration")]
    pub least: Duration,
    /// The longest.
    #[serde(with = "positive_duration")]
    pub most: Duration,
    /// Times real time.
    pub pace: f64,
    /// Sound in a message.
    #[serde(with = "positive_duration")]
    pub frame: Duration,
}

/// How synthetic engines hear.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hearing {
    /// Times real time, at most.
    pub speed: f64,
    /// From audio to result.
    #[serde(with = "duration")]
    pub latency: Duration,
    /// Of latency and word times.
    #[serde(with = "duration")]
    pub jitter: Duration,
}

/// How often a fault is put in, and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dose {
    /// How often, relative to the others.
    pub weight: u32,
    /// Until it is taken out again.
    #[serde(with = "duration")]
    pub lasts: Duration,
}

/// A scenario cannot be played.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// The file is not understood.
    #[error("the scenario is not understood: {0}")]
    Unreadable(#[from] serde_saphyr::Error),
    /// A figure makes no sense.
    #[error("{key} of the scenario is {got}, expected {expected}")]
    OutOfRange {
        /// Which one.
        key: &'static str,
        /// What it is.
        got: String,
        /// What it may be.
        expected: &'static str,
    },
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// When it is not understood, or nobody could play it.
    pub fn read(yaml: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = serde_saphyr::from_str(yaml)?;
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), ScenarioError> {
        let wrong = |key, got: String, expected| Err(ScenarioError::OutOfRange { key, got, expected });
        let Speeches { least, most, pace, .. } = self.speech;
        let length = |length| humantime::format_duration(length).to_string();
        if self.lasts > LONGEST {
            return wrong("lasts", length(self.lasts), "at most 24h");
        }
        if least > most {
            return wrong("speech.least", length(least), "at most speech.most");
        }
        if !(0.1..=10.0).contains(&pace) {
            return wrong("speech.pace", pace.to_string(), "0.1 to 10");
        }
        if !(0.1..=1.0).contains(&self.processor) {
            return wrong("processor", self.processor.to_string(), "0.1 to 1");
        }
        if !(0.0..=1.0).contains(&self.links.held) {
            return wrong("links.held", self.links.held.to_string(), "0 to 1");
        }
        Ok(())
    }

    /// Tells whether a Redis is needed.
    #[must_use]
    pub fn wants_redis(&self) -> bool {
        self.routers.get() > 1 || self.faults.keys().any(|fault| fault.is_of_redis())
    }
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            about: String::new(),
            streams: NonZeroU16::MIN.saturating_add(199),
            lasts: Duration::from_secs(600),
            every: Duration::from_secs(5),
            at_once: NonZeroU8::MIN.saturating_add(2),
            routers: NonZeroU8::MIN.saturating_add(1),
            proxies: NonZeroU8::MIN.saturating_add(1),
            nodes: NonZeroU8::MIN.saturating_add(7),
            lost_callers: Loss::End,
            speech: Speeches::default(),
            engine: Hearing::default(),
            links: Weather::default(),
            processor: 1.0,
            faults: BTreeMap::new(),
        }
    }
}

impl Default for Speeches {
    fn default() -> Self {
        let (least, most) = (Duration::from_secs(20), Duration::from_secs(90));
        Self { least, most, pace: 1.0, frame: Duration::from_millis(100) }
    }
}

impl Default for Hearing {
    fn default() -> Self {
        let (latency, jitter) = (Duration::from_millis(20), Duration::from_millis(20));
        Self { speed: 8.0, latency, jitter }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_says_what_is_the_default() {
        let read = Scenario::read(DEFAULT_SCENARIO).unwrap();
        let expected = Scenario { about: read.about.clone(), faults: read.faults.clone(), ..Scenario::default() };
        assert_eq!(read, expected);
        assert!(read.wants_redis() && read.faults.len() > 12);
        let planned = Scenario::read(include_str!("planned.yaml")).unwrap();
        assert!(planned.faults.keys().all(|fault| fault.is_planned()));
        let patience = Scenario::read(include_str!("patience.yaml")).unwrap();
        assert!(!patience.wants_redis() && patience.faults.is_empty());
        let proxies = Scenario::read(include_str!("proxies.yaml")).unwrap();
        assert_eq!(proxies.lost_callers, Loss::Resume);
    }

    #[test]
    fn a_scenario_that_nobody_could_play_says_why() {
        let cases = [
            ("speech: { least: 2m }", "speech.least of the scenario is 2m, expected at most speech.most"),
            ("speech: { pace: 0 }", "speech.pace of the scenario is 0, expected 0.1 to 10"),
            ("processor: 2", "processor of the scenario is 2, expected 0.1 to 1"),
            ("faults: { kill_nodes: { weight: 1, lasts: 1s } }", "kill_nodes"),
            ("lasts: 25h", "lasts of the scenario is 1day 1h, expected at most 24h"),
        ];
        for (yaml, reason) in cases {
            let error = Scenario::read(yaml).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
