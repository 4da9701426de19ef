//! What a message costs the proxy, beside the products that operators know: the same callers and the same engine with the
//! proxy, nginx, HAProxy, a bare relay of bytes, or nothing between them, in turn, on one machine.
//!
//! * Processor time is what the peer's own processes used while the streams spoke, from the scheduler's accounts, divided
//!   by the messages of audio sent meanwhile. Every fifth message is answered with a result, which is part of it.
//! * Latency is the time from sending a message that the engine answers to receiving the answer: both ways through the
//!   peer. What the peer adds is the difference to the round without a peer that stood beside it.
//! * Memory is what a fresh peer grows by for 2,000 open streams on which nothing is said, divided by them.
//! * Rounds of all peers alternate, and each round begins with another one, so that what else the machine does hits all.

mod bare;
mod crowd;
mod engine;
pub(crate) mod peers;
mod product;
mod report;
pub(crate) mod round;

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

pub use bare::relay;
pub use peers::Peer;
pub use report::{Figures, Report};

use crate::caller::Metronome;
use crate::children::ChildError;
use crate::kernel::{KernelError, open_files_limit};
use crate::progress::Progress;
use peers::{Running, Surroundings};
use product::Product;
use report::Rounds;

/// Threads that callers and engine share.
const THREADS: usize = 2;
/// Fresh peers whose memory is read, at most.
const MEMORIES: u16 = 3;
/// Files that callers and engine need: both ends of every stream and some more.
const FILES: usize = 2 * round::IDLE as usize + 200;

/// What is measured, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The program whose roles are started as child processes.
    pub binary: PathBuf,
    /// The program whose proxy is measured: another build, to see what a change does.
    pub proxy: PathBuf,
    /// How long one round of one peer is measured.
    pub duration: Duration,
    /// Rounds of each peer under each load.
    pub rounds: NonZeroU16,
}

/// So many streams that say so much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Streams at the same time.
    pub streams: u32,
    /// Sound in one message, in milliseconds when serialised.
    #[serde(serialize_with = "millis")]
    pub frame: Duration,
}

impl Load {
    /// What is measured: few and many streams as SDKs send by default, and very many that send seldom.
    pub const ALL: [Self; 3] = [Self::new(100, 20), Self::new(400, 20), Self::new(2_000, 200)];

    const fn new(streams: u32, frame_millis: u64) -> Self {
        Self { streams, frame: Duration::from_millis(frame_millis) }
    }

    /// Bytes of a message: 16-bit mono at 16 kHz.
    fn bytes(self) -> usize {
        usize::try_from(self.frame.as_millis() * 32).unwrap_or_default()
    }
}

fn millis<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u128(time.as_millis())
}

/// The benchmark could not be carried out. What it measured, however bad, is never an error.
#[derive(Debug, Error)]
pub enum PeerError {
    /// There are no threads for the callers.
    #[error("cannot start the callers' threads: {0}")]
    Threads(std::io::Error),
    /// The streams need more open files than are allowed.
    #[error("the callers need {FILES} open files, but the limit is {0}: raise it with `ulimit -n {FILES}`")]
    Files(usize),
    /// The engine has no port.
    #[error("cannot start the engine: {0}")]
    Engine(std::io::Error),
    /// One of our processes did not start.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// A peer did not start.
    #[error("cannot start {peer}: {source}")]
    Start {
        /// Who did not.
        peer: Peer,
        /// Why not.
        source: std::io::Error,
    },
    /// A peer serves no stream.
    #[error("no stream through {peer}: {cause}")]
    Unserved {
        /// Who does not.
        peer: Peer,
        /// Why not.
        cause: String,
    },
    /// There is no client for files.
    #[error("cannot make a client: {0}")]
    Client(reqwest::Error),
    /// A process cannot be measured.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Times cannot be collected.
    #[error("cannot make a histogram: {0}")]
    Timings(#[from] hdrhistogram::CreationError),
}

/// Starts everybody, lets the callers call under every load in turn, and ends the processes again. Blocks for about
/// `3 loads × 5 peers × rounds × (duration + 3 s)`, on threads of its own: call it from a thread that may block.
///
/// # Errors
/// Fails when a process does not start or goes away, or when the machine does not allow so many open files.
pub fn run(options: &Options, progress: Progress) -> Result<Report, PeerError> {
    match open_files_limit() {
        Some(limit) if limit < FILES => return Err(PeerError::Files(limit)),
        Some(_) | None => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    runtime.map_err(PeerError::Threads)?.block_on(measure(options, progress))
}

async fn measure(options: &Options, progress: Progress) -> Result<Report, PeerError> {
    let (surroundings, cast) = {
        let _phase = progress.phase("starting everybody");
        let surroundings = Surroundings::start(&options.binary, &options.proxy).await?;
        let cast = Cast::start(&surroundings).await?;
        (surroundings, cast)
    };
    let metronome = Arc::new(Metronome::start().map_err(PeerError::Threads)?);
    let mut rounds = Rounds::default();
    for load in Load::ALL {
        for number in 0..options.rounds.get() {
            for (peer, running) in cast.in_turn(number) {
                let title = format!("{} streams, round {} of {}, {peer}", load.streams, number + 1, options.rounds);
                let phase = progress.timed(title, round::length(load, options.duration));
                let round = round::play(running, load, options.duration, &metronome, &phase).await?;
                rounds.add(load, *peer, round);
            }
        }
    }
    for number in 0..options.rounds.get().min(MEMORIES) {
        for (peer, _running) in cast.in_turn(number).filter(|(peer, _running)| *peer != Peer::Direct) {
            let _phase = progress.phase(format!("memory of idle streams, {peer}"));
            rounds.add_memory(*peer, round::idle(&surroundings, *peer).await?);
        }
    }
    Ok(Report::new(options, &rounds, cast.missing))
}

/// The peers, running.
struct Cast {
    peers: Vec<(Peer, Running)>,
    missing: Vec<String>,
}

impl Cast {
    async fn start(surroundings: &Surroundings) -> Result<Self, PeerError> {
        let (here, missing) = surroundings.peers();
        let mut peers = Vec::new();
        for peer in here {
            let running = surroundings.run(peer).await?;
            round::rehearse(peer, &running).await?;
            peers.push((peer, running));
        }
        Ok(Self { peers, missing })
    }

    /// Every round begins with another one.
    fn in_turn(&self, round: u16) -> impl Iterator<Item = &(Peer, Running)> {
        let first = usize::from(round) % self.peers.len().max(1);
        self.peers.iter().cycle().skip(first).take(self.peers.len())
    }
}
