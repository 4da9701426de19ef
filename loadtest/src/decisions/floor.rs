//! The floor: what cannot be saved. Reading the clock, and as many random looks into memory as large as the fleet's as a
//! decision must take: two choices in one pool and two in the next, for each a node and what is promised there.

use std::hint::black_box;
use std::time::Instant;

use hdrhistogram::Histogram;
use rand::Rng;
use scheduler::Dice;

use super::DecisionsError;

/// Timings of each kind in a stretch.
const TIMINGS: u32 = 500;
/// Random looks of one decision.
const LOOKS: usize = 8;
/// What is looked at fills one line of a cache.
type Line = [u64; 8];

/// As much memory as the nodes of a fleet take.
pub(super) struct Memory(Vec<Line>);

impl Memory {
    pub(super) fn like(nodes: u32) -> Self {
        Self(vec![[1; 8]; usize::try_from(nodes).unwrap_or(1).max(1)])
    }

    fn look(&self, dice: &mut Dice) -> u64 {
        let looks: [usize; LOOKS] = std::array::from_fn(|_| dice.random_range(0..self.0.len()));
        looks.into_iter().map(|place| self.0[place][0]).sum()
    }
}

/// Timings of what cannot be saved.
#[derive(Debug)]
pub(super) struct Floor {
    pub(super) clock: Histogram<u64>,
    pub(super) looks: Histogram<u64>,
}

impl Floor {
    pub(super) fn new() -> Result<Self, DecisionsError> {
        let timings = || Histogram::new_with_max(1_000_000_000, 3);
        Ok(Self { clock: timings()?, looks: timings()? })
    }

    pub(super) fn measure(&mut self, memory: &Memory, mut dice: Dice) {
        for _ in 0..TIMINGS {
            let began = Instant::now();
            let read = Instant::now();
            black_box(memory.look(&mut dice));
            let looked = Instant::now();
            let nanos = |from: Instant, to: Instant| u64::try_from((to - from).as_nanos()).unwrap_or(u64::MAX);
            self.clock.saturating_record(nanos(began, read));
            self.looks.saturating_record(nanos(read, looked));
        }
    }

    /// Adds another thread's timings; bounds are equal, so adding cannot fail.
    pub(super) fn add(&mut self, other: &Self) {
        let _ = self.clock.add(&other.clock);
        let _ = self.looks.add(&other.looks);
    }
}
