//! `crosspoint simulate`: the scheduler over recorded or drawn days, beside baselines and under bounds.

mod compare;
mod explain;
mod files;
mod report;

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use simulator::policy::NAMES;
use simulator::replay::replay;

use crate::terminal::{is_watched, note, print, print_json_line};
use compare::{Compared, Tuning, compare};
use files::Files;

const EXAMPLES: &str = "\
Scenarios that are built in:
  S, S-streams (without files)                     a synthetic week, needs no trace
  W1, W2, W3, W5a, W1-streams … W3-streams         recorded weeks, need traces
  W8                                               Erlang's formula
  X1 crashes, X2 zone lost, X3 provider lost, X4 slow nodes, X5 no reports, X6 launches fail, X7 router cut off, X8 spot
  price doubles, storm (600 streams placed anew)   failures, need no trace
Policies that are built in: crosspoint and the baselines
  round_robin random least_loaded two_choices peak_ewma weighted cheapest    placement, under our scaling
  target_tracking spot_hedge hpa static_peak                                 scaling
Each has our mechanisms, so that only the policy differs; NAME/a has none of them, as it was published.
Anything else is the path of a file.

Examples:
  crosspoint simulate S
  crosspoint simulate W1 W3 --traces traces --seeds 10 --json > results.jsonl
  crosspoint simulate S --policy crosspoint --policy hpa --policy hpa/a --tune
  crosspoint simulate S --policy crosspoint --for 2days --seeds 10 --explain-loss
  crosspoint simulate mine.yaml --policy mine-policy.yaml --plot plots
  crosspoint simulate --replay decisions.jsonl --policy round_robin --policy mine-policy.yaml";

/// Who is compared where nobody is named.
const USUAL: [&str; 8] =
    ["crosspoint", "target_tracking", "spot_hedge", "hpa", "static_peak", "spot_hedge/a", "hpa/a", "static_peak/a"];

/// The arguments of `crosspoint simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Scenarios: built-in names or files
    #[arg(value_name = "SCENARIO", required_unless_present = "replay")]
    scenarios: Vec<String>,
    /// Who is compared: built-in names or files; `all` for everybody; the first is what the others are measured against
    #[arg(long = "policy", value_name = "POLICY")]
    policies: Vec<String>,
    /// Runs per policy, each with other dice; the scenario's own number where it is not given
    #[arg(long, value_name = "N")]
    seeds: Option<NonZeroU64>,
    /// Simulates as much time, such as `2days`, instead of the scenario's own
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Where traces are that a scenario names, besides its own directory and this one
    #[arg(long, value_name = "DIR")]
    traces: Vec<PathBuf>,
    /// Try every setting of each baseline's one knob, and show the cheapest that keeps 99.95 %
    #[arg(long)]
    tune: bool,
    #[command(flatten)]
    besides: Besides,
    /// Make the decisions of this log again by --policy, a way of placing or a file, and show what would have changed
    #[arg(long, value_name = "DECISIONS", conflicts_with_all = ["scenarios", "plot", "tune", "seeds", "explain_loss", "duration"], requires = "policies")]
    replay: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// What is looked into besides.
#[derive(Debug, clap::Args)]
struct Besides {
    /// Run the first policy in worlds that each lack one imperfection, and show what it costs
    #[arg(long)]
    explain_loss: bool,
}

/// How results are shown.
#[derive(Debug, clap::Args)]
struct Output {
    /// Print one JSON object per line and run
    #[arg(long)]
    json: bool,
    /// Draw cost against service, and the days of the first seed, as SVG
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        // Nothing else happens in this process, and it computes for minutes.
        tokio::task::spawn_blocking(move || self.simulate()).await?
    }

    fn simulate(self) -> anyhow::Result<()> {
        let files = Files::new(&self.traces);
        if let Some(log) = &self.replay {
            return self.what_if(log, &files);
        }
        let mut all = Vec::new();
        for name in &self.scenarios {
            let case = files.case(name, self.duration)?;
            let seeds = self.seeds.map_or(case.seeds, NonZeroU64::get);
            let tuning = if self.tune { Tuning::Grid } else { Tuning::Published };
            let compared = compare(&case, seeds, &self.contenders(), &files, tuning)?;
            self.show(&compared)?;
            if self.besides.explain_loss {
                self.explain(&compared, &files)?;
            }
            all.push(compared);
        }
        self.draw(&all)
    }

    fn explain(&self, compared: &Compared, files: &Files) -> anyhow::Result<()> {
        let Some(first) = self.contenders().into_iter().next() else { return Ok(()) };
        let ideals = explain::ideals(compared, &first, files)?;
        if self.output.json {
            let mut runs = ideals.iter().flat_map(|(_, outcomes)| outcomes);
            return runs.try_for_each(|outcome| Ok(print_json_line(&serde_json::to_value(outcome)?)?));
        }
        Ok(print(&report::of_ideals(compared, &ideals))?)
    }

    fn what_if(&self, log: &Path, files: &Files) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
        for name in &self.policies {
            let contender = files.policy(name)?;
            let what_if = replay(&text, &contender.choice()).with_context(|| log.display().to_string())?;
            if self.output.json {
                print_json_line(&serde_json::to_value(what_if)?)?;
            } else {
                print(&report::of_replay(&contender.name, &what_if))?;
            }
        }
        Ok(())
    }

    fn contenders(&self) -> Vec<String> {
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        match self.policies.as_slice() {
            [] => named(&USUAL),
            [all] if all == "all" => {
                let published = NAMES.iter().skip(1).map(|name| format!("{name}/a"));
                named(&NAMES).into_iter().chain(published).collect()
            }
            given => given.to_vec(),
        }
    }

    fn show(&self, compared: &Compared) -> anyhow::Result<()> {
        if self.output.json {
            for run in compared.runs() {
                print_json_line(&serde_json::to_value(&run.outcome)?)?;
            }
            return Ok(());
        }
        Ok(print(&report::of(compared))?)
    }

    fn draw(&self, all: &[Compared]) -> anyhow::Result<()> {
        let Some(dir) = &self.output.plot else { return Ok(()) };
        std::fs::create_dir_all(dir)?;
        for (name, svg) in all.iter().flat_map(compare::drawings) {
            let path = dir.join(name);
            std::fs::write(&path, svg)?;
            if is_watched() {
                note(&format!("drew {}", path.display()));
            }
        }
        Ok(())
    }
}
