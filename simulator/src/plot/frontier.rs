//! Cost against service: a point per contender, further left is cheaper, higher is better.

use std::collections::BTreeMap;

use super::svg::{Anchor, At, FAINT, INK, Page, Panel, round_step};
use crate::outcome::Outcome;
use crate::statistics::Interval;

/// Ours.
const OURS: &str = "#0969da";
/// Contenders with our mechanisms.
const EQUAL: &str = "#8250df";
/// Contenders as published.
const PUBLISHED: &str = "#bf8700";
/// Service is drawn in nines; beyond five there is no difference to be seen.
const MOST_NINES: f64 = 5.0;
const PROMISE: f64 = 0.9995;

/// A contender's means.
struct Point<'a> {
    name: &'a str,
    ratio: Interval,
    attainment: f64,
}

/// Draws the contenders of one scenario.
#[must_use]
pub fn frontier(scenario: &str, outcomes: &[&Outcome]) -> String {
    let points = points(outcomes);
    let dearest = points.iter().map(|point| point.ratio.mean).fold(1.5, f64::max) * 1.05;
    let mut page = Page::new(960.0, 600.0);
    let panel =
        Panel { from: At { x: 90.0, y: 70.0 }, to: At { x: 760.0, y: 530.0 }, x: (1.0, dearest), y: (1.0, MOST_NINES) };
    page.text(At { x: 90.0, y: 34.0 }, 20.0, Anchor::Start, &format!("{scenario}: what service costs"));
    let note = "cost over LB1s, the least that serving everything costs who knows the future";
    page.text(At { x: 90.0, y: 54.0 }, 13.0, Anchor::Start, note);
    for (nines, label) in [(1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %"), (4.0, "99.99 %"), (5.0, "99.999 %")] {
        panel.mark_y(&mut page, nines, label);
    }
    let step = round_step(dearest - 1.0, 6.0);
    (0..=8).map(|tick| 1.0 + f64::from(tick) * step).filter(|x| *x <= dearest).for_each(|x| {
        panel.mark_x(&mut page, x, &format!("{x:.2}"));
    });
    let promise = panel.place(1.0, nines(PROMISE));
    page.dashed(promise, At { x: 760.0, ..promise }, INK);
    page.text(At { x: 756.0, y: promise.y - 5.0 }, 12.0, Anchor::End, "99.95 % promised");
    let mut labels: Vec<f64> = Vec::new();
    let mut order: Vec<&Point<'_>> = points.iter().collect();
    order.sort_by(|a, b| b.attainment.total_cmp(&a.attainment).then(a.ratio.mean.total_cmp(&b.ratio.mean)));
    for point in order {
        draw(&mut page, &panel, point, &mut labels);
    }
    legend(&mut page);
    page.finish()
}

/// Draws a point, and its name in the margin, where names do not hide points.
fn draw(page: &mut Page, panel: &Panel, point: &Point<'_>, labels: &mut Vec<f64>) {
    let at = panel.place(point.ratio.mean, nines(point.attainment));
    let colour = colour(point.name);
    if let Some(margin) = point.ratio.margin {
        let [low, high] =
            [-margin, margin].map(|margin| panel.place(point.ratio.mean + margin, nines(point.attainment)));
        page.line(low, high, colour);
    }
    let y = labels.last().map_or(at.y, |last| at.y.max(last + 17.0));
    labels.push(y);
    page.line(At { x: at.x + 6.0, y: at.y }, At { x: 772.0, y }, FAINT);
    page.circle(at, 6.0, colour);
    page.text(At { x: 776.0, y: y + 4.0 }, 12.0, Anchor::Start, &format!("{} {:.2}", point.name, point.ratio.mean));
}

fn legend(page: &mut Page) {
    let entries =
        [(OURS, "crosspoint"), (EQUAL, "others with our mechanisms"), (PUBLISHED, "others as published (/a)")];
    for ((colour, words), x) in entries.into_iter().zip([96.0, 210.0, 430.0]) {
        page.circle(At { x, y: 574.0 }, 6.0, colour);
        page.text(At { x: x + 12.0, y: 578.0 }, 12.0, Anchor::Start, words);
    }
}

fn colour(name: &str) -> &'static str {
    match name {
        name if name.starts_with("crosspoint") => OURS,
        name if name.contains("/a") => PUBLISHED,
        _ => EQUAL,
    }
}

fn nines(attainment: f64) -> f64 {
    -(1.0 - attainment).max(10.0_f64.powf(-MOST_NINES)).log10()
}

fn points<'a>(outcomes: &[&'a Outcome]) -> Vec<Point<'a>> {
    let mut of: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        of.entry(&outcome.policy).or_default().push(outcome);
    }
    let point = |(name, runs): (&'a str, Vec<&Outcome>)| {
        let ratio = Interval::of(&runs.iter().map(|run| run.cost_ratio).collect::<Vec<_>>());
        let attainment = runs.iter().map(|run| run.slo_attainment).sum::<f64>() / runs.len().max(1) as f64;
        Point { name, ratio, attainment }
    };
    of.into_iter().map(point).collect()
}
