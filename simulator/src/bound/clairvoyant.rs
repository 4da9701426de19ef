//! LB1s: the least that serving everything can cost someone who knows the future, machines may be cut in pieces, and streams
//! hop about for free.
//!
//! ```text
//! bins of width B; d: mean streams; n: nodes that run; u: rises of n; b: slots for files; q: files that wait; o: overflow
//! min  sum price (B n + boot u) + price s
//! s.t. sum cap n >= d + b - o;   o <= sum (hard - soft) n;   sum o <= 0.005 sum d
//!      u >= n - n before;   n <= mean spot capacity;   providers' sums <= most;   sums + s >= commitments
//!      q = q before + files - b;     q <= files whose deadline is still to come
//! ```
//! Means over bins of any real run satisfy every row, and a run's launches are at least the rises of those means, because the
//! ways up between a lowest and a highest bin lie in separate times. That holds for bins of any width, so wider bins give a
//! lower bound too, only a looser one. Where streams ran above soft slots for a larger share of time, that share is allowed.

use std::time::Duration;

use scheduler::Timestamp;

use super::lp::{Program, Sense, Solution, Upper};
use super::supply::{Supply, supplies};
use crate::case::{Case, Trial};
use crate::commitment::{Commitment, commitments};
use crate::world::{BIN, Record};

/// Share of stream time that every run may spend above soft slots.
pub const OVERFLOW_SHARE: f64 = 0.005;

/// The bound of one trial, and the dual values that bound every run of it.
pub struct Clairvoyant {
    program: Program,
    solution: Solution,
    supplies: Vec<Supply>,
    rows: Rows,
    /// Minutes per bin.
    minutes: usize,
    /// Mean streams per bin.
    demand: Vec<f64>,
    /// Slots that are paid for whatever happens, and dollars of the whole trial for them.
    fixed: Fixed,
    least_egress: f64,
    dollars: f64,
}

/// What is committed and therefore no question.
#[derive(Clone, Copy, Debug, Default)]
struct Fixed {
    slots: f64,
    above: f64,
    dollars: f64,
}

/// Rows whose limits a run changes.
#[derive(Clone, Debug, Default)]
struct Rows {
    capacity: Vec<usize>,
    overflow: Vec<usize>,
    budget: Option<usize>,
    files: Vec<usize>,
}

impl Clairvoyant {
    /// Solves the program of a trial, with bins of as many minutes.
    #[must_use]
    pub fn solve(case: &Case, trial: &Trial, minutes: usize) -> Self {
        let minutes = minutes.max(1);
        let width = BIN * u32::try_from(minutes).unwrap_or(1);
        let span = trial.workload.horizon.since(Timestamp::ZERO);
        let bins = usize::try_from(span.as_secs() / width.as_secs()).unwrap_or(0).max(1);
        let demand = trial.workload.mean_streams(width, bins);
        let supplies = supplies(case, trial, width, bins);
        let mut build = Build::new(case, supplies, width, demand);
        (0..bins).for_each(|bin| build.bin(bin));
        build.budget();
        build.files(trial, case.deadline());
        let Build { program, supplies, rows, demand, fixed, .. } = build;
        let solution = program.solve();
        let least_egress = least_egress(case);
        let hours = demand.iter().sum::<f64>() * width.as_secs_f64() / 3600.0;
        let limits = program.limits();
        let dollars = program.certify(&solution.duals, &limits) + fixed.dollars + least_egress * hours;
        Self { program, solution, supplies, rows, minutes, demand, fixed, least_egress, dollars }
    }

    /// Returns the bound: dollars that no run which serves everything can go below.
    #[must_use]
    pub fn dollars(&self) -> f64 {
        self.dollars
    }

