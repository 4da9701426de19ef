//! A comparison in words and columns, for people.

use simulator::ideal::Ideal;
use simulator::outcome::Outcome;
use simulator::replay::{Sum, WhatIf};
use simulator::run::Run;
use simulator::statistics::Interval;

use super::compare::Compared;
use crate::table::{Column, render};
use crate::terminal::Paint;

/// What the figures do not show; printed with every table.
const LIMITS: &str = "\
What these figures leave out: slots per node are declared, not measured; latency is a line fitted to one vendor's table; spot
capacity is V100 probes of 2023 or dice, prices are public lists; LLM arrivals are not speech; files are work that can be cut
anywhere and a broken chunk loses half of itself; the planner sees the fleet as it is, routers only by reports; caller traffic
does not change when it is refused; one home region.";

const COLUMNS: [Column; 16] = [
    Column::Left("POLICY"),
    Column::Right("COST $"),
    Column::Right("x LB1s"),
    Column::Right("VS FIRST"),
    Column::Right("SLO %"),
    Column::Right("REJECTED"),
    Column::Right("LATE"),
    Column::Right("DROPPED"),
    Column::Right("SLOW"),
    Column::Right("OVER %"),
    Column::Right("MOVED %"),
    Column::Right("FILES LATE"),
    Column::Right("TENANT"),
    Column::Right("HOUR"),
    Column::Right("USE %"),
    Column::Right("NACKS"),
];

/// Words a comparison.
pub(super) fn of(compared: &Compared) -> String {
    let paint = Paint::stdout();
    let mut text = heading(compared);
    let first = compared.rows.first();
    let rows = compared.rows.iter().map(|row| cells(row, first.map_or(&[], Vec::as_slice)));
    text += &render(&COLUMNS, rows, paint);
    text +=
        &format!("\nDollars beyond LB1s, by what they were paid for, in percent of it:\n{}", losses(compared, paint));
    if compared.runs().any(|run| run.outcome.moves > 0) {
        text += &format!("\nStreams that had to leave their node and found another slot:\n{}", moves(compared, paint));
    }
    if let Some(lost) = compared.case.theory() {
        let found = mean(compared.rows.first().map_or(&[], Vec::as_slice), |outcome| outcome.rejected);
        let fewest = |outcome: &Outcome| outcome.fewest_rejected.unwrap_or_default();
        let fewest = mean(compared.rows.first().map_or(&[], Vec::as_slice), fewest);
        text += &format!(
            "\nErlang's formula: {} lost; here {}%; who knows the future loses {}%\n",
            percent(lost, 4),
            interval(found, 100.0, 4),
            interval(fewest, 100.0, 4)
        );
    }
    text + "\n" + LIMITS + "\n"
}

/// Words what a contender costs in worlds that each lack one imperfection.
pub(super) fn of_ideals(compared: &Compared, ideals: &[(Ideal, Vec<Outcome>)]) -> String {
    let columns = [
        Column::Left("IN A WORLD WITH"),
        Column::Right("x LB1s"),
        Column::Right("LESS BY"),
        Column::Right("SLO %"),
        Column::Right("OVER %"),
    ];
    let real: Vec<&Outcome> = compared.rows.first().into_iter().flatten().map(|run| &run.outcome).collect();
    let of = |outcomes: &[&Outcome], of: fn(&Outcome) -> f64| outcomes.iter().map(|one| of(one)).collect::<Vec<_>>();
    let ratios = of(&real, |outcome| outcome.cost_ratio);
    let row = |label: &str, outcomes: Vec<&Outcome>| {
        let less = Interval::of_differences(&ratios, &of(&outcomes, |outcome| outcome.cost_ratio));
        vec![
            label.to_owned(),
            interval(Interval::of(&of(&outcomes, |outcome| outcome.cost_ratio)), 1.0, 3),
            if less.mean == 0.0 { "-".to_owned() } else { interval(less, 1.0, 3) },
            interval(Interval::of(&of(&outcomes, |outcome| outcome.slo_attainment)), 100.0, 3),
            interval(Interval::of(&of(&outcomes, |outcome| outcome.over)), 100.0, 2),
        ]
    };
    let rows = ideals.iter().map(|(ideal, outcomes)| row(ideal.label(), outcomes.iter().collect()));
    let rows = std::iter::once(row("everything as it is", real.clone())).chain(rows);
    let name = real.first().map_or("", |outcome| outcome.policy.as_str());
    let table = render(&columns, rows, Paint::stdout());
    format!("\nWhat imperfections cost {name}, each ratio over the bound of its own world:\n{table}\n")
}

/// Words what another policy would have changed.
pub(super) fn of_replay(name: &str, what_if: &WhatIf) -> String {
    let WhatIf { decisions, skipped, changed, before, after } = what_if;
    let share = |count: u64| percent(count as f64 / (*decisions).max(1) as f64, 2);
    let columns =
        [Column::Left("BY"), Column::Right("COST $"), Column::Right("REFUSED"), Column::Right("ABOVE SOFT SLOTS")];
    let row =
        |by: &str, sum: &Sum| vec![by.to_owned(), format!("{:.4}", sum.cost_usd), share(sum.refused), share(sum.over)];
    let table = render(&columns, [row("the record", before), row(name, after)], Paint::stdout());
    let missing =
        if *skipped > 0 { format!("; {skipped} skipped, their fleets are not in the log") } else { String::new() };
    format!("{decisions} decisions, {changed} would have been others{missing}\n\n{table}")
}

