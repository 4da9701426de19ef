//! `crosspoint keys create`.

use std::num::{NonZeroU32, NonZeroU64};

use clap::builder::PossibleValuesParser;
use serde::Serialize;
use serde_json::{Map, Value, json};
use store::Scope;

use crate::admin::{AdminArgs, NewKey};
use crate::terminal::{note, print, print_json};

const EXAMPLES: &str = "\
Scopes:
  listen      streams: GET /v1/listen
  transcribe  files: POST /v1/listen and /v1/audio/transcriptions
  models      GET /v1/models
  usage       what the key has used

Examples:
  crosspoint keys create --tenant acme
  crosspoint keys create --tenant acme --label \"call centre\" --scope listen --pool on-prem --streams 20
  crosspoint keys create --tenant acme --residency eu --per-minute 60 --audio-minutes 1000 --expires 90d
  KEY=$(crosspoint keys create --tenant acme)
  crosspoint keys create --tenant acme --json | jq -r .key";

/// The arguments of `crosspoint keys create`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Whose key it is: letters, digits, '.', '_', ':', '/' and '-'
    #[arg(long)]
    tenant: String,
    /// What people call it
    #[arg(long, default_value = "")]
    label: String,
    /// What it may be used for; may be given more than once, without it everything
    #[arg(long = "scope", value_name = "SCOPE", value_parser = PossibleValuesParser::new(Scope::ALL.map(Scope::label)))]
    scopes: Vec<String>,
    /// A pool that may serve it; may be given more than once, without it every pool
    #[arg(long = "pool", value_name = "POOL")]
    pools: Vec<String>,
    /// Where its audio must stay, such as eu
    #[arg(long)]
    residency: Option<String>,
    /// How long it lives, such as 12h or 90d; without it, until it is revoked
    #[arg(long, value_name = "DURATION")]
    expires: Option<humantime::Duration>,
    #[command(flatten)]
    limits: LimitArgs,
    /// What it is for, as it stands in the key itself: small letters and digits
    #[arg(long, value_name = "WORD", default_value = "live")]
    environment: String,
    #[command(flatten)]
    admin: AdminArgs,
}

/// How much the key may use.
#[derive(Debug, Serialize, clap::Args)]
struct LimitArgs {
    /// The most streams and files at one time
    #[arg(long, value_name = "N")]
    #[serde(rename = "concurrent")]
    streams: Option<NonZeroU32>,
    /// The most new streams and files in a minute
    #[arg(long, value_name = "N")]
    #[serde(rename = "sessions_per_minute")]
    per_minute: Option<NonZeroU32>,
    /// The most minutes of audio in a day (UTC)
    #[arg(long, value_name = "N")]
    #[serde(rename = "audio_minutes_per_day")]
    audio_minutes: Option<NonZeroU32>,
    /// The most bytes of uploads in a minute
    #[arg(long, value_name = "BYTES")]
    #[serde(rename = "upload_bytes_per_minute")]
    upload_bytes: Option<NonZeroU64>,
}

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let admin = self.admin.admin()?;
        let answer = admin.post("/v1/keys", &self.order()).await?;
        if self.admin.json {
            return Ok(print_json(&answer)?);
        }
        let NewKey { key, record, proxies_know } = admin.read(answer)?;
        note(&format!("key {} for tenant {}; it is shown this once, keep it now:", record.id, record.tenant));
        print(&key)?;
        if proxies_know != "now" {
            note(&format!("the proxies will know it {proxies_know}"));
        }
        Ok(())
    }

    /// What is not said is left out, so that older routers understand as much as they can.
    fn order(&self) -> Value {
        let all = json!({
            "tenant": self.tenant,
            "label": self.label,
            "environment": self.environment,
            "scopes": self.scopes,
            "pools": self.pools,
            "residency": self.residency,
            "limits": self.limits,
            "expires_in_seconds": self.expires.map(|life| life.as_secs()),
        });
        let said = |value: &Value| !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty());
        let fields = all.as_object().cloned().unwrap_or_default().into_iter();
        Value::Object(fields.filter(|(_, value)| said(value)).collect::<Map<_, _>>())
    }
}
