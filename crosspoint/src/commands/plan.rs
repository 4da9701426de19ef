//! `crosspoint plan`.

use crate::admin::{AdminArgs, Plan, PlannedPool};
use crate::table::{Column, render};
use crate::terminal::Paint;
use crate::words;

const COLUMNS: [Column; 7] = [
    Column::Left("POOL"),
    Column::Right("READY"),
    Column::Right("BOOTING"),
    Column::Right("DRAINING"),
    Column::Right("WANTED"),
    Column::Left("WHY"),
    Column::Left("STEPS"),
];

const EXAMPLES: &str = "\
Columns:
  READY      nodes that take sessions
  BOOTING    nodes that start
  DRAINING   nodes that finish their sessions, or whose engine fails
  WANTED     nodes that the pool should have
  WHY        what decides that number
  STEPS      what would be done now

Examples:
  crosspoint plan
  crosspoint plan --json | jq '.pools[] | {pool, wanted}'";

/// The arguments of `crosspoint plan`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    admin: AdminArgs,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let admin = self.admin.admin()?;
        let answer = admin.get("/v1/plan").await?;
        self.admin.show(&admin, answer, text)
    }
}

fn text(plan: &Plan) -> String {
    let table = render(&COLUMNS, plan.pools.iter().map(row), Paint::stdout());
    format!("{table}\n{}", summary(plan))
}

fn row(part: &PlannedPool) -> Vec<String> {
    vec![
        part.pool.clone(),
        part.ready.to_string(),
        part.booting.to_string(),
        part.draining.to_string(),
        part.wanted.to_string(),
        part.text.clone(),
        steps(part),
    ]
}

fn steps(part: &PlannedPool) -> String {
    let launch = (part.launch > 0).then(|| format!("launch {}", part.launch));
    let named =
        [("take back", &part.undrain), ("drain", &part.drain), ("clear", &part.clear), ("end", &part.terminate)];
    let named = named.into_iter().filter(|(_, nodes)| !nodes.is_empty());
    let named = named.map(|(verb, nodes)| format!("{verb} {}", nodes.join(" ")));
    let steps: Vec<String> = launch.into_iter().chain(named).collect();
    if steps.is_empty() { "-".to_owned() } else { steps.join(", ") }
}

fn summary(plan: &Plan) -> String {
    let Plan { streams, batch, required_slots, wanted_slots, target, age_ms, leader, .. } = plan;
    let percent = target * 100.0;
    let mut lines = format!(
        "{streams:.0} slots in use or waited for, {batch:.0} for batch: {required_slots:.0} required at {percent:.0} % \
         filled, {wanted_slots:.0} wanted.\n"
    );
    let short: f64 = plan.short.iter().map(|short| short.slots).sum();
    if short > 0.0 {
        lines += &format!("{short:.0} slots are lacking: every pool that may serve those sessions is at a limit.\n");
    }
    lines += &format!("Planned {} ago by {leader}.", words::duration(*age_ms));
    if plan.dry_run {
        lines += " Dry run: nothing is launched or ended.";
    }
    lines + "\n"
}
