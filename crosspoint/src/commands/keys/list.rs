//! `crosspoint keys list`.

use crate::admin::{AdminArgs, Key, Keys};
use crate::table::{Column, render};
use crate::terminal::{Paint, note};

const COLUMNS: [Column; 8] = [
    Column::Left("ID"),
    Column::Left("TENANT"),
    Column::Left("LABEL"),
    Column::Left("STATE"),
    Column::Left("SCOPES"),
    Column::Left("POOLS"),
    Column::Left("CREATED"),
    Column::Left("EXPIRES"),
];

const EXAMPLES: &str = "\
Columns:
  ID      the key's public name, as in logs and bills; never the key itself
  STATE   active, expired or revoked
  POOLS   the only pools that may serve it, and where its audio must stay

Examples:
  crosspoint keys list
  crosspoint keys list --tenant acme
  crosspoint keys list --json | jq '.keys[] | select(.state == \"active\") | .id'";

/// The arguments of `crosspoint keys list`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Only the keys of this tenant
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let admin = self.admin.admin()?;
        let mut answer = admin.get("/v1/keys").await?;
        if let (Some(tenant), Some(keys)) = (&self.tenant, answer["keys"].as_array_mut()) {
            keys.retain(|key| key["tenant"] == tenant.as_str());
        }
        self.admin.show(&admin, answer, table)
    }
}

fn table(Keys { keys, complete }: &Keys) -> String {
    if !complete {
        note("the store is away: only the keys that this router made or revoked are listed");
    }
    if keys.is_empty() {
        return "no keys: try `crosspoint keys create --tenant NAME`".to_owned();
    }
    render(&COLUMNS, keys.iter().map(row), Paint::stdout())
}

fn row(key: &Key) -> Vec<String> {
    let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let day = |time: &str| time.split('T').next().unwrap_or(time).to_owned();
    let pools = key.pools.as_ref().map_or_else(|| "all".to_owned(), |pools| pools.join(" "));
    let place = key.residency.as_ref().map(|residency| format!(" in {residency}")).unwrap_or_default();
    let state = key.revoked_at.as_ref().map_or_else(|| key.state.clone(), |time| format!("revoked {}", day(time)));
    vec![
        key.id.clone(),
        key.tenant.clone(),
        dash(key.label.clone()),
        state,
        dash(key.scopes.join(" ")),
        format!("{pools}{place}"),
        day(&key.created_at),
        key.expires_at.as_deref().map_or_else(|| "never".to_owned(), day),
    ]
}