    /// Returns LB1': dollars that no run can go below which had as many streams and files on its slots as this one, minute by
    /// minute, and as much time above soft slots. It holds for runs that turn streams away too.
    #[must_use]
    pub fn dollars_for(&self, record: &Record) -> f64 {
        let width = BIN.as_secs_f64() * self.minutes as f64;
        let per_bin = |of: &dyn Fn(&crate::world::Bin) -> f64| -> Vec<f64> {
            record.bins.chunks_exact(self.minutes).map(|bins| bins.iter().map(of).sum::<f64>() / width).collect()
        };
        let (streams, files) = (per_bin(&|bin| bin.streams), per_bin(&|bin| bin.files));
        let mut limits = self.program.limits();
        for ((row, streams), files) in self.rows.capacity.iter().zip(&streams).zip(&files) {
            limits[*row] = self.fixed.slots - streams - files;
        }
        let above = record.sum(|bin| bin.above) / width;
        if let Some(budget) = self.rows.budget {
            limits[budget] = above.max(OVERFLOW_SHARE * self.demand.iter().sum::<f64>());
        }
        // The run's files are in the capacity rows, so the rows that say when they could be done have no say.
        let mut duals = self.solution.duals.clone();
        self.rows.files.iter().for_each(|row| duals[*row] = 0.0);
        let hours = record.sum(|bin| bin.streams) / 3600.0;
        self.program.certify(&duals, &limits) + self.fixed.dollars + self.least_egress * hours
    }

    /// Returns what whole nodes would cost in place of the parts of nodes that the bound rents: an estimate of how much of a
    /// run's distance from the bound nobody could save.
    #[must_use]
    pub fn integrality_dollars(&self) -> f64 {
        let hours = BIN.as_secs_f64() * self.minutes as f64 / 3600.0;
        let extra = |supply: &Supply| {
            let part = |variable: &usize| {
                let nodes = self.solution.values.get(*variable).copied().unwrap_or_default().max(0.0);
                if nodes < 1e-4 { 0.0 } else { (nodes - 1e-4).ceil() - nodes }
            };
            supply.variables.iter().map(part).sum::<f64>() * supply.dollars_per_hour * hours
        };
        self.supplies.iter().map(extra).sum::<f64>().max(0.0)
    }
}

fn least_egress(case: &Case) -> f64 {
    let prices = case.fleet.pools.iter().map(|pool| pool.egress_gb.dollars() * crate::world::GIGABYTES_PER_HOUR);
    prices.min_by(f64::total_cmp).unwrap_or(0.0)
}

/// A program under construction.
struct Build<'a> {
    case: &'a Case,
    program: Program,
    supplies: Vec<Supply>,
    commitments: Vec<Commitment>,
    rows: Rows,
    width: f64,
    demand: Vec<f64>,
    fixed: Fixed,
    overflow: Vec<usize>,
    files: Vec<usize>,
}

impl<'a> Build<'a> {
    fn new(case: &'a Case, supplies: Vec<Supply>, width: Duration, demand: Vec<f64>) -> Self {
        let hours = width.as_secs_f64() * demand.len() as f64 / 3600.0;
        let fixed = case.fleet.pools.iter().fold(Fixed::default(), |sum, pool| {
            let nodes = f64::from(pool.nodes.min);
            Fixed {
                slots: sum.slots + nodes * f64::from(pool.slots.soft),
                above: sum.above + nodes * f64::from(pool.slots.hard.saturating_sub(pool.slots.soft)),
                dollars: sum.dollars + nodes * pool.dollars_per_hour() * hours,
            }
        });
        // Pools' own commitments are the fixed part.
        let commitments = commitments(case).into_iter().filter(|commitment| commitment.pools.len() > 1).collect();
        let (program, rows) = (Program::default(), Rows::default());
        let width = width.as_secs_f64();
        Self { case, program, supplies, commitments, rows, width, demand, fixed, overflow: vec![], files: vec![] }
    }

