//! Runs: every contender on every seed of a case, beside one bound per seed, on as many threads as there are processors.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use scheduler::Timestamp;

use crate::bound::{Clairvoyant, fewest_rejections};
use crate::case::{Case, Trial};
use crate::outcome::{BelowBound, Outcome};
use crate::policy::Contender;
use crate::world::{Record, World};

/// Minutes per bin of the bound: a tenth of a percent below that of one minute, and a tenth of its time.
const BOUND_MINUTES: usize = 10;

/// One run to be done, and what came of it.
#[derive(Debug)]
pub struct Run {
    /// The figures.
    pub outcome: Outcome,
    /// Minute by minute.
    pub record: Record,
}

/// One seed of a case, with its bound.
pub struct Bounded {
    /// What the seed decided.
    pub trial: Trial,
    /// What nobody can beat.
    pub bound: Clairvoyant,
    /// Streams that must be turned away whoever decides, where the fleet never changes and nobody waits.
    pub fewest_rejected: Option<u64>,
}

impl Bounded {
    /// Draws a seed and solves its bound.
    #[must_use]
    pub fn draw(case: &Case, seed: u64) -> Self {
        let trial = case.trial(seed);
        let bound = Clairvoyant::solve(case, &trial, BOUND_MINUTES);
        let slots = case.fixed_slots().filter(|_| case.patience.is_zero());
        let fewest = |slots| fewest_rejections(&trial.workload.sessions, &[(Timestamp::ZERO, slots)]);
        let fewest_rejected = slots.map(fewest);
        Self { trial, bound, fewest_rejected }
    }

    /// Runs a contender.
    ///
    /// # Errors
    /// Fails when the run costs less than the bound: then the simulator or the bound is wrong, and no figure may be printed.
    pub fn run(&self, case: &Case, contender: &Contender) -> Result<Run, BelowBound> {
        let routers = contender.routers(case, self.trial.seed);
        let world = World::new(case, &self.trial, contender.mechanisms, routers, contender.scaler(case));
        let record = world.run();
        let outcome = Outcome::of(case, self, contender, &record)?;
        Ok(Run { outcome, record })
    }
}

/// Does `jobs` jobs on all processors and returns what they return, in their order. After a job that fails no other is begun.
///
/// # Errors
/// Fails as the first job does that fails.
pub fn on_all_processors<T: Send, E: Send>(
    jobs: usize,
    job: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<T, E>)>> = Mutex::new(Vec::with_capacity(jobs));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= jobs {
                break;
            }
            let result = job(index);
            if result.is_err() {
                next.store(jobs, Ordering::Relaxed);
            }
            if let Ok(mut done) = done.lock() {
                done.push((index, result));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(jobs);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_their_jobs() {
        assert_eq!(
            on_all_processors(50, |job| Ok::<_, ()>(job * 2)).unwrap(),
            (0..50).map(|job| job * 2).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_job_that_fails_fails_them_all() {
        assert_eq!(on_all_processors(50, |job| if job == 7 { Err(job) } else { Ok(job) }), Err(7));
    }
}
