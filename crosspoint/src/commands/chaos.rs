//! `crosspoint chaos`: what callers notice when processes die, hang and lose each other.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use loadtest::Progress;
use loadtest::chaos::{DEFAULT_SCENARIO, Scenario, run};

use crate::terminal::{is_watched, note, print, print_json};

const EXAMPLES: &str = "\
Use a release build; redis-server must be installed where routers share one:
  crosspoint chaos
  crosspoint chaos --minutes 1 --streams 40 --seed 7
  crosspoint chaos --print > mine.yaml; crosspoint chaos --scenario mine.yaml --json";

/// The arguments of `crosspoint chaos`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line, independent of each other")]
pub(crate) struct Args {
    /// What is started, who calls and what goes wrong; without it, the default
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// How long things are broken
    #[arg(long)]
    minutes: Option<NonZeroU16>,
    /// Streams at the same time
    #[arg(long)]
    streams: Option<NonZeroU16>,
    /// From one fault to the next
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    every: Option<Duration>,
    /// Where the dice begin; without it, anywhere
    #[arg(long)]
    seed: Option<u64>,
    /// Print the default scenario and do nothing
    #[arg(long)]
    print: bool,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        if self.print {
            return Ok(print(DEFAULT_SCENARIO)?);
        }
        let scenario = self.scenario()?;
        let seed = self.seed.unwrap_or_else(|| rand::random::<u32>().into());
        note(&format!("seed {seed}"));
        let binary = std::env::current_exe().context("cannot find this program")?;
        let progress = if is_watched() { Progress::Shown } else { Progress::Hidden };
        let report = tokio::task::spawn_blocking(move || run(binary, &scenario, (seed, progress))).await??;
        if self.json {
            print_json(&serde_json::to_value(&report)?)?;
        } else {
            print(&report.to_string())?;
        }
        anyhow::ensure!(report.passed(), "a promise was not kept (seed {seed})");
        Ok(())
    }

    /// Reads the scenario and lays the arguments over it.
    fn scenario(&self) -> anyhow::Result<Scenario> {
        let mut scenario = match &self.scenario {
            None => Scenario::read(DEFAULT_SCENARIO)?,
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                Scenario::read(&text).with_context(|| format!("{} cannot be played", path.display()))?
            }
        };
        scenario.streams = self.streams.unwrap_or(scenario.streams);
        scenario.every = self.every.filter(|every| !every.is_zero()).unwrap_or(scenario.every);
        scenario.lasts =
            self.minutes.map_or(scenario.lasts, |minutes| Duration::from_secs(60) * u32::from(minutes.get()));
        Ok(scenario)
    }
}
