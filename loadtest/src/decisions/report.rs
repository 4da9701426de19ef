//! The figures, as a table for people and as data.

use std::fmt;

use serde::Serialize;

use super::{DecisionsError, Options, Seen};

/// What decisions cost.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Nodes in the fleet.
    pub nodes: u32,
    /// Pools they were spread over.
    pub pools: u8,
    /// Threads that decided at the same time.
    pub threads: u16,
    /// Decisions that were timed, by all threads.
    pub decisions: u64,
    /// Those that found no node.
    pub refused: u64,
    /// Half took at most this long, in nanoseconds.
    pub p50_ns: u64,
    /// Nine in ten did.
    pub p90_ns: u64,
    /// 99 in 100 did.
    pub p99_ns: u64,
    /// 999 in 1000 did.
    pub p99_9_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// Decisions a second of one thread, timing included.
    pub per_second_and_thread: f64,
    /// Half of the readings of the clock took at most this long, in nanoseconds; every timing holds one.
    pub clock_p50_ns: u64,
    /// 99 in 100 did.
    pub clock_p99_ns: u64,
    /// Half of the times in which memory as large as the fleet was looked into at eight random places took at most this long,
    /// the clock included.
    pub looks_p50_ns: u64,
    /// 99 in 100 did.
    pub looks_p99_ns: u64,
    /// How many decisions took up to how long.
    pub histogram: Vec<Bucket>,
}

/// Decisions that took no longer than this and longer than the bucket before.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bucket {
    /// In nanoseconds.
    pub up_to_ns: u64,
    /// How many.
    pub decisions: u64,
}

impl Report {
    pub(super) fn new(options: Options, all: Vec<Seen>) -> Result<Self, DecisionsError> {
        let mut sum = Seen::new()?;
        for seen in all {
            // Equal bounds: adding cannot fail.
            let _ = sum.timings.add(&seen.timings);
            sum.busy += seen.busy;
            sum.refused += seen.refused;
            sum.floor.add(&seen.floor);
        }
        let timings = &sum.timings;
        let buckets = timings
            .iter_log(50, 2.0)
            .map(|step| Bucket { up_to_ns: step.value_iterated_to(), decisions: step.count_since_last_iteration() });
        Ok(Self {
            nodes: options.nodes.get(),
            pools: options.pools.get(),
            threads: options.threads.get(),
            decisions: timings.len(),
            refused: sum.refused,
            p50_ns: timings.value_at_quantile(0.5),
            p90_ns: timings.value_at_quantile(0.9),
            p99_ns: timings.value_at_quantile(0.99),
            p99_9_ns: timings.value_at_quantile(0.999),
            max_ns: timings.max(),
            per_second_and_thread: timings.len() as f64 / sum.busy.as_secs_f64(),
            clock_p50_ns: sum.floor.clock.value_at_quantile(0.5),
            clock_p99_ns: sum.floor.clock.value_at_quantile(0.99),
            looks_p50_ns: sum.floor.looks.value_at_quantile(0.5),
            looks_p99_ns: sum.floor.looks.value_at_quantile(0.99),
            histogram: buckets.collect(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, pools, threads, decisions, refused, .. } = self;
        writeln!(f, "decide + reserve, {nodes} nodes in {pools} pools, threads: {threads}")?;
        writeln!(f, "{decisions} decisions, {refused} found no node")?;
        let Self { p50_ns, p90_ns, p99_ns, p99_9_ns, max_ns, .. } = self;
        writeln!(f, "p50 {p50_ns} ns, p90 {p90_ns} ns, p99 {p99_ns} ns, p99.9 {p99_9_ns} ns, max {max_ns} ns")?;
        let Self { clock_p50_ns, clock_p99_ns, looks_p50_ns, looks_p99_ns, .. } = self;
        writeln!(
            f,
            "in the same run: reading the clock p50 {clock_p50_ns} ns, p99 {clock_p99_ns} ns; eight random looks into memory as large as the fleet p50 {looks_p50_ns} ns, p99 {looks_p99_ns} ns"
        )?;
        let over = |figure: u64, floor: u64| figure as f64 / floor.max(1) as f64;
        writeln!(
            f,
            "over those looks: p50 {:.1} times, p99 {:.1} times",
            over(*p50_ns, *looks_p50_ns),
            over(*p99_ns, *looks_p99_ns)
        )?;
        writeln!(f, "{:.2} million a second and thread, timing included", self.per_second_and_thread / 1e6)?;
        let most = self.histogram.iter().map(|bucket| bucket.decisions).max().unwrap_or(0).max(1);
        for bucket in self.histogram.iter().filter(|bucket| bucket.decisions > 0) {
            let bar = usize::try_from(bucket.decisions * 50 / most).unwrap_or(0);
            writeln!(f, "  up to {:>9} ns {:>9} {}", bucket.up_to_ns, bucket.decisions, "#".repeat(bar))?;
        }
        Ok(())
    }
}
