//! What a decision costs: `decide` and `reserve` on a large fleet, with everything that requests can ask for.
//!
//! Time in the fleet passes by 1 ms a decision of each thread and nodes report every three seconds of it, so promises come, are settled and expire as
//! they do in service; reports, ticks and snapshots are not timed. Every timing includes one reading of the clock. What that costs, and
//! what as many looks into memory as a decision must take cost, is timed in the same way between them: machines differ.

mod fleet;
mod floor;
mod report;

use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use floor::Floor;
use hdrhistogram::Histogram;
use scheduler::{Dice, FleetView, Policy, Request, Timestamp, decide};

pub use report::Report;

/// Decisions of one thread between two reports of every node.
const STRETCH: u32 = 2_900;
/// Time in the fleet between two decisions.
const STEP: Duration = Duration::from_millis(1);
/// Stretches that are not counted: caches and predictors are cold.
const WARM_UP: u32 = 5;

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Nodes in the fleet.
    pub nodes: NonZeroU32,
    /// Pools they are spread over, at most 64.
    pub pools: NonZeroU8,
    /// Threads that decide at the same time, on one view.
    pub threads: NonZeroU16,
    /// Decisions of each thread, in thousands.
    pub thousands: NonZeroU32,
}

/// Says why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum DecisionsError {
    /// The fleet could not be made.
    #[error("cannot make up a fleet: {0}")]
    Fleet(String),
    /// Timings could not be kept.
    #[error("cannot keep timings: {0}")]
    Timings(#[from] hdrhistogram::CreationError),
    /// A thread ended before its time.
    #[error("a deciding thread ended before its time")]
    Lost,
}

/// What one thread saw.
#[derive(Debug)]
struct Seen {
    timings: Histogram<u64>,
    busy: Duration,
    refused: u64,
    floor: Floor,
}

impl Seen {
    fn new() -> Result<Self, DecisionsError> {
        let timings = Histogram::new_with_max(1_000_000_000, 3)?;
        Ok(Self { timings, busy: Duration::ZERO, refused: 0, floor: Floor::new()? })
    }
}

/// Measures.
///
/// # Errors
/// Fails when the fleet cannot be made up, or a thread is lost.
pub fn run(options: Options) -> Result<Report, DecisionsError> {
    let mut fleet = fleet::made_up(options.nodes.get(), options.pools.get())?;
    let policy = Policy::default();
    let memory = floor::Memory::like(options.nodes.get());
    let stretches = (options.thousands.get().saturating_mul(1_000)).div_ceil(STRETCH).max(1) + WARM_UP;
    let mut all = (0..options.threads.get()).map(|_| Seen::new()).collect::<Result<Vec<_>, _>>()?;
    for stretch in 0..stretches {
        let now = fleet.report_all(stretch, &policy);
        let view = fleet.snapshot();
        let start = Barrier::new(all.len());
        let requests = fleet.requests();
        let count = stretch >= WARM_UP;
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0_u64..)
                .zip(&mut all)
                .map(|(number, seen)| {
                    let dice = Dice::new(u64::from(stretch) << 32 | number);
                    let (view, policy, start, memory) = (&*view, &policy, &start, &memory);
                    scope.spawn(move || {
                        start.wait();
                        let mut seen = count.then_some(seen);
                        go(view, (requests, policy), (now, dice.clone()), seen.as_deref_mut());
                        seen.into_iter().for_each(|seen| seen.floor.measure(memory, dice.clone()));
                    })
                })
                .collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| DecisionsError::Lost))
        })?;
    }
    Report::new(options, all)
}

/// One thread's decisions of a stretch.
fn go(
    view: &FleetView,
    (requests, policy): (&[Request], &Policy),
    (mut now, mut dice): (Timestamp, Dice),
    mut seen: Option<&mut Seen>,
) {
    let began = Instant::now();
    let mut last = began;
    for request in requests.iter().cycle().take(STRETCH as usize) {
        let choice = decide(view, request, policy, now, &mut dice);
        if let Some(best) = choice.best() {
            view.reserve(best.node, now);
        }
        let done = Instant::now();
        if let Some(seen) = &mut seen {
            let nanos = u64::try_from((done - last).as_nanos()).unwrap_or(u64::MAX);
            seen.timings.saturating_record(nanos);
            seen.refused += u64::from(choice.refusal().is_some());
        }
        now = now + STEP;
        // Counting is not deciding.
        last = Instant::now();
    }
    if let Some(seen) = seen {
        seen.busy += last - began;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_decision_is_counted_and_few_are_refused() {
        let number = |count: u32| count.try_into().unwrap();
        let (pools, threads) = (NonZeroU8::new(64).unwrap(), NonZeroU16::new(2).unwrap());
        let report = run(Options { nodes: number(2_000), pools, threads, thousands: number(25) }).unwrap();
        assert_eq!(report.decisions, 2 * 9 * u64::from(STRETCH), "nine stretches hold 25,000 decisions");
        assert!(report.refused < report.decisions / 10, "{report}");
        assert!(report.p50_ns > 0 && report.p50_ns <= report.p99_ns && report.p99_ns <= report.max_ns);
        assert!(report.to_string().contains("2000 nodes in 64 pools"), "{report}");
    }
}
