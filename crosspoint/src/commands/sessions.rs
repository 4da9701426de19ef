//! `crosspoint sessions`.

use std::num::NonZeroU16;

use crate::admin::{AdminArgs, Session, Sessions};
use crate::table::{Column, render};
use crate::terminal::Paint;
use crate::words;

const COLUMNS: [Column; 10] = [
    Column::Left("SESSION"),
    Column::Left("TENANT"),
    Column::Left("MODEL"),
    Column::Left("WORK"),
    Column::Left("STATE"),
    Column::Left("NODE"),
    Column::Left("POOL"),
    Column::Right("AGE"),
    Column::Right("AUDIO"),
    Column::Right("COST"),
];

const EXAMPLES: &str = "\
Columns:
  STATE   placed, live, ended and why, or lost: its proxy has said nothing of it for 15 s

Examples:
  crosspoint sessions
  crosspoint sessions --limit 5
  crosspoint sessions --json | jq '[.sessions[].cost.total] | add'";

/// The arguments of `crosspoint sessions`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The most sessions to list, newest first
    #[arg(long, value_name = "N", default_value = "20")]
    limit: NonZeroU16,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let admin = self.admin.admin()?;
        let answer = admin.get(&format!("/v1/sessions?limit={}", self.limit)).await?;
        self.admin.show(&admin, answer, table)
    }
}

fn table(Sessions { sessions }: &Sessions) -> String {
    if sessions.is_empty() {
        return "no sessions yet: try `crosspoint transcribe FILE`".to_owned();
    }
    render(&COLUMNS, sessions.iter().map(row), Paint::stdout())
}

fn row(session: &Session) -> Vec<String> {
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
    vec![
        session.session.clone(),
        session.tenant.clone(),
        session.model.clone(),
        session.work.clone(),
        session.standing(),
        name(&session.node),
        name(&session.pool),
        words::duration(session.age_ms),
        words::duration(session.audio_seconds * 1e3),
        words::dollars(session.cost.total),
    ]
}
