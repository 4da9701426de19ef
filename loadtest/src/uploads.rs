//! What a file costs the proxy, beside nginx with its request buffering on: both take in the whole body, in memory or in a
//! file of their own, and give it to the same engine, which answers at once. Callers post as fast as they are answered.
//!
//! Requests per core are requests divided by the processor seconds of the peer's own processes, from the scheduler's
//! accounts; rounds alternate.

mod report;

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use audio::{Format, wav};
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub use report::{Figures, Report};

use crate::progress::{Phase, Progress};
use crate::relay::peers::{KEY, Running, Surroundings};
use crate::relay::round::rehearse;
use crate::relay::{Peer, PeerError};
use report::Rounds;

/// Threads that callers and engine share.
const THREADS: usize = 2;
/// Callers at the same time.
const CALLERS: usize = 16;
/// How long all callers post before they are measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// What is measured, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The program whose roles are started as child processes.
    pub binary: PathBuf,
    /// How long one round of one peer is measured.
    pub duration: Duration,
    /// Rounds of each peer with each size.
    pub rounds: NonZeroU16,
}

/// A file of so many seconds of speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Its length, in seconds.
    pub seconds: u32,
}

impl Size {
    /// A short command, and half a minute: both go to a node as they are.
    pub const ALL: [Self; 2] = [Self { seconds: 1 }, Self { seconds: 30 }];

    fn file(self) -> Bytes {
        let sound = self.seconds * 32_000;
        let mut file = wav::header(Format::SPEECH, Some(sound)).to_vec();
        file.resize(file.len() + sound as usize, 0x2a);
        file.into()
    }
}

/// What was measured in one round.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// Requests that were answered.
    requests: u64,
    /// Requests that were not, or with another status than 200.
    failed: u64,
    /// Bytes that were posted with the former.
    bytes: u64,
    window: Duration,
    /// Processor time of the peer.
    work: Duration,
}

/// Starts everybody, lets the callers post files of every size in turn, and ends the processes again. Blocks for about
/// `2 sizes × 2 peers × rounds × (duration + 1 s)`, on threads of its own: call it from a thread that may block.
///
/// # Errors
/// Fails when a process does not start or goes away.
pub fn run(options: &Options, progress: Progress) -> Result<Report, PeerError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    runtime.map_err(PeerError::Threads)?.block_on(measure(options, progress))
}

async fn measure(options: &Options, progress: Progress) -> Result<Report, PeerError> {
    let surroundings = Surroundings::start(&options.binary, &options.binary).await?;
    let (here, missing) = surroundings.peers();
    let mut cast = Vec::new();
    for peer in here.into_iter().filter(|peer| matches!(peer, Peer::Proxy | Peer::Nginx)) {
        let running = surroundings.run(peer).await?;
        rehearse(peer, &running).await?;
        cast.push((peer, running));
    }
    let mut rounds = Rounds::default();
    for size in Size::ALL {
        for number in 0..options.rounds.get() {
            let first = usize::from(number) % cast.len();
            for (peer, running) in cast.iter().cycle().skip(first).take(cast.len()) {
                let title = format!("files of {} s, round {} of {}, {peer}", size.seconds, number + 1, options.rounds);
                let phase = progress.timed(title, WARM_UP + options.duration);
                rounds.add(size, *peer, play(running, size, options.duration, &phase).await?);
            }
        }
    }
    let missing = missing.into_iter().filter(|text| text.starts_with("nginx")).collect();
    Ok(Report::new(options, &rounds, missing))
}

/// What all callers count together.
#[derive(Debug, Default)]
struct Counted {
    answered: AtomicU64,
    failed: AtomicU64,
}

async fn play(running: &Running, size: Size, window: Duration, phase: &Phase) -> Result<Round, PeerError> {
    let (counted, file) = (Arc::new(Counted::default()), size.file());
    let client = reqwest::Client::builder().no_proxy().build().map_err(PeerError::Client)?;
    let url = format!("http://{}/v1/listen?model=nova-3", running.address);
    let mut callers = JoinSet::new();
    for _caller in 0..CALLERS {
        callers.spawn(post(client.clone(), url.clone(), file.clone(), Arc::clone(&counted)));
    }
    phase.follow(Instant::now() + WARM_UP).await;
    let (began, before, work) = (Instant::now(), read(&counted), running.work()?);
    sleep_until(began + window).await;
    let (after, work, window) = (read(&counted), running.work()?.saturating_sub(work), began.elapsed());
    callers.shutdown().await;
    let requests = after.0 - before.0;
    Ok(Round { requests, failed: after.1 - before.1, bytes: requests * file.len() as u64, window, work })
}

fn read(counted: &Counted) -> (u64, u64) {
    (counted.answered.load(Ordering::Relaxed), counted.failed.load(Ordering::Relaxed))
}

/// Posts the same file again and again.
async fn post(client: reqwest::Client, url: String, file: Bytes, counted: Arc<Counted>) {
    loop {
        let request = client.post(&url).header(CONTENT_TYPE, "audio/wav").header(AUTHORIZATION, format!("Token {KEY}"));
        let answer = async { request.body(file.clone()).send().await?.error_for_status()?.bytes().await };
        let count = if answer.await.is_ok() { &counted.answered } else { &counted.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}
