//! `crosspoint router`.

use std::sync::Arc;

use process::Shutdown;
use serde_json::json;
use store::{Embedded, Journal, KeyIndex, Redis, StoreConfig};

use crate::config::Config;
use crate::reload;
use crate::roles::{QUICK_DRAIN, RoleArgs};

const EXAMPLES: &str = "\
Examples:
  crosspoint router
  crosspoint router --config crosspoint.yaml
  CROSSPOINT__STORE__REDIS=redis://10.0.0.9:6379 crosspoint router      one of several
  CROSSPOINT__ROUTER__LISTEN=127.0.0.1:0 crosspoint router --json";

/// The arguments of `crosspoint router`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    role: RoleArgs,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = self.role.start()?;
        let app = build(&config).await?;
        let addresses = json!({
            "role": "router",
            "pid": std::process::id(),
            "grpc": app.grpc_address(),
            "admin": app.admin_address(),
            "metrics": app.metrics_address(),
        });
        let words =
            format!("router: agents and proxies {}, admin API http://{}", app.grpc_address(), app.admin_address());
        let shutdown = Shutdown::new();
        let (reins, file) = (app.reins(), self.role.config.clone());
        let load = move || Config::load(file.as_deref());
        let apply = move |next: &Config| {
            reins.apply(&policy(next));
        };
        reload::start(reload::ROUTER, self.role.config.clone(), (load, apply), &shutdown);
        shutdown.spawn("router", app.run(shutdown.clone()));
        self.role.announce(&addresses, &words)?;
        self.role.until_done(&shutdown, QUICK_DRAIN).await;
        Ok(())
    }
}

/// Builds the router on the store that is configured. Keys are for a store that proxies read too.
async fn build(config: &Config) -> anyhow::Result<router::App> {
    let (router, policy, store) = (config.router.clone(), policy(config), &config.store);
    let app = match &store.redis {
        Some(servers) => {
            let redis = Arc::new(Redis::new(servers, store.timeout)?);
            let (registry, charges) = (registry(store, redis.clone())?, store.journal("router-charges")?);
            router.build(policy, redis, charges, Some(registry)).await
        }
        None => router.build(policy, Arc::new(with_ledger(Embedded::new(), store)?), no_charges(), None).await,
    };
    Ok(app?)
}

/// Opens the journal of the keys that are made here.
pub(crate) fn registry(config: &StoreConfig, index: Arc<dyn KeyIndex>) -> anyhow::Result<router::Registry> {
    let (journal, kept) = config.journal("keys")?;
    Ok(router::Registry::new(index, journal, kept))
}

/// Gives the embedded store the ledger that is journalled where the configuration says.
pub(crate) fn with_ledger(embedded: Embedded, store: &StoreConfig) -> anyhow::Result<Embedded> {
    let (journal, pages) = store.journal("router-ledger")?;
    Ok(embedded.with_ledger(journal, pages))
}

/// The embedded store is never away: nothing need be kept for it.
pub(crate) fn no_charges() -> router::Charges {
    (Journal::in_memory(), Vec::new())
}

/// Takes what a router decides by out of the configuration.
pub(crate) fn policy(config: &Config) -> router::Policy {
    router::Policy {
        pools: config.pools.clone(),
        choice: config.choice(),
        models: config.models.clone(),
        planner: config.planner.clone(),
    }
}
