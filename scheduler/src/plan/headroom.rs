//! The share of slots that streams may fill, learned from how starts went.
//!
//! Additive both ways: a late start, or too many sessions above soft slots within ten minutes, lowers it by 2 points, at
//! most once in ten minutes; hours without either raise it by one. It counts only when slots were short: with three
//! square roots of the demand to spare, as many as random arrivals use, more slots would not have helped.

use serde::{Deserialize, Serialize};

use super::config::PlannerConfig;
use super::situation::Demand;
use crate::units::Ratio;

/// Seconds over which shares are taken, and between two cuts.
const WINDOW: f64 = 600.0;

/// What has been learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Headroom {
    target: f64,
    /// Sessions that began, decaying over the window.
    began: f64,
    /// Sessions above soft slots, decaying over the window.
    over: f64,
    /// Seconds since anything went wrong, or the target was raised.
    clean: f64,
    /// Seconds since the last cut.
    since_cut: f64,
}

impl Headroom {
    pub(super) fn new(config: &PlannerConfig) -> Self {
        Self { target: f64::from(config.target.get()), began: 0.0, over: 0.0, clean: 0.0, since_cut: WINDOW }
    }

    /// Returns the share of slots that streams may fill.
    pub(super) fn target(&self) -> f64 {
        self.target
    }

    /// Lets time pass in which nothing is learned.
    pub(super) fn pass(&mut self, seconds: f64) {
        let kept = (-seconds / WINDOW).exp();
        self.began *= kept;
        self.over *= kept;
        self.since_cut += seconds;
    }

    /// Takes note of `demand` on `ready` soft slots, `seconds` after the last time.
    pub(super) fn learn(&mut self, demand: &Demand, ready: f64, seconds: f64, config: &PlannerConfig) {
        self.pass(seconds);
        self.began += f64::from(demand.arrivals);
        self.over += f64::from(demand.over);
        self.clean += seconds;
        let too_many = self.over > f64::from(config.over_share.get()) * self.began && demand.over > 0;
        let streams = demand.streams();
        let is_tight = ready - streams < SPREAD * streams.sqrt();
        if is_tight && (demand.slow_starts > 0 || too_many) {
            self.clean = 0.0;
            if self.since_cut >= WINDOW {
                self.since_cut = 0.0;
                self.target -= CUT;
            }
        } else if self.clean >= config.target_raise_after.as_secs_f64() {
            self.clean = 0.0;
            self.target += RAISE;
        }
        self.target = self.target.clamp(share(config.target_least), share(config.target_most));
    }
}

/// Square roots of the demand that random arrivals use: Erlang's formula asks for as many at a blocking of 0.1 %.
const SPREAD: f64 = 3.0;
/// What trouble takes off the target.
const CUT: f64 = 0.02;
/// What quiet hours add to it.
const RAISE: f64 = 0.01;

fn share(ratio: Ratio) -> f64 {
    f64::from(ratio.get())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::DemandGroup;

    fn learned(config: &PlannerConfig, ticks: usize, demand: &Demand) -> f64 {
        let mut headroom = Headroom::new(config);
        (0..ticks).for_each(|_| headroom.learn(demand, 100.0, 10.0, config));
        (headroom.target() * 1e4).round() / 1e4
    }

    fn starts(arrivals: u32, slow_starts: u32, over: u32) -> Demand {
        let group = DemandGroup { live: 95, ..DemandGroup::default() };
        Demand { groups: vec![group], arrivals, slow_starts, over }
    }

    #[test]
    fn trouble_cuts_once_in_ten_minutes() {
        let config = PlannerConfig::default();
        let start = f64::from(config.target.get());
        let cut = |points: f64| ((start - points) * 1e4).round() / 1e4;
        assert_eq!(learned(&config, 1, &starts(10, 1, 0)), cut(0.02));
        assert_eq!(learned(&config, 60, &starts(10, 1, 0)), cut(0.02));
        assert_eq!(learned(&config, 61, &starts(10, 1, 0)), cut(0.04));
    }

    #[test]
    fn a_few_sessions_above_soft_slots_are_no_trouble() {
        let config = PlannerConfig { over_share: Ratio::clamped(0.005), ..PlannerConfig::default() };
        let start = (f64::from(config.target.get()) * 1e4).round() / 1e4;
        assert_eq!(learned(&config, 1, &starts(1000, 0, 4)), start);
        assert!(learned(&config, 1, &starts(1000, 0, 6)) < start);
    }

    #[test]
    fn trouble_with_room_to_spare_says_nothing_of_the_headroom() {
        let config = PlannerConfig::default();
        let mut headroom = Headroom::new(&config);
        headroom.learn(&starts(10, 1, 5), 200.0, 10.0, &config);
        assert_eq!(headroom.target(), f64::from(config.target.get()));
    }

    #[test]
    fn quiet_hours_raise_it_to_its_bound_and_trouble_cuts_it_to_its_other() {
        let config = PlannerConfig::default();
        let bound = |ratio: Ratio| (f64::from(ratio.get()) * 1e4).round() / 1e4;
        assert_eq!(learned(&config, 360 * 24 * 30, &starts(10, 0, 0)), bound(config.target_most));
        assert_eq!(learned(&config, 360 * 24, &starts(10, 1, 0)), bound(config.target_least));
    }
}
