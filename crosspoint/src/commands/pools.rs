//! `crosspoint pools`.

use crate::admin::{AdminArgs, Pool, Pools};
use crate::table::{Column, render};
use crate::terminal::Paint;
use crate::words;

const COLUMNS: [Column; 11] = [
    Column::Left("POOL"),
    Column::Left("PROVIDER"),
    Column::Left("REGION"),
    Column::Left("TIER"),
    Column::Left("MARKET"),
    Column::Right("$/HOUR"),
    Column::Right("$/GB"),
    Column::Right("RTT"),
    Column::Right("NODES"),
    Column::Right("SLOTS"),
    Column::Left("AUDIO IN"),
];

const EXAMPLES: &str = "\
Columns:
  $/HOUR     one node for one hour, at the margin
  $/GB       one gigabyte of audio sent there
  RTT        round trip from the proxies
  NODES      serving / reported
  SLOTS      streams in use / served well at once
  AUDIO IN   where it is processed, and what the pool was audited for

Examples:
  crosspoint pools
  crosspoint pools --json | jq '.pools[] | {name, used: .used_slots}'";

/// The arguments of `crosspoint pools`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    admin: AdminArgs,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let admin = self.admin.admin()?;
        let answer = admin.get("/v1/pools").await?;
        self.admin.show(&admin, answer, table)
    }
}

fn table(Pools { pools }: &Pools) -> String {
    if pools.is_empty() {
        return "no pools: this router's configuration lists none".to_owned();
    }
    render(&COLUMNS, pools.iter().map(row), Paint::stdout())
}

fn row(pool: &Pool) -> Vec<String> {
    vec![
        pool.name.clone(),
        pool.provider.clone(),
        pool.region.clone(),
        pool.tier.clone(),
        pool.market.clone(),
        price(pool.price.node_hour),
        price(pool.price.egress_gb),
        words::duration(pool.round_trip_ms),
        format!("{}/{}", pool.serving, pool.nodes),
        format!("{}/{}", pool.used_slots, pool.soft_slots),
        std::iter::once(&pool.residency).chain(&pool.compliance).map(String::as_str).collect::<Vec<_>>().join(" "),
    ]
}

fn price(dollars: f64) -> String {
    if dollars == 0.0 { "-".to_owned() } else { format!("{dollars:.2}") }
}
