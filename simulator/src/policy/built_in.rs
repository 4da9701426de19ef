//! Contenders that can be named: ours, and those that it is measured by, in two tables. Table A takes them as published: streams
//! die with their node, files have slots of their own, soft slots are the limit. Table B gives all of them our mechanisms, so
//! that what is left is the worth of the policy itself.

use scheduler::plan::{Baseline, PlannerConfig};
use scheduler::{Limits, Method, Ratio, Scoring, Steer};

use super::{AboveSoft, Contender, FileSlots, Mechanisms, Moves, Scaling};
use crate::case::Trial;
use crate::world::BIN;

/// Which mechanisms a baseline may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// None of ours: as published.
    A,
    /// All of ours but the open set.
    B,
}

/// Every name, ours first. In table A a name ends in `/a`.
pub const NAMES: [&str; 12] = [
    "crosspoint",
    "round_robin",
    "random",
    "least_loaded",
    "two_choices",
    "peak_ewma",
    "weighted",
    "cheapest",
    "target_tracking",
    "spot_hedge",
    "hpa",
    "static_peak",
];

/// What a knob is set to where nobody tuned it, as its publishers have it: 70 % of slots, 20 % more spot.
const PUBLISHED_TARGET: f32 = 0.7;
const PUBLISHED_EXTRA: f32 = 0.2;

/// Makes a contender by its name, with its knob at a place of its [`grid`], or where its publishers have it.
#[must_use]
pub fn built_in(name: &str, knob: Option<f32>, trial: &Trial) -> Option<Contender> {
    let (plain, table) = name.strip_suffix("/a").map_or((name, Table::B), |plain| (plain, Table::A));
    let mechanisms = match table {
        Table::A => Mechanisms { moves: Moves::Retried, above_soft: AboveSoft::Unused, files: FileSlots::Own },
        Table::B => Mechanisms::default(),
    };
    let (contender, scaling) = match baseline(plain, knob, trial) {
        Some(baseline) => (placing(Method::TwoChoices.label())?, Scaling::Baseline(baseline)),
        None => (placing(plain)?, Scaling::Planner(planner(knob))),
    };
    Some(Contender { name: name.to_owned(), scaling, mechanisms, ..contender })
}

/// Makes a contender of a way of placing, by its name, under our scaling: what single decisions can be made again by.
#[must_use]
pub fn placing(name: &str) -> Option<Contender> {
    let ours = (name == NAMES[0]).then(|| (Method::Score, Limits::default()));
    let theirs = || Some((Method::ALL.into_iter().find(|method| method.label() == name)?, all_open()));
    let (policy, placement) = ours.or_else(theirs)?;
    let (scoring, scaling) = (Scoring::default(), Scaling::Planner(PlannerConfig::default()));
    Some(Contender { name: name.to_owned(), policy, scoring, placement, scaling, mechanisms: Mechanisms::default() })
}

/// Lists what the one knob of a contender may be set to when it is tuned; ours tunes itself.
#[must_use]
pub fn grid(name: &str) -> &'static [f32] {
    match name.trim_end_matches("/a") {
        "crosspoint" => &[],
        "spot_hedge" => &[0.0, 0.1, 0.2, 0.3, 0.4],
        _ => &[0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9],
    }
}

fn all_open() -> Limits {
    let mut limits = Limits::default();
    limits.open.steer = Steer::All;
    limits
}

fn planner(knob: Option<f32>) -> PlannerConfig {
    let Some(target) = knob.map(Ratio::clamped) else { return PlannerConfig::default() };
    PlannerConfig { target, ..PlannerConfig::default() }
}

fn baseline(name: &str, knob: Option<f32>, trial: &Trial) -> Option<Baseline> {
    let target = Ratio::clamped(knob.unwrap_or(PUBLISHED_TARGET));
    match name {
        "target_tracking" => Some(Baseline::TargetTracking { target }),
        "hpa" => Some(Baseline::Hpa { target }),
        "spot_hedge" => Some(Baseline::SpotHedge { extra: Ratio::clamped(knob.unwrap_or(PUBLISHED_EXTRA)) }),
        "static_peak" => Some(Baseline::StaticPeak { slots: peak(trial) / f64::from(target.get()).max(0.01) }),
        _ => None,
    }
}

/// The most streams of any minute: who buys for the peak is told it beforehand.
fn peak(trial: &Trial) -> f64 {
    let minutes = usize::try_from(trial.workload.horizon.since(scheduler::Timestamp::ZERO).as_secs() / BIN.as_secs());
    trial.workload.mean_streams(BIN, minutes.unwrap_or(0)).into_iter().fold(0.0, f64::max)
}