    fn bin(&mut self, bin: usize) {
        let hours = self.width / 3600.0;
        let (mut capacity, mut above) = (Vec::new(), Vec::new());
        for supply in &mut self.supplies {
            let nodes = self.program.variable(supply.dollars_per_hour * hours, supply.most[bin], Upper::Binds);
            if let Some(before) = supply.variables.last().copied() {
                let booted = self.program.variable(supply.boot_dollars, supply.peak, Upper::Slack);
                self.program.row(Sense::AtMost, vec![(nodes, 1.0), (before, -1.0), (booted, -1.0)], 0.0);
            }
            supply.variables.push(nodes);
            capacity.push((nodes, -supply.soft));
            above.push((nodes, -supply.above));
        }
        let most: f64 = self.supplies.iter().map(|supply| supply.soft * supply.peak).sum::<f64>() + self.fixed.slots;
        let overflow = self.program.variable(0.0, most, Upper::Slack);
        let files = self.program.variable(0.0, most, Upper::Slack);
        capacity.extend([(overflow, -1.0), (files, 1.0)]);
        above.push((overflow, 1.0));
        let demand = self.demand[bin];
        self.rows.capacity.push(self.program.row(Sense::AtMost, capacity, self.fixed.slots - demand));
        self.rows.overflow.push(self.program.row(Sense::AtMost, above, self.fixed.above));
        self.overflow.push(overflow);
        self.files.push(files);
        self.providers(bin);
        self.commit(bin);
    }

    /// Keeps each provider below its most nodes.
    fn providers(&mut self, bin: usize) {
        for provider in super::supply::providers(&self.supplies) {
            let ours = self.supplies.iter().filter(|supply| supply.provider == provider);
            let terms: Vec<_> = ours.map(|supply| (supply.variables[bin], 1.0)).collect();
            let fixed = self.case.fleet.pools.iter().filter(|pool| pool.provider == provider);
            let fixed: u32 = fixed.map(|pool| pool.nodes.min).sum();
            let most = self.case.provider_limits(provider).max.saturating_sub(fixed);
            self.program.row(Sense::AtMost, terms, f64::from(most));
        }
    }

    /// Charges for what is missing from providers' commitments.
    fn commit(&mut self, bin: usize) {
        for commitment in &self.commitments {
            let ours =
                self.supplies.iter().filter(|supply| commitment.pools.iter().any(|pool| supply.pools.contains(pool)));
            let mut terms: Vec<_> = ours.map(|supply| (supply.variables[bin], -1.0)).collect();
            let fixed: u32 = commitment.pools.iter().map(|pool| self.case.fleet.pools[*pool].nodes.min).sum();
            let nodes = commitment.nodes - f64::from(fixed);
            let price = commitment.dollars_per_hour * self.width / 3600.0;
            terms.push((self.program.variable(price, nodes, Upper::Slack), -1.0));
            self.program.row(Sense::AtMost, terms, -nodes);
        }
    }

    fn budget(&mut self) {
        let terms = self.overflow.iter().map(|overflow| (*overflow, 1.0)).collect();
        let budget = OVERFLOW_SHARE * self.demand.iter().sum::<f64>();
        self.rows.budget = Some(self.program.row(Sense::AtMost, terms, budget));
    }

    /// Files wait, in slots times bins, until a slot has time; what is due by the end of a bin is done by then.
    fn files(&mut self, trial: &Trial, deadline: Option<Duration>) {
        let bins = self.demand.len();
        let bin_of = |at: Timestamp| crate::workload::bin_of(at.since(Timestamp::ZERO).as_secs_f64(), self.width);
        let (mut come, mut open) = (vec![0.0; bins], vec![0.0; bins + 1]);
        for files in &trial.workload.batch {
            let (from, due, work) = (bin_of(files.at), bin_of(files.due), files.work / self.width);
            if let Some(come) = come.get_mut(from) {
                *come += work;
                open[from] += work;
                open[due.max(from).min(bins)] -= work;
            }
        }
        if deadline.is_none() && trial.workload.batch.is_empty() {
            return;
        }
        let (mut waiting, mut before) = (0.0, None);
        for bin in 0..bins {
            waiting += open[bin];
            let wait = self.program.variable(0.0, waiting.max(0.0), Upper::Binds);
            let mut terms = vec![(wait, 1.0), (self.files[bin], 1.0)];
            terms.extend(before.map(|before| (before, -1.0)));
            self.rows.files.push(self.program.row(Sense::Equal, terms, come[bin]));
            before = Some(wait);
        }
    }
}