fn heading(compared: &Compared) -> String {
    let Some(run) = compared.runs().next() else { return String::new() };
    let seeds = compared.rows.first().map_or(0, Vec::len);
    let bound = mean(&compared.rows[0], |outcome| outcome.lb1s_usd);
    format!(
        "{}: {} sessions, {seeds} seed{}, LB1s ${}, prices of {}, fleet {}\n\n",
        compared.case.name,
        run.outcome.sessions,
        if seeds == 1 { "" } else { "s" },
        interval(bound, 1.0, 2),
        run.outcome.prices_of,
        compared.case.fleet.name,
    )
}

fn cells(row: &[Run], first: &[Run]) -> Vec<String> {
    let of = |of: fn(&Outcome) -> f64| mean(row, of);
    let share = |of: fn(&Outcome) -> f64, digits| interval(mean(row, of), 100.0, digits);
    let name = row.first().map_or("", |run| run.outcome.policy.as_str());
    vec![
        name.to_owned(),
        interval(of(|outcome| outcome.cost_usd), 1.0, 1),
        interval(of(|outcome| outcome.cost_ratio), 1.0, 3),
        against(row, first),
        share(|outcome| outcome.slo_attainment, 3),
        share(|outcome| outcome.rejected, 3),
        share(|outcome| outcome.late, 3),
        share(|outcome| outcome.dropped, 4),
        share(|outcome| outcome.slow, 3),
        share(|outcome| outcome.over, 2),
        share(|outcome| outcome.moved, 2),
        share(|outcome| outcome.files_missed, 2),
        share(|outcome| outcome.worst_tenant, 2),
        share(|outcome| outcome.worst_hour, 2),
        share(|outcome| outcome.utilisation, 1),
        format!("{:.4}", of(|outcome| outcome.nacks_per_placement).mean),
    ]
}

/// The paired difference in cost, in percent of the first contender's.
fn against(row: &[Run], first: &[Run]) -> String {
    let costs = |runs: &[Run]| runs.iter().map(|run| run.outcome.cost_usd).collect::<Vec<_>>();
    let base = mean(first, |outcome| outcome.cost_usd).mean.max(f64::MIN_POSITIVE);
    let difference = Interval::of_differences(&costs(row), &costs(first));
    if difference.mean == 0.0 {
        return "-".to_owned();
    }
    format!("{}{}%", if difference.mean > 0.0 { "+" } else { "" }, interval(difference, 100.0 / base, 1))
}

fn losses(compared: &Compared, paint: Paint) -> String {
    let columns = [
        Column::Left("POLICY"),
        Column::Right("BOOTING"),
        Column::Right("WHOLE NODES"),
        Column::Right("IDLE"),
        Column::Right("DEARER SLOTS"),
        Column::Right("M DECISIONS/S"),
        Column::Right("FIRST RESULT P50/P95/P99 MS"),
        Column::Right("CONFIGURATION"),
    ];
    let rows = compared.rows.iter().filter_map(|row| {
        let first = &row.first()?.outcome;
        let part = |of: fn(&Outcome) -> f64| {
            let shares: Vec<f64> = row.iter().map(|run| of(&run.outcome) / run.outcome.lb1s_usd.max(1e-9)).collect();
            percent(Interval::of(&shares).mean, 1)
        };
        let [p50, p95, p99] = first.first_result_ms;
        Some(vec![
            first.policy.clone(),
            part(|outcome| outcome.loss.boot_usd),
            part(|outcome| outcome.loss.integrality_usd),
            part(|outcome| outcome.loss.headroom_usd),
            part(|outcome| outcome.loss.price_usd),
            format!("{:.2}", mean(row, |outcome| outcome.decisions_per_s).mean / 1e6),
            format!("{p50}/{p95}/{p99}"),
            first.config_hash.clone(),
        ])
    });
    render(&columns, rows, paint)
}

fn moves(compared: &Compared, paint: Paint) -> String {
    let columns = [
        Column::Left("POLICY"),
        Column::Right("MOVES"),
        Column::Right("GAP P99 MS"),
        Column::Right("ASKED P99"),
        Column::Right("SAID FULL, PER MOVE"),
        Column::Right("DROPPED"),
    ];
    let rows = compared.rows.iter().filter_map(|row| {
        let of = |of: fn(&Outcome) -> f64, digits| interval(mean(row, of), 1.0, digits);
        Some(vec![
            row.first()?.outcome.policy.clone(),
            of(|outcome| outcome.moves as f64, 0),
            of(|outcome| outcome.move_gap_p99_ms as f64, 0),
            of(|outcome| outcome.move_tries_p99 as f64, 1),
            of(|outcome| outcome.move_nacks, 4),
            interval(mean(row, |outcome| outcome.dropped), 1e6, 1) + " in a million",
        ])
    });
    render(&columns, rows, paint)
}

fn mean(runs: &[Run], of: fn(&Outcome) -> f64) -> Interval {
    Interval::of(&runs.iter().map(|run| of(&run.outcome)).collect::<Vec<_>>())
}

fn interval(interval: Interval, factor: f64, digits: usize) -> String {
    let mean = format!("{:.digits$}", interval.mean * factor);
    match interval.margin {
        Some(margin) => format!("{mean} ±{:.digits$}", (margin * factor).abs()),
        None => mean,
    }
}

fn percent(share: f64, digits: usize) -> String {
    format!("{:.digits$}%", share * 100.0)
}
