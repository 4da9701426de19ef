//! `crosspoint proxy`.

use std::sync::Arc;
use std::time::Duration;

use process::Shutdown;
use scheduler::TenantId;
use serde_json::json;
use store::{Embedded, Quotas, Redis, Secret, StoreConfig};

use crate::roles::RoleArgs;

const EXAMPLES: &str = "\
Examples:
  crosspoint proxy --dev-key secret
  crosspoint proxy --config crosspoint.yaml --dev-key secret
  CROSSPOINT__PROXY__LISTEN=127.0.0.1:9090 crosspoint proxy --dev-key secret";

/// The arguments of `crosspoint proxy`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    role: RoleArgs,
    /// A key for development, accepted from this machine only; without one every caller is refused
    #[arg(long, value_name = "KEY", env = "CROSSPOINT_DEV_KEY", hide_env_values = true)]
    dev_key: Option<String>,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = self.role.start()?;
        let keys = Arc::new(keys(self.dev_key.as_deref())?);
        let quotas = quotas(&config.store, &keys)?;
        let drain = config.proxy.drain;
        let app = config.proxy.build(config.models, keys, quotas).await?;
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

/// Returns where use is counted: with all other proxies where there is a Redis, else in this process.
fn quotas(store: &StoreConfig, here: &Arc<Embedded>) -> anyhow::Result<Arc<dyn Quotas>> {
    Ok(match &store.redis {
        Some(servers) => Arc::new(Redis::new(servers, store.timeout)?),
        None => Arc::<Embedded>::clone(here),
    })
}

/// Makes a store in which only the dev key opens anything.
pub(crate) fn keys(dev_key: Option<&str>) -> anyhow::Result<Embedded> {
    let tenant: TenantId = "dev".parse()?;
    Ok(dev_key.map_or_else(Embedded::new, |key| Embedded::new().with_dev_key(&Secret::new(key), tenant)))
}
