//! `crosspoint proxy`.

use std::sync::Arc;
use std::time::Duration;

use process::Shutdown;
use proxy::UsageJournal;
use serde_json::json;
use store::{Embedded, KeyIndex, Keyring, Redis, Secret, StoreConfig};
use tracing::warn;

use crate::config::Config;
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
        let keyring = keyring(index(&config, dev_key)?, dev_key)?;
        let drain = config.proxy.drain;
        let usage = UsageJournal::open(&config.store)?;
        let app = config.proxy.build(config.models, keyring, usage).await?;
        let addresses = json!({
            "role": "proxy",
            "pid": std::process::id(),
            "address": app.address(),
            "tls": app.tls_address(),
            "metrics": app.metrics_address(),
        });
        let secure = app.tls_address().map_or_else(String::new, |address| format!(" and https://{address}"));
        let words = format!("proxy: callers http://{}{secure}", app.address());
        let shutdown = Shutdown::new();
        shutdown.spawn("proxy", app.run(shutdown.clone()));
        self.role.announce(&addresses, &words)?;
        // The sessions end themselves at `drain`; the second is for their farewells.
        self.role.until_done(&shutdown, drain + Duration::from_secs(6)).await;
        Ok(())
    }
}

/// Finds keys in the store that is configured. Without one only the dev key and tokens open anything, which is said.
fn index(config: &Config, dev_key: Option<&str>) -> anyhow::Result<Arc<dyn KeyIndex>> {
    let StoreConfig { redis, timeout, .. } = &config.store;
    if let Some(url) = redis {
        return Ok(Arc::new(Redis::new(url, *timeout)?));
    }
    let opens = match (dev_key, &config.proxy.jwt) {
        (Some(_), Some(_)) => "the dev key and tokens open this proxy",
        (Some(_), None) => "the dev key alone opens this proxy",
        (None, Some(_)) => "tokens alone open this proxy",
        (None, None) => "nothing opens this proxy, every caller is refused",
    };
    warn!(opens, "store.redis is not set: keys of `crosspoint keys` are not known here");
    Ok(Arc::new(Embedded::new()))
}

/// Makes a keyring on an index, with the dev key where there is one.
pub(crate) fn keyring(index: Arc<dyn KeyIndex>, dev_key: Option<&str>) -> anyhow::Result<Keyring> {
    let keyring = Keyring::new(index);
    Ok(match dev_key {
        Some(key) => keyring.with_dev_key(&Secret::new(key), "dev".parse()?),
        None => keyring,
    })
}
