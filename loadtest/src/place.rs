//! What asking for a place costs, beside the least that such a call can cost: the same callers ask a router that hears a
//! large fleet, and a gRPC server that gives everybody the same reply, in turn. And what it costs the router only to hear
//! the fleet.
//!
//! * The fleet is made up: agents that report every second, each over a connection of its own, spread over pools of several
//!   clouds. A router in this benchmark is a real process with all that belongs to it, on the embedded store or on Redis.
//! * Callers ask one after the other over one connection, as a proxy does, and give the slot back, so that the fleet does
//!   not fill up. Processor time is all that the process used, reports and returned slots included.

mod agents;
mod callers;
mod echo;
mod report;

use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;
use tokio::time::{Instant, sleep_until};

pub use echo::{Echo, EchoError};
pub use report::{Figures, Report, Telemetry};

use crate::children::{Child, ChildError, Children, RouterReady};
use crate::kernel::{KernelError, Process, open_files_limit};
use crate::progress::{Phase, Progress};
use agents::Agents;
use callers::Callers;
use report::Rounds;

/// Threads that callers and agents share.
const THREADS: usize = 2;
/// Files that are open beside the agents' connections, in the router's process as in this one.
const FILES: usize = 100;
/// How long callers ask before they are measured.
const WARM_UP: Duration = Duration::from_millis(500);
/// Pools over which the nodes are spread, and what they are.
const POOLS: [&str; 8] = ["on-prem-1", "on-prem-2", "coreweave-1", "coreweave-2", "aws-1", "aws-2", "gcp-1", "gcp-2"];

/// What is measured, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The program whose roles are started as child processes.
    pub binary: PathBuf,
    /// Nodes whose agents report.
    pub agents: NonZeroU32,
    /// Callers that ask at the same time.
    pub callers: NonZeroU16,
    /// How long one round is measured.
    pub duration: Duration,
    /// Rounds of router and echo each.
    pub rounds: NonZeroU16,
    /// A Redis for the router; without one it keeps leases itself.
    pub redis: Option<String>,
}

/// The benchmark could not be carried out. What it measured, however bad, is never an error.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// There are no threads for the callers.
    #[error("cannot start the callers' threads: {0}")]
    Threads(std::io::Error),
    /// The agents need more open files than are allowed.
    #[error("{agents} agents need {needed} open files, but the limit is {limit}: raise it with `ulimit -n {needed}`")]
    Files {
        /// Agents that were asked for.
        agents: u32,
        /// Open files that they need.
        needed: usize,
        /// Open files that are allowed.
        limit: usize,
    },
    /// One of our processes did not start.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// A server did not take a connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where it should be.
        address: String,
        /// Why not.
        source: tonic::transport::Error,
    },
    /// A server did not take a call.
    #[error("{what} was not taken: {status}")]
    Call {
        /// What was called.
        what: &'static str,
        /// What the server said.
        status: Box<tonic::Status>,
    },
    /// The router did not hear all agents.
    #[error("the router places nobody 30 s after {agents} agents began to report: {said}")]
    Deaf {
        /// Agents that reported.
        agents: u32,
        /// What it said last.
        said: String,
    },
    /// A process cannot be measured.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A child is gone.
    #[error("{0} ended before its time")]
    Gone(Server),
    /// Times cannot be collected.
    #[error("cannot make a histogram: {0}")]
    Timings(#[from] hdrhistogram::CreationError),
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Server {
    /// A router that knows a fleet.
    Router,
    /// A server that gives everybody the same reply.
    Echo,
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Router => "router",
            Self::Echo => "echo",
        })
    }
}

/// What an echo says when it is ready.
#[derive(Clone, Debug, Deserialize)]
struct EchoReady {
    address: String,
}

/// What was measured in one round.
#[derive(Clone, Copy, Debug)]
struct Round {
    placed: u64,
    refused: u64,
    window: Duration,
    /// Processor time of the server.
    work: Duration,
    /// Half of the calls, 99 in a hundred, and all, took so many milliseconds.
    latency_ms: [f64; 3],
}

