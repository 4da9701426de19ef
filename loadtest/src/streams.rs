//! What the proxy costs a stream: the same streams through the proxy and direct to the engine, in turn, on one machine.
//!
//! * The latency of a result is the time from sending the message that holds the last sound the result covers to
//!   receiving it. It holds the engine's own time, too; what the proxy adds is the difference between the two ways.
//! * Processor time per message is all that the proxy used while the streams spoke (results, pings, timers and metrics
//!   included), divided by the messages of audio that were sent meanwhile.
//! * Memory per stream is what the proxy grew by from before the first stream to the last moment of a round, divided by
//!   the streams.
//! * Callers speak coded audio, so every word that is lost, doubled or wrong on the way is counted.

mod report;
mod round;
mod stage;
mod traffic;

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

pub use report::{Added, Cost, LatencyMs, Load, Report, Settings, Side, Words};

use crate::caller::CallError;
use crate::children::ChildError;
use crate::kernel::{KernelError, open_files_limit};
use crate::progress::Progress;
use report::Rounds;
use round::{Round, play};
use stage::Stage;

/// Threads that all callers share.
const THREADS: usize = 2;
/// Files a process needs besides those of its streams.
const OTHER_FILES: usize = 100;

/// What is measured, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The program whose roles are started as child processes.
    pub binary: PathBuf,
    /// Streams at the same time.
    pub streams: NonZeroU16,
    /// How long one round is measured.
    pub duration: Duration,
    /// How long all streams speak before that.
    pub warm_up: Duration,
    /// Rounds each way.
    pub rounds: NonZeroU16,
}

impl Options {
    /// Measures 400 streams for 20 s, three times each way.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            streams: NonZeroU16::MIN.saturating_add(399),
            duration: Duration::from_secs(20),
            warm_up: Duration::from_secs(2),
            rounds: NonZeroU16::MIN.saturating_add(2),
        }
    }
}

/// The benchmark could not be carried out. What it measured, however bad, is never an error.
#[derive(Debug, Error)]
pub enum BenchError {
    /// There are no threads for the callers.
    #[error("cannot start the callers' threads: {0}")]
    Threads(std::io::Error),
    /// The streams need more open files than are allowed.
    #[error("{streams} streams need {needed} open files, but the limit is {limit}: raise it with `ulimit -n {needed}`")]
    Files {
        /// The streams wanted.
        streams: NonZeroU16,
        /// The files they need.
        needed: usize,
        /// The files allowed.
        limit: usize,
    },
    /// One of the processes did not start, or could not be ended.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// A process that is measured is gone.
    #[error("{0} ended during the benchmark{1}")]
    Gone(&'static str, String),
    /// A process cannot be measured.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The first stream was not served, so there is nothing to measure.
    #[error("the first stream {way} was not served: {source}{log}")]
    Unserved {
        /// Which way it went.
        way: Way,
        /// Why it was not served.
        source: CallError,
        /// The end of the proxy's log, after a line break, or nothing.
        log: String,
    },
    /// The first stream went wrong, so there is nothing to measure.
    #[error("the first stream {way} went wrong: {what}{log}")]
    Spoiled {
        /// Which way it went.
        way: Way,
        /// What went wrong.
        what: String,
        /// The end of the proxy's log, after a line break, or nothing.
        log: String,
    },
    /// Times cannot be collected.
    #[error("cannot make a histogram: {0}")]
    Timings(#[from] hdrhistogram::CreationError),
}

/// Which way streams go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through the proxy.
    Proxied,
    /// Straight to the engine.
    Direct,
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Proxied => "through the proxy",
            Self::Direct => "direct to the engine",
        })
    }
}

/// Starts a router, a proxy and a node, lets the callers call, and ends the processes again. Blocks for about
/// `2 × rounds × (duration + warm-up + a few seconds)`, on threads of its own: call it from a thread that may block,
/// such as tokio's `spawn_blocking`.
///
/// # Errors
/// Fails when a process does not start or goes away, when the first stream is not served perfectly, or when the machine
/// does not allow so many open files.
pub fn run(options: &Options, progress: Progress) -> Result<Report, BenchError> {
    check_files(options.streams)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    runtime.map_err(BenchError::Threads)?.block_on(measure(options, progress))
}

/// Each stream is two connections of the proxy, which takes callers up to half of its files.
fn check_files(streams: NonZeroU16) -> Result<(), BenchError> {
    let needed = 2 * usize::from(streams.get()) + OTHER_FILES;
    match open_files_limit() {
        Some(limit) if limit < needed => Err(BenchError::Files { streams, needed, limit }),
        Some(_) | None => Ok(()),
    }
}

async fn measure(options: &Options, progress: Progress) -> Result<Report, BenchError> {
    let stage = {
        let _phase = progress.phase("starting router, proxy and node");
        let stage = Stage::start(&options.binary, options.streams).await?;
        stage.rehearse(Way::Direct).await?;
        stage.rehearse(Way::Proxied).await?;
        stage
    };
    let resident_before = stage.meters()?.proxy_resident()?;
    let mut rounds = Rounds::default();
    for number in 0..options.rounds.get() {
        // The way that goes first takes turns, so that neither always follows the other.
        let ways = if number % 2 == 0 { [Way::Proxied, Way::Direct] } else { [Way::Direct, Way::Proxied] };
        for way in ways {
            let title = format!("round {} of {}, {way}", number + 1, options.rounds);
            rounds.add(way, one(&stage, way, options, progress.timed(title, round::length(options))).await?);
        }
    }
    stage.stop().await?;
    Ok(Report::new(options, &rounds, resident_before))
}

async fn one(stage: &Stage, way: Way, options: &Options, phase: crate::progress::Phase) -> Result<Round, BenchError> {
    play(&stage.caller(way), &stage.meters()?, options, &phase).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_streams_than_open_files_allow_are_refused_at_once() {
        let refused = check_files(NonZeroU16::MAX);
        let allowed = open_files_limit().is_none_or(|limit| limit > 140_000);
        assert!(allowed || refused.unwrap_err().to_string().contains("`ulimit -n 131170`"));
        assert!(check_files(NonZeroU16::MIN).is_ok());
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = run(&Options::new("/no/such/crosspoint"), Progress::Hidden).unwrap_err();
        assert!(error.to_string().starts_with("cannot start /no/such/crosspoint as router"), "{error}");
    }
}
