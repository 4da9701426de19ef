//! `crosspoint proxy`.

use std::sync::Arc;
use std::time::Duration;

use process::Shutdown;
use proxy::JwtConfig;
use proxy::UsageJournal;
use serde_json::json;
use store::{Embedded, KeyIndex, Keyring, Quotas, Redis, Secret, StoreConfig};
use tracing::warn;

use crate::config::Config;
use crate::reload;
use crate::roles::RoleArgs;

const EXAMPLES: &str = "\
Examples:
  crosspoint proxy --dev-key secret
  crosspoint proxy --config crosspoint.yaml
  CROSSPOINT__STORE__REDIS=redis://10.0.0.9:6379 crosspoint proxy      opened by the keys of `crosspoint keys`
  CROSSPOINT__PROXY__LISTEN=127.0.0.1:9090 crosspoint proxy --dev-key secret";

/// The arguments of `crosspoint proxy`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    role: RoleArgs,
    /// A key for development, accepted from this machine only, beside those of `crosspoint keys`
    #[arg(long, value_name = "KEY", env = "CROSSPOINT_DEV_KEY", hide_env_values = true)]
    dev_key: Option<String>,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = self.role.start()?;
        let dev_key = self.dev_key.as_deref();
        let Shared { index, quotas } = Shared::new(&config.store)?;
        let keyring = keyring(index, dev_key)?;
        let others = other_openers(dev_key, config.proxy.jwt.as_ref());
        let drain = config.proxy.drain;
        let usage = match config.proxy.handover {
            Some(_) => UsageJournal::open_beside_others(&config.store)?,
            None => UsageJournal::open(&config.store)?,
        };
        let app = config.proxy.build(config.models, keyring, quotas, usage).await?;
        let addresses = json!({
            "role": "proxy",
            "pid": std::process::id(),
            "address": app.address(),
            "tls": app.tls_address(),
            "metrics": app.metrics_address(),
        });
        let secure = app.tls_address().map_or_else(String::new, |address| format!(" and https://{address}"));
        let words = format!("proxy: callers http://{}{secure}", app.address());
        if config.store.redis.is_none() {
            warn!(opens = others, "store.redis is not set: keys of `crosspoint keys` are not known here");
        }
        let shutdown = Shutdown::new();
        let (reins, file) = (app.reins(), self.role.config.clone());
        let load = move || Config::load(file.as_deref());
        let apply = move |next: &Config| reins.apply(next.models.clone(), next.proxy.limits);
        reload::start(reload::PROXY, self.role.config.clone(), (load, apply), &shutdown);
        shutdown.spawn("proxy", app.run(shutdown.clone()));
        self.role.announce(&addresses, &words)?;
        // The sessions end themselves at `drain`; the second is for their farewells.
        self.role.until_done(&shutdown, drain + Duration::from_secs(6)).await;
        Ok(())
    }
}

/// What proxies have in common: which keys there are, and what was used of their limits.
struct Shared {
    index: Arc<dyn KeyIndex>,
    quotas: Arc<dyn Quotas>,
}

impl Shared {
    /// Finds both in the store that is configured, or nowhere.
    fn new(config: &StoreConfig) -> anyhow::Result<Self> {
        Ok(match &config.redis {
            Some(servers) => Self::on(Arc::new(Redis::new(servers, config.timeout)?)),
            None => Self::on(Arc::new(Embedded::new())),
        })
    }

    fn on(store: Arc<impl KeyIndex + Quotas + 'static>) -> Self {
        Self { index: store.clone(), quotas: store }
    }
}

/// Tells what opens a proxy beside keys.
fn other_openers(dev_key: Option<&str>, jwt: Option<&JwtConfig>) -> &'static str {
    match (dev_key, jwt) {
        (Some(_), Some(_)) => "the dev key and tokens open this proxy",
        (Some(_), None) => "the dev key alone opens this proxy",
        (None, Some(_)) => "tokens alone open this proxy",
        (None, None) => "nothing opens this proxy, every caller is refused",
    }
}

/// Makes a keyring on an index, with the dev key where there is one.
pub(crate) fn keyring(index: Arc<dyn KeyIndex>, dev_key: Option<&str>) -> anyhow::Result<Keyring> {
    let keyring = Keyring::new(index);
    Ok(match dev_key {
        Some(key) => keyring.with_dev_key(&Secret::new(key), "dev".parse()?),
        None => keyring,
    })
}
