//! A run over time: whose the slots were, which pools they came from, and what went wrong.

use super::svg::{Anchor, At, Page, Panel, round_step};
use crate::case::Case;
use crate::run::Run;
use crate::world::{BIN, Bin};

/// Minutes that make one point.
const STEP: usize = 10;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 1040.0;
const HOUR: f64 = 3600.0;

/// What slots are used for, from the axis up.
const USES: [(&str, &str); 4] =
    [("streams", "#0969da"), ("files", "#54aeff"), ("idle", "#d8dee4"), ("booting", "#fb8f44")];
/// Pools in the order of the fleet.
const POOLS: [&str; 14] = [
    "#1a7f37", "#6639ba", "#9a6700", "#d4a72c", "#eac54f", "#82071e", "#cf222e", "#ff8182", "#1b7c83", "#3fb8af",
    "#a2e0d8", "#953800", "#fb8f44", "#57606a",
];
const TROUBLE: &str = "#cf222e";

/// Draws a run.
#[must_use]
pub fn timeline(case: &Case, run: &Run) -> String {
    let outcome = &run.outcome;
    let mut page = Page::new(1240.0, 860.0);
    let title = format!(
        "{} with {}: {:.2} of the least cost, {:.3} % as promised",
        outcome.scenario,
        outcome.policy,
        outcome.cost_ratio,
        outcome.slo_attainment * 100.0
    );
    page.text(At { x: LEFT, y: 34.0 }, 20.0, Anchor::Start, &title);
    let points: Vec<Bin> = run.record.bins.chunks(STEP).map(mean).collect();
    let uses = |bin: &Bin| {
        let idle = (bin.paid - bin.booting - bin.streams - bin.files).max(0.0);
        vec![bin.streams, bin.files, idle, bin.booting]
    };
    let slots: Vec<Vec<f64>> = points.iter().map(uses).collect();
    let nodes: Vec<Vec<f64>> = points.iter().map(|bin| bin.nodes.clone()).collect();
    let hours = run.record.bins.len() as f64 * BIN.as_secs_f64() / HOUR;
    stack(&mut page, Stack { top: 80.0, bottom: 390.0, title: "soft slots paid for", hours, legend: &USES }, &slots);
    let pools: Vec<(&str, &str)> =
        case.fleet.pools.iter().zip(POOLS.iter().cycle()).map(|(pool, colour)| (pool.name.as_str(), *colour)).collect();
    stack(&mut page, Stack { top: 460.0, bottom: 660.0, title: "nodes", hours, legend: &pools }, &nodes);
    trouble(&mut page, run, hours);
    page.finish()
}

/// A panel of stacked areas.
#[derive(Clone, Copy)]
struct Stack<'a> {
    top: f64,
    bottom: f64,
    title: &'a str,
    hours: f64,
    legend: &'a [(&'a str, &'a str)],
}

fn stack(page: &mut Page, stack: Stack<'_>, points: &[Vec<f64>]) {
    let most = points.iter().map(|point| point.iter().sum::<f64>()).fold(1.0, f64::max) * 1.05;
    let panel = panel(stack.top, stack.bottom, stack.hours, most);
    page.text(At { x: LEFT, y: stack.top - 12.0 }, 14.0, Anchor::Start, stack.title);
    frame(page, &panel, most);
    let count = points.len().max(2) as f64 - 1.0;
    for (layer, (_, colour)) in stack.legend.iter().enumerate() {
        let height = |point: &Vec<f64>, upto: usize| point.iter().take(upto).sum::<f64>();
        let edge = |upto: usize| {
            let place = move |(at, point): (usize, &Vec<f64>)| {
                panel.place(at as f64 / count * stack.hours, height(point, upto))
            };
            points.iter().enumerate().map(place).collect::<Vec<At>>()
        };
        let mut outline = edge(layer + 1);
        outline.extend(edge(layer).into_iter().rev());
        page.area(&outline, colour);
    }
    for (row, (name, colour)) in stack.legend.iter().enumerate() {
        let y = stack.top + 8.0 + row as f64 * 16.0;
        page.rectangle(At { x: RIGHT + 14.0, y: y - 9.0 }, At { x: RIGHT + 26.0, y: y + 3.0 }, colour);
        page.text(At { x: RIGHT + 32.0, y: y + 2.0 }, 12.0, Anchor::Start, name);
    }
}

fn trouble(page: &mut Page, run: &Run, hours: f64) {
    let failed: Vec<f64> = run.record.hours.iter().map(|hour| hour.failed as f64).collect();
    let most = failed.iter().copied().fold(5.0, f64::max) * 1.05;
    let panel = panel(730.0, 820.0, hours, most);
    page.text(
        At { x: LEFT, y: 718.0 },
        14.0,
        Anchor::Start,
        "sessions an hour that did not get what they were promised",
    );
    frame(page, &panel, most);
    for (hour, failed) in failed.iter().enumerate() {
        let (from, to) = (panel.place(hour as f64 + 0.1, *failed), panel.place(hour as f64 + 0.9, 0.0));
        page.rectangle(from, to, TROUBLE);
    }
}

fn panel(top: f64, bottom: f64, hours: f64, most: f64) -> Panel {
    Panel { from: At { x: LEFT, y: top }, to: At { x: RIGHT, y: bottom }, x: (0.0, hours), y: (0.0, most) }
}

fn frame(page: &mut Page, panel: &Panel, most: f64) {
    let step = round_step(most, 4.0);
    (0..=5).map(|tick| f64::from(tick) * step).filter(|y| *y <= most).for_each(|y| {
        panel.mark_y(page, y, &format!("{y:.0}"));
    });
    let step = if panel.x.1 > 48.0 { 24.0 } else { 2.0 };
    let label = |x: f64| if step > 2.0 { format!("day {:.0}", x / 24.0) } else { format!("{x:.0} h") };
    (0..=60).map(|tick| f64::from(tick) * step).filter(|x| *x <= panel.x.1).for_each(|x| {
        panel.mark_x(page, x, &label(x));
    });
}

/// Turns the sums of some minutes into means.
fn mean(bins: &[Bin]) -> Bin {
    let seconds = bins.len().max(1) as f64 * BIN.as_secs_f64();
    let of = |of: fn(&Bin) -> f64| bins.iter().map(of).sum::<f64>() / seconds;
    let pools = bins.first().map_or(0, |bin| bin.nodes.len());
    Bin {
        streams: of(|bin| bin.streams),
        files: of(|bin| bin.files),
        above: of(|bin| bin.above),
        paid: of(|bin| bin.paid),
        booting: of(|bin| bin.booting),
        dollars: of(|bin| bin.dollars),
        nodes: (0..pools).map(|pool| bins.iter().map(|bin| bin.nodes[pool]).sum::<f64>() / seconds).collect(),
    }
}
