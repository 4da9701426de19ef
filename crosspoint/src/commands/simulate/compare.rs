//! Every contender on every seed of one case.

use std::collections::BTreeMap;

use indicatif::{ProgressBar, ProgressStyle};
use simulator::case::Case;
use simulator::outcome::Outcome;
use simulator::plot;
use simulator::policy::{Contender, grid};
use simulator::run::{Bounded, Run, on_all_processors};

use super::files::Files;
use crate::terminal::is_watched;

/// What a setting of a knob must keep to be chosen for its price.
const KEEPS: f64 = 0.9995;

/// Whether baselines' knobs are tried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tuning {
    /// They stay where their publishers have them.
    Published,
    /// Every setting of the grid is tried.
    Grid,
}

/// What came of one case.
pub(super) struct Compared {
    /// The case.
    pub(super) case: Case,
    /// Contenders in the order they were named, each with its runs in the order of the seeds.
    pub(super) rows: Vec<Vec<Run>>,
}

impl Compared {
    /// Returns every run.
    pub(super) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.rows.iter().flatten()
    }
}

/// Runs everybody on every seed.
///
/// # Errors
/// Fails when a contender's file is not understood, or a run costs less than it can.
pub(super) fn compare(
    case: &Case,
    seeds: u64,
    names: &[String],
    files: &Files,
    tuning: Tuning,
) -> anyhow::Result<Compared> {
    let knobs = |name: &String| -> Vec<Option<f32>> {
        match tuning {
            Tuning::Grid if !grid(name).is_empty() => grid(name).iter().copied().map(Some).collect(),
            Tuning::Grid | Tuning::Published => vec![None],
        }
    };
    let rows: Vec<(&String, Option<f32>)> =
        names.iter().flat_map(|name| knobs(name).into_iter().map(move |knob| (name, knob))).collect();
    let seeds_count = usize::try_from(seeds)?;
    let bar = bar(&case.name, (rows.len() + 1) * seeds_count);
    let bounded = on_all_processors(seeds_count, |seed| {
        let bounded = Bounded::draw(case, seed as u64 + 1);
        bar.inc(1);
        Ok::<_, anyhow::Error>(bounded)
    })?;
    let contenders = |row: &(&String, Option<f32>)| {
        bounded.iter().map(|bounded| contender(files, row.0, row.1, bounded)).collect::<Result<Vec<_>, _>>()
    };
    let contenders = rows.iter().map(contenders).collect::<Result<Vec<_>, _>>()?;
    let runs = on_all_processors(rows.len() * seeds_count, |job| {
        let (row, seed) = (job / seeds_count, job % seeds_count);
        let run = bounded[seed].run(case, &contenders[row][seed]);
        bar.inc(1);
        run
    })?;
    bar.finish_and_clear();
    Ok(Compared { case: case.clone(), rows: best(&rows, runs, seeds_count) })
}

fn contender(files: &Files, name: &str, knob: Option<f32>, bounded: &Bounded) -> anyhow::Result<Contender> {
    let mut contender = files.contender(name, knob, &bounded.trial)?;
    if let Some(knob) = knob {
        contender.name = format!("{name}@{knob}");
    }
    Ok(contender)
}

/// Keeps of each contender the setting that is cheapest among those that keep the promise, or else the one that comes nearest.
fn best(rows: &[(&String, Option<f32>)], runs: Vec<Run>, seeds: usize) -> Vec<Vec<Run>> {
    let mut runs = runs.into_iter();
    let mut best: BTreeMap<usize, Vec<Run>> = BTreeMap::new();
    let mut order: Vec<&String> = Vec::new();
    for (name, _) in rows {
        let tried: Vec<Run> = runs.by_ref().take(seeds).collect();
        let place = order.iter().position(|known| known == name).unwrap_or_else(|| {
            order.push(name);
            order.len() - 1
        });
        match best.get(&place) {
            Some(known) if !is_better(&tried, known) => {}
            Some(_) | None => drop(best.insert(place, tried)),
        }
    }
    best.into_values().collect()
}

fn is_better(tried: &[Run], known: &[Run]) -> bool {
    let mean = |runs: &[Run], of: fn(&Outcome) -> f64| {
        runs.iter().map(|run| of(&run.outcome)).sum::<f64>() / runs.len().max(1) as f64
    };
    let kept = |runs: &[Run]| mean(runs, |outcome| outcome.slo_attainment);
    let cost = |runs: &[Run]| mean(runs, |outcome| outcome.cost_usd);
    match (kept(tried) >= KEEPS, kept(known) >= KEEPS) {
        (true, true) => cost(tried) < cost(known),
        (false, false) => kept(tried) > kept(known),
        (tried, _) => tried,
    }
}

fn bar(name: &str, jobs: usize) -> ProgressBar {
    if !is_watched() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(jobs as u64).with_message(name.to_owned());
    let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} runs, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Draws a comparison: file names and SVG.
pub(super) fn drawings(compared: &Compared) -> Vec<(String, String)> {
    let outcomes: Vec<&Outcome> = compared.runs().map(|run| &run.outcome).collect();
    let mut drawings =
        vec![(format!("{}-frontier.svg", compared.case.name), plot::frontier(&compared.case.name, &outcomes))];
    for run in compared.rows.iter().filter_map(|row| row.first()) {
        let name = format!("{}-{}.svg", compared.case.name, run.outcome.policy.replace(['/', '@'], "-"));
        drawings.push((name, plot::timeline(&compared.case, run)));
    }
    drawings
}
