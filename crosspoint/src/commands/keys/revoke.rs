//! `crosspoint keys revoke`.

use serde_json::json;

use crate::admin::{AdminArgs, RevokedKey};

const EXAMPLES: &str = "\
Examples:
  crosspoint keys revoke 7Hq2mXc04TbZ
  crosspoint keys list --tenant acme --json | jq -r '.keys[].id' | xargs -n 1 crosspoint keys revoke";

/// The arguments of `crosspoint keys revoke`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The key's id, as `crosspoint keys list` shows it
    id: String,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        // Who pastes a whole key has shown it: it goes nowhere from here, and is not repeated.
        let is_id = self.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        anyhow::ensure!(is_id, "expected an id such as 7Hq2mXc04TbZ (`crosspoint keys list`), not the key itself");
        let admin = self.admin.admin()?;
        let answer = admin.post(&format!("/v1/keys/{}/revoke", self.id), &json!({})).await?;
        self.admin.show(&admin, answer, text)
    }
}

fn text(RevokedKey { record, proxies_know }: &RevokedKey) -> String {
    let when = record.revoked_at.as_deref().unwrap_or_default();
    let bites = if proxies_know == "now" {
        "nothing new opens with it within 5 s, open streams end within 30 s".to_owned()
    } else {
        format!("it goes on opening known proxies until they hear of it: {proxies_know}")
    };
    format!("key {} of tenant {} is revoked since {when}: {bites}", record.id, record.tenant)
}