/// Starts everybody, measures, and ends the processes again. Blocks for about `(2 × rounds + 1) × duration`, on threads of
/// its own: call it from a thread that may block.
///
/// # Errors
/// Fails when a process does not start or goes away, or when the machine does not allow so many open files.
pub fn run(options: &Options, progress: Progress) -> Result<Report, PlaceError> {
    let (agents, needed) = (options.agents.get(), options.agents.get() as usize + FILES);
    match open_files_limit() {
        Some(limit) if limit < needed => return Err(PlaceError::Files { agents, needed, limit }),
        Some(_) | None => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    runtime.map_err(PlaceError::Threads)?.block_on(measure(options, progress))
}

async fn measure(options: &Options, progress: Progress) -> Result<Report, PlaceError> {
    let children = Children::of(&options.binary)?;
    let config = children.write("router.yaml", &config(options.redis.as_deref()))?.display().to_string();
    let router: Child<RouterReady> =
        children.start("router", &["router", "--config", &config, "--json", "--child"]).await?;
    let echo: Child<EchoReady> = children.start("echo", &["bench", "echo"]).await?;
    let router_process = router.process().ok_or(PlaceError::Gone(Server::Router))?;
    let alone = router_process.resident_bytes()?;
    let agents = {
        let _phase = progress.phase(format!("{} agents begin to report", options.agents));
        Agents::start(&router.ready().grpc, options.agents.get()).await?
    };
    let callers = Callers { number: options.callers.get(), agents: options.agents.get() };
    callers.rehearse(&router.ready().grpc).await?;
    let telemetry = telemetry(router_process, &agents, alone, options.duration, progress).await?;
    let echo_process = echo.process().ok_or(PlaceError::Gone(Server::Echo))?;
    let servers =
        [(Server::Router, &router.ready().grpc, router_process), (Server::Echo, &echo.ready().address, echo_process)];
    let mut rounds = Rounds::default();
    for number in 0..options.rounds.get() {
        for (server, address, process) in in_turn(&servers, number) {
            let title = format!("round {} of {}, {server}", number + 1, options.rounds);
            let phase = progress.timed(title, WARM_UP + options.duration);
            rounds.add(*server, play(callers, address, *process, options.duration, &phase).await?);
        }
    }
    Ok(Report::new(options, telemetry, &rounds))
}

/// Every round begins with another one.
fn in_turn<T>(all: &[T], round: u16) -> impl Iterator<Item = &T> {
    all.iter().cycle().skip(usize::from(round) % all.len().max(1)).take(all.len())
}

/// Reads what the router uses while agents report and nobody asks.
async fn telemetry(
    router: Process,
    agents: &Agents,
    alone: u64,
    window: Duration,
    progress: Progress,
) -> Result<Telemetry, PlaceError> {
    let phase = progress.timed("reports, and nobody asks", window);
    let (began, work, reports) = (Instant::now(), router.threads_time()?, agents.sent());
    phase.follow(began + window).await;
    let (elapsed, work) = (began.elapsed().as_secs_f64(), router.threads_time()?.saturating_sub(work));
    let reports = agents.sent().saturating_sub(reports);
    Ok(Telemetry {
        agents: agents.number(),
        reports_per_second: reports as f64 / elapsed,
        core_share: work.as_secs_f64() / elapsed,
        cpu_us_per_report: work.as_secs_f64() * 1e6 / reports.max(1) as f64,
        resident_mib: router.resident_bytes()? as f64 / f64::from(1 << 20),
        resident_kib_per_agent: router.resident_bytes()?.saturating_sub(alone) as f64
            / 1024.0
            / f64::from(agents.number()),
    })
}

async fn play(
    callers: Callers,
    address: &str,
    server: Process,
    window: Duration,
    phase: &Phase,
) -> Result<Round, PlaceError> {
    let calls = callers.call(address).await?;
    phase.follow(Instant::now() + WARM_UP).await;
    let (began, work) = (Instant::now(), server.threads_time()?);
    calls.measure();
    sleep_until(began + window).await;
    let (window, work) = (began.elapsed(), server.threads_time()?.saturating_sub(work));
    let (timings, refused) = calls.end().await?;
    let latency_ms = [timings.quantile(0.5), timings.quantile(0.99), timings.max()];
    Ok(Round { placed: timings.count(), refused, window, work, latency_ms })
}

/// The router's configuration: free ports, and pools of four clouds with prices that differ.
fn config(redis: Option<&str>) -> String {
    let pools = POOLS.iter().zip(1_u32..).map(|(name, number)| {
        let provider = name.trim_end_matches(|last: char| last.is_ascii_digit() || last == '-').replace('-', "_");
        format!(
            "  - {{ name: {name}, provider: {provider}, region: r{number}, tier: baseline, market: fixed, residency: us, \
             price: {{ node_hour: 0.{number}5, egress_gb: 0.0{number} }}, \
             link: {{ mode: public, round_trip: {number}ms }} }}\n"
        )
    });
    let store = redis.map(|url| format!("store: {{ redis: \"{url}\" }}\n")).unwrap_or_default();
    format!(
        "router: {{ listen: 127.0.0.1:0, admin: 127.0.0.1:0, metrics: 127.0.0.1:0 }}\nlogs: {{ filter: warn }}\n\
         {store}pools:\n{}",
        pools.collect::<String>()
    )
}
