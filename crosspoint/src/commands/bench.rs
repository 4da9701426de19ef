//! `crosspoint bench`: what Crosspoint costs, measured on this machine.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use loadtest::streams::{Options, run};
use loadtest::{Progress, decisions, place, relay, seams, uploads};
use serde::Serialize;
use serde_json::json;

use crate::roles::parent_gone;
use crate::terminal::{is_watched, print, print_json};

const EXAMPLES: &str = "\
Use a release build, on a machine that has nothing else to do:
  crosspoint bench streams
  crosspoint bench streams --streams 100 --seconds 10 --rounds 1
  crosspoint bench streams --json > figures.json
  crosspoint bench relay
  crosspoint bench uploads --rounds 3
  crosspoint bench seams speech.wav more.wav
  crosspoint bench decide --nodes 10000 --threads 2
  crosspoint bench place
  crosspoint bench place --agents 200 --redis redis://127.0.0.1:6379";

/// The arguments of `crosspoint bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, clap::Subcommand)]
enum Subject {
    /// What the proxy adds to streams: latency, processor time per message and memory, against the engine alone
    #[command(after_help = EXAMPLES)]
    Streams(Streams),
    /// What a message costs the proxy, beside nginx, HAProxy, a bare relay of bytes, and nothing
    #[command(after_help = EXAMPLES)]
    Relay(Relay),
    /// What a file costs the proxy, beside nginx with its request buffering on
    #[command(after_help = EXAMPLES)]
    Uploads(Uploads),
    /// What it costs in words that a node dies under real speech: the real engine, killed at many points
    #[command(after_help = EXAMPLES)]
    Seams(Seams),
    /// Relay bytes and do nothing else: what `bench relay` compares with
    #[command(hide = true)]
    BareRelay(BareRelay),
    /// What a placement decision costs on a large fleet, with a histogram
    #[command(after_help = EXAMPLES)]
    Decide(Decide),
    /// What asking a router for a place costs, beside a bare gRPC echo, and what reports cost the router
    #[command(after_help = EXAMPLES)]
    Place(Place),
    /// Give everybody the same place: what `bench place` compares with
    #[command(hide = true)]
    Echo,
}

