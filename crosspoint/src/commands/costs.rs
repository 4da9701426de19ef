//! `crosspoint costs`.

use clap::ValueEnum;

use crate::admin::{AdminArgs, Costs, Spent};
use crate::table::{Column, render};
use crate::terminal::Paint;

const EXAMPLES: &str = "\
Columns:
  AUDIO h   hours of audio accepted from callers; what a failover sends again is free
  GPU h     hours for which slots were held; a node of four slots can be held four hours in one
  IN, OUT   megabytes (10^6 bytes) of audio from callers and of results to them
  GPU $     the slots' share of their nodes' price
  EGRESS $  sending the audio to the nodes
  TOTAL $   both

Days are in UTC and kept for 400 days. What is live is at most 5 s behind.

Examples:
  crosspoint costs
  crosspoint costs --by key --since 2026-11-01
  crosspoint costs --by day --key cp_1a2b3c
  crosspoint costs --json | jq .total.cost.total";

/// The arguments of `crosspoint costs`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to sum up by
    #[arg(long, value_enum, default_value = "pool")]
    by: By,
    /// The first day, such as 2026-11-01; without it, 30 days ago
    #[arg(long, value_name = "DAY")]
    since: Option<String>,
    /// One key alone, by its public id
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

/// What costs are summed up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    Pool,
    Key,
    Day,
    Model,
}

impl By {
    fn word(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Key => "key",
            Self::Day => "day",
            Self::Model => "model",
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Self::Pool => "POOL",
            Self::Key => "KEY",
            Self::Day => "DAY",
            Self::Model => "MODEL",
        }
    }
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let admin = self.admin.admin()?;
        let answer = admin.get(&format!("/v1/costs?{}", self.query())).await?;
        self.admin.show(&admin, answer, |costs| table(costs, self.by, Paint::stdout()))
    }

    fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("by", self.by.word());
        for (name, value) in [("since", &self.since), ("key", &self.key)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        query.finish()
    }
}

fn table(costs: &Costs, by: By, paint: Paint) -> String {
    let Costs { since, until, costs, total } = costs;
    if costs.is_empty() {
        return format!("nothing was used from {since} to {until}\n");
    }
    let columns = [
        Column::Left(by.heading()),
        Column::Right("SESSIONS"),
        Column::Right("AUDIO h"),
        Column::Right("GPU h"),
        Column::Right("IN MB"),
        Column::Right("OUT MB"),
        Column::Right("GPU $"),
        Column::Right("EGRESS $"),
        Column::Right("TOTAL $"),
    ];
    let rows = costs.iter().map(|spent| row(&spent.name, spent)).chain([row("total", total)]);
    format!("{}\nfrom {since} to {until}, days in UTC\n", render(&columns, rows, paint))
}

fn row(name: &str, spent: &Spent) -> Vec<String> {
    let hours = |seconds: f64| format!("{:.3}", seconds / 3_600.0);
    let megabytes = |bytes: f64| format!("{:.2}", bytes / 1e6);
    let dollars = |amount: f64| format!("{amount:.6}");
    vec![
        name.to_owned(),
        spent.sessions.to_string(),
        hours(spent.audio_seconds),
        hours(spent.gpu_seconds),
        megabytes(spent.bytes_in),
        megabytes(spent.bytes_out),
        dollars(spent.cost.gpu),
        dollars(spent.cost.egress),
        dollars(spent.cost.total),
    ]
}
