//! What callers notice when things break. Real processes on loopback (routers on one Redis, proxies, nodes behind bad
//! links), callers who speak coded audio and check every word, and a fault every few seconds.
//!
//! * A stream is **touched** by a fault if its leg was on the node or the link when the fault began, or its proxy was
//!   hit; by faults of routers, Redis and agents, which are not on the way of audio, every open stream is.
//! * The **gap** of a touched stream is the latest that any result which covered new audio came after its usual time: of
//!   the results from the fault on, for 30 s or until the next fault on its way, the longest time from sending the last
//!   of the audio that it covers to receiving it, less the median of the stream. A stream that never heard a word more
//!   has no gap; it counts by its lost words and its error.
//! * Lost, doubled and wrong words, and errors, count for the last fault on the stream's way before its end; else for
//!   the last other fault that it lived through; else for none.
//! * Streams that are told to leave a node in time are **planned moves**: `planned` says what they are asked for.
//! * Who connects while a proxy is replaced is **refused** when nobody answers it: not accepted, reset, or not heard.
//! * A lease is **leaked** if it is there 15 s after the last fault was over and the last stream had ended.
//!
//! What is drawn by dice (faults, targets, words, lengths) follows from the seed; what the processes make of it does not.

mod crowd;
mod fault;
mod inject;
mod judge;
mod knock;
mod link;
mod planned;
mod report;
mod scenario;
mod stage;
mod throttle;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use thiserror::Error;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until};

pub use fault::{Fault, Promise};
pub use knock::Knocks;
pub use link::Weather;
pub use planned::{Delay, Planned};
pub use report::{Report, Row, Settings};
pub use scenario::{DEFAULT_SCENARIO, Dose, Hearing, Scenario, ScenarioError, Speeches};

use crate::Progress;
use crate::children::ChildError;
use crate::kernel::KernelError;
use crate::progress::Phase;
use crowd::{Crowd, Tidings};
use inject::{Injected, Injector};
use stage::{Count, Stage};
use throttle::Throttle;

/// Threads that callers and links share.
const THREADS: usize = 2;
/// Leases that nobody renews are gone after this, and so must be every trace of a fault.
const SETTLED: Duration = Duration::from_secs(15);
/// How often it is looked whether that is so already.
const LOOK: Duration = Duration::from_millis(500);
/// Nothing breaks for so long after all streams have begun.
const WARM_UP: Duration = Duration::from_secs(2);

/// The run could not be carried out. What it saw, however bad, is never an error.
#[derive(Debug, Error)]
pub enum ChaosError {
    /// There are no threads to be had.
    #[error("cannot start threads: {0}")]
    Threads(io::Error),
    /// A process did not start, or could not be ended.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// A process cannot be stopped or let go on.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Something that is not ours does not work.
    #[error("cannot use {what}: {source}")]
    Broken {
        /// What it is.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A link cannot be opened.
    #[error("cannot open a link: {0}")]
    Link(io::Error),
    /// The admin API cannot be asked.
    #[error("cannot make a client for the admin API: {0}")]
    Client(reqwest::Error),
    /// The nodes are not known to the routers.
    #[error("the routers do not know all nodes after {seconds} s, is this machine too busy?")]
    Unknown {
        /// How long they had.
        seconds: u64,
    },
    /// A task of our own is gone.
    #[error("a fault was interrupted")]
    Interrupted,
}

/// Starts everything, breaks it, and tells what callers noticed. Blocks for as long as the scenario lasts and a few
/// minutes, on threads of its own.
///
/// # Errors
/// Fails when something does not start, or cannot be broken or mended.
pub fn run(binary: PathBuf, scenario: &Scenario, (seed, progress): (u64, Progress)) -> Result<Report, ChaosError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    runtime.map_err(ChaosError::Threads)?.block_on(play(binary, scenario, (seed, progress)))
}

async fn play(binary: PathBuf, scenario: &Scenario, (seed, progress): (u64, Progress)) -> Result<Report, ChaosError> {
    let stage = {
        let _phase = progress.phase("starting routers, proxies and nodes");
        Arc::new(Stage::start(&binary, scenario, seed).await?)
    };
    let throttle = Throttle::start(stage.throttled().await, scenario.processor)?;
    let began = Instant::now();
    let calm = WARM_UP + crowd::STEP * u32::from(scenario.streams.get());
    let until = began + calm + scenario.lasts;
    let crowd = Crowd::gather(scenario, &stage.doors, (seed, until));
    let faults = {
        let phase = progress.timed("speaking", calm + scenario.lasts);
        let injector = Injector::new(&stage, scenario, SmallRng::seed_from_u64(seed));
        strike(injector, (began + calm, scenario.every, until), (&phase, &crowd.tidings)).await?
    };
    let calls = {
        let _phase = progress.phase("waiting for the last streams");
        crowd.disperse().await
    };
    let last = faults.iter().map(|fault| fault.over).chain(calls.iter().map(|call| call.ended)).max();
    let left = {
        let _phase = progress.phase("waiting for leases to be given back");
        settle(&stage, last.unwrap_or(began) + SETTLED).await
    };
    drop(throttle);
    let judged = judge::Judged { calls: &calls, faults: &faults, began };
    Ok(Report::new((scenario, seed), &judged, (left, stage.moves())))
}

/// Waits until nothing is promised or held any more, and returns what is when the time is over.
async fn settle(stage: &Stage, deadline: Instant) -> Count {
    loop {
        let left = stage.leases().await.unwrap_or_default();
        if (left.serving > 0 && left.leases + left.used == 0) || Instant::now() >= deadline {
            return left;
        }
        sleep(LOOK).await;
    }
}

/// Puts faults in until the end, and waits until all are over.
async fn strike(
    mut injector: Injector,
    (from, every, until): (Instant, Duration, Instant),
    (phase, tidings): (&Phase, &Tidings),
) -> Result<Vec<Injected>, ChaosError> {
    let mut beats = interval_at(from, every);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _beat = beats.tick() => injector.strike()?,
            () = sleep_until(until) => break,
        }
        phase.say(tidings.words(injector.done.len()));
    }
    injector.finish().await
}

impl Tidings {
    fn words(&self, faults: usize) -> String {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (streams, words) = (read(&self.streams), read(&self.words));
        let (bad, errors) = (read(&self.bad_words), read(&self.errors));
        format!("{faults} faults, {streams} streams over: {bad} of {words} words bad, {errors} errors")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let scenario = Scenario { routers: std::num::NonZeroU8::MIN, ..Scenario::default() };
        let error = run("/no/such/crosspoint".into(), &scenario, (1, Progress::Hidden)).unwrap_err();
        assert!(error.to_string().starts_with("cannot start /no/such/crosspoint as router-0"), "{error}");
    }
}