#[derive(Debug, clap::Args)]
struct Output {
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Streams {
    /// Streams at the same time, 50 messages of 640 bytes a second each
    #[arg(long, default_value = "400")]
    streams: NonZeroU16,
    /// Length of a round, in seconds
    #[arg(long, default_value = "20")]
    seconds: NonZeroU16,
    /// Rounds each way
    #[arg(long, default_value = "3")]
    rounds: NonZeroU16,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Relay {
    /// Measure the proxy of another build of this program
    #[arg(long, value_name = "PROGRAM")]
    proxy: Option<PathBuf>,
    /// Length of a round, in seconds
    #[arg(long, default_value = "5")]
    seconds: NonZeroU16,
    /// Rounds of each peer under each of three loads
    #[arg(long, default_value = "9")]
    rounds: NonZeroU16,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Uploads {
    /// Length of a round, in seconds
    #[arg(long, default_value = "5")]
    seconds: NonZeroU16,
    /// Rounds of each peer with each of two sizes
    #[arg(long, default_value = "9")]
    rounds: NonZeroU16,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Seams {
    /// WAV files of speech, joined to one stream; what is said stands in a .txt beside each
    #[arg(required = true, value_name = "WAV")]
    files: Vec<PathBuf>,
    /// Points at which the node is killed, one in each round
    #[arg(long, default_value = "100")]
    cuts: NonZeroU16,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct BareRelay {
    /// Where to
    #[arg(long)]
    to: SocketAddr,
}

#[derive(Debug, clap::Args)]
struct Decide {
    /// Nodes in the fleet
    #[arg(long, default_value = "10000")]
    nodes: NonZeroU32,
    /// Pools they are spread over, at most 64
    #[arg(long, default_value = "64", value_parser = clap::value_parser!(u8).range(1..=64))]
    pools: u8,
    /// Threads that decide at the same time
    #[arg(long, default_value = "1")]
    threads: NonZeroU16,
    /// Decisions of each thread, in thousands
    #[arg(long, default_value = "1000")]
    thousands: NonZeroU32,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Place {
    /// Nodes whose agents report every second, each over a connection of its own
    #[arg(long, default_value = "1000")]
    agents: NonZeroU32,
    /// Callers that ask at the same time, over one connection
    #[arg(long, default_value = "16")]
    callers: NonZeroU16,
    /// Length of a round, in seconds
    #[arg(long, default_value = "5")]
    seconds: NonZeroU16,
    /// Rounds of router and echo each
    #[arg(long, default_value = "9")]
    rounds: NonZeroU16,
    /// Let the router keep leases in this Redis, which should hold nothing else
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.subject {
            Subject::Streams(streams) => streams.run().await,
            Subject::Relay(relay) => relay.run().await,
            Subject::Uploads(uploads) => uploads.run().await,
            Subject::Seams(seams) => seams.run().await,
            Subject::BareRelay(bare) => bare.run().await,
            Subject::Decide(decide) => decide.run().await,
            Subject::Place(place) => place.run().await,
            Subject::Echo => echo().await,
        }
    }
}

impl Output {
    fn show(&self, report: &(impl Serialize + Display)) -> anyhow::Result<()> {
        if self.json {
            print_json(&serde_json::to_value(report)?)?;
        } else {
            print(&report.to_string())?;
        }
        Ok(())
    }
}

impl Relay {
    async fn run(self) -> anyhow::Result<()> {
        let duration = Duration::from_secs(self.seconds.get().into());
        let binary = this_program()?;
        let proxy = self.proxy.unwrap_or_else(|| binary.clone());
        let options = relay::Options { binary, proxy, duration, rounds: self.rounds };
        let progress = progress();
        let report = tokio::task::spawn_blocking(move || relay::run(&options, progress)).await??;
        self.output.show(&report)?;
        anyhow::ensure!(report.passed(), "a stream failed");
        Ok(())
    }
}

impl Uploads {
    async fn run(self) -> anyhow::Result<()> {
        let duration = Duration::from_secs(self.seconds.get().into());
        let options = uploads::Options { binary: this_program()?, duration, rounds: self.rounds };
        let progress = progress();
        let report = tokio::task::spawn_blocking(move || uploads::run(&options, progress)).await??;
        self.output.show(&report)?;
        anyhow::ensure!(report.passed(), "a file was not answered");
        Ok(())
    }
}

impl Seams {
    async fn run(self) -> anyhow::Result<()> {
        let options = seams::Options { binary: this_program()?, files: self.files, cuts: self.cuts };
        let progress = progress();
        let report = tokio::task::spawn_blocking(move || seams::run(&options, progress)).await??;
        self.output.show(&report)
    }
}

impl BareRelay {
    /// Relays until standard input closes.
    async fn run(self) -> anyhow::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        print(&json!({ "address": listener.local_addr()?.to_string() }).to_string())?;
        std::thread::spawn(move || relay::relay(listener, self.to));
        parent_gone().await;
        Ok(())
    }
}

impl Decide {
    async fn run(self) -> anyhow::Result<()> {
        let pools = NonZeroU8::new(self.pools).context("at least one pool")?;
        let Self { nodes, threads, thousands, .. } = self;
        let options = decisions::Options { nodes, pools, threads, thousands };
        let report = tokio::task::spawn_blocking(move || decisions::run(options)).await??;
        self.output.show(&report)?;
        Ok(())
    }
}

impl Place {
    async fn run(self) -> anyhow::Result<()> {
        let options = place::Options {
            binary: this_program()?,
            agents: self.agents,
            callers: self.callers,
            duration: Duration::from_secs(self.seconds.get().into()),
            rounds: self.rounds,
            redis: self.redis,
        };
        let progress = progress();
        let report = tokio::task::spawn_blocking(move || place::run(&options, progress)).await??;
        self.output.show(&report)?;
        anyhow::ensure!(report.passed(), "a caller was refused");
        Ok(())
    }
}

/// Answers until standard input closes.
async fn echo() -> anyhow::Result<()> {
    let echo = place::Echo::listen().await?;
    print(&json!({ "address": echo.address()?.to_string() }).to_string())?;
    tokio::select! {
        () = parent_gone() => Ok(()),
        served = echo.serve() => Ok(served?),
    }
}

impl Streams {
    async fn run(self) -> anyhow::Result<()> {
        let options = Options {
            streams: self.streams,
            duration: Duration::from_secs(self.seconds.get().into()),
            rounds: self.rounds,
            ..Options::new(this_program()?)
        };
        let progress = progress();
        let report = tokio::task::spawn_blocking(move || run(&options, progress)).await??;
        self.output.show(&report)?;
        anyhow::ensure!(report.passed(), "a stream failed or a word was lost, doubled or wrong");
        Ok(())
    }
}

fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find this program")
}

fn progress() -> Progress {
    if is_watched() { Progress::Shown } else { Progress::Hidden }
}
