//! How often a zone takes nodes away.
//!
//! Preemptions are counted as a Poisson process with a Gamma posterior: the prior is worth one event in four node-hours,
//! and what was seen loses half of its weight every 24 hours, because markets change.

use serde::{Deserialize, Serialize};

/// Events that the prior is worth.
const PRIOR_EVENTS: f64 = 1.0;
/// Node-hours that the prior is worth.
const PRIOR_HOURS: f64 = 4.0;
/// Hours in which half of what was seen is forgotten.
const HALF_LIFE_HOURS: f64 = 24.0;

/// What is known of one zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hazard {
    events: f64,
    hours: f64,
}

impl Hazard {
    /// Lets `hours` pass with `nodes` spot nodes running.
    pub fn pass(&mut self, hours: f64, nodes: u32) {
        let kept = (-hours / HALF_LIFE_HOURS).exp2();
        self.events *= kept;
        self.hours = self.hours * kept + hours * f64::from(nodes);
    }

    /// Counts nodes that were taken away.
    pub fn preempted(&mut self, nodes: u32) {
        self.events += f64::from(nodes);
    }

    /// Returns the expected preemptions per node-hour.
    #[must_use]
    pub fn per_hour(&self) -> f64 {
        (PRIOR_EVENTS + self.events) / (PRIOR_HOURS + self.hours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_nobody_knows_loses_a_node_every_four_hours() {
        assert_eq!(Hazard::default().per_hour(), 0.25);
    }

    #[test]
    fn quiet_hours_lower_the_rate_and_losses_raise_it() {
        let mut hazard = Hazard::default();
        hazard.pass(1.0, 12);
        let quiet = hazard.per_hour();
        hazard.preempted(1);
        assert!(quiet < 0.07 && hazard.per_hour() > quiet && hazard.per_hour() < 0.25);
    }

    #[test]
    fn what_was_seen_a_week_ago_hardly_counts() {
        let mut hazard = Hazard::default();
        hazard.preempted(100);
        hazard.pass(7.0 * 24.0, 0);
        assert!((hazard.per_hour() - 0.25 * (1.0 + 100.0 / 128.0)).abs() < 1e-9);
    }
}
