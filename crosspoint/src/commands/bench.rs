//! `crosspoint bench`: what Crosspoint costs, measured on this machine.

use std::num::NonZeroU16;
use std::time::Duration;

use anyhow::Context;
use loadtest::Progress;
use loadtest::streams::{Options, run};

use crate::terminal::{is_watched, print, print_json};

const EXAMPLES: &str = "\
Use a release build, on a machine that has nothing else to do:
  crosspoint bench streams
  crosspoint bench streams --streams 100 --seconds 10 --rounds 1
  crosspoint bench streams --json > figures.json";

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
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let Subject::Streams(streams) = self.subject;
        streams.run().await
    }
}

impl Streams {
    async fn run(self) -> anyhow::Result<()> {
        let options = Options {
            streams: self.streams,
            duration: Duration::from_secs(self.seconds.get().into()),
            rounds: self.rounds,
            ..Options::new(std::env::current_exe().context("cannot find this program")?)
        };
        let progress = if is_watched() { Progress::Shown } else { Progress::Hidden };
        let report = tokio::task::spawn_blocking(move || run(&options, progress)).await??;
        if self.json {
            print_json(&serde_json::to_value(&report)?)?;
        } else {
            print(&report.to_string())?;
        }
        anyhow::ensure!(report.passed(), "a stream failed or a word was lost, doubled or wrong");
        Ok(())
    }
}
