//! One round of one peer: all streams speak, and what that costs is read at both ends of the window.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::crowd::{self, Counted, Plan};
use super::peers::{Peer, Running, Surroundings};
use super::{Load, PeerError};
use crate::caller::Metronome;
use crate::progress::Phase;

/// How long all streams speak before they are measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long idle streams are left alone before memory is read.
const REST: Duration = Duration::from_secs(1);
/// Streams whose memory is read.
pub(super) const IDLE: u32 = 2_000;
/// How long a peer may take to serve its first stream, and how often that is tried.
const KNOWN: Duration = Duration::from_secs(15);
const TRY: Duration = Duration::from_millis(100);

/// What was measured in one round.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    /// Processor time per message of audio, in microseconds.
    pub(super) cpu_us: f64,
    /// Messages of audio that were sent.
    pub(super) messages: u64,
    /// Half, and 99 in a hundred, and all results came within so many milliseconds.
    pub(super) latency_ms: [f64; 3],
    /// How late callers sent, 99 in a hundred, in milliseconds.
    pub(super) late_ms: f64,
    /// Why streams failed.
    pub(super) failures: BTreeSet<String>,
}

/// Returns how long a round takes.
pub(super) fn length(load: Load, window: Duration) -> Duration {
    crowd::opening(load.streams) + WARM_UP + window
}

/// Plays one round.
pub(super) async fn play(
    running: &Running,
    load: Load,
    window: Duration,
    metronome: &Arc<Metronome>,
    phase: &Phase,
) -> Result<Round, PeerError> {
    let counted = Arc::new(Counted::new()?);
    let plan = Plan::new(load, WARM_UP, window);
    let mut calls = crowd::speak(&running.address, &plan, metronome, &counted);
    phase.follow(plan.window.start).await;
    let before = running.work()?;
    sleep_until(plan.window.end).await;
    let work = running.work()?.saturating_sub(before);
    let mut failures = BTreeSet::new();
    while let Some(call) = calls.join_next().await {
        failures.extend(call.unwrap_or_else(|error| Err(error.to_string())).err());
    }
    let messages = counted.messages.load(Ordering::Relaxed);
    let latencies = counted.latencies.lock().unwrap_or_else(PoisonError::into_inner);
    let lateness = counted.lateness.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Round {
        cpu_us: work.as_secs_f64() * 1e6 / messages.max(1) as f64,
        messages,
        latency_ms: [latencies.quantile(0.5), latencies.quantile(0.99), latencies.max()],
        late_ms: lateness.quantile(0.99),
        failures,
    })
}

/// Waits until a peer serves a stream.
pub(crate) async fn rehearse(peer: Peer, running: &Running) -> Result<(), PeerError> {
    let deadline = Instant::now() + KNOWN;
    loop {
        match crowd::open(&running.address).await {
            Ok(_socket) => return Ok(()),
            // The engine's first report has not reached the router yet.
            Err(_cause) if Instant::now() < deadline => sleep(TRY).await,
            Err(cause) => return Err(PeerError::Unserved { peer, cause }),
        }
    }
}

/// Returns the memory that one of many open streams takes on which nothing is said, in KiB.
pub(super) async fn idle(surroundings: &Surroundings, peer: Peer) -> Result<f64, PeerError> {
    let running = surroundings.run(peer).await?;
    rehearse(peer, &running).await?;
    sleep(REST).await;
    let before = running.resident()?;
    let mut sockets = Vec::new();
    for _stream in 0..IDLE {
        let opened = crowd::open(&running.address).await;
        sockets.push(opened.map_err(|cause| PeerError::Unserved { peer, cause })?);
    }
    sleep(REST).await;
    let after = running.resident()?;
    Ok(after.saturating_sub(before) as f64 / 1024.0 / f64::from(IDLE))
}
