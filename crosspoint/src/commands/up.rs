//! `crosspoint up`: proxy and router in one process, and four pools of nodes, each node a process to kill.

mod banner;
mod nodes;

use std::num::{NonZeroU8, NonZeroU16};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use process::Shutdown;
use proxy::UsageJournal;
use serde_json::json;
use store::{Embedded, Secret};

use crate::commands::engine::Voice;
use crate::commands::proxy::keyring;
use crate::commands::router::{no_charges, policy, registry, with_ledger};
use crate::config::Config;
use crate::reload;
use crate::roles::{RoleArgs, new_dev_key};
use crate::terminal::note;
use banner::Banner;
use nodes::{Fleet, Plan};

/// Nodes must report within this time.
const READY: Duration = Duration::from_secs(30);
/// A node is warm so long after it is ready.
const WARM: Duration = Duration::from_millis(1);
/// How long open sessions may go on after an interrupt.
const DRAIN: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  crosspoint up
  crosspoint up --engine synthetic --port 0 --json
  crosspoint up --config crosspoint.yaml --dev-key secret
Then, elsewhere:
  crosspoint transcribe --stream FILE.wav
  crosspoint nodes                 shows each node's pid: kill one and see";

/// The arguments of `crosspoint up`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    role: RoleArgs,
    /// Which voice the nodes answer with
    #[arg(long, value_enum, default_value = "sphinx")]
    engine: Voice,
    /// The key for development, accepted from this machine only; without it, a new one
    #[arg(long, value_name = "KEY", env = "CROSSPOINT_DEV_KEY", hide_env_values = true)]
    dev_key: Option<String>,
    /// Port for callers; 0 takes free ports for everything
    #[arg(long)]
    port: Option<u16>,
    /// Nodes in each pool
    #[arg(long, default_value = "2")]
    nodes: NonZeroU8,
    /// Streams and files that one node hears at the same time
    #[arg(long, default_value = "4")]
    slots: NonZeroU16,
    /// What is logged: a level, or target=level pairs
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    log: String,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let mut config = Config::load(self.role.config.as_deref())?;
        config.logs.filter.clone_from(&self.log);
        process::logs::start(&config.logs)?;
        self.place(&mut config);
        let key = self.dev_key.clone().map_or_else(new_dev_key, Secret::new);

        let store = Arc::new(with_ledger(Embedded::new(), &config.store)?);
        let registry = registry(&config.store, store.clone())?;
        let router = config
            .router
            .clone()
            .build(policy(&config), store.clone(), no_charges(), Some(registry))
            .await
            .context("cannot start the router (is another `crosspoint up` running? --port 0 takes free ports)")?;
        config.proxy.routers = vec![format!("http://{}", router.grpc_address())];
        config.proxy.drain = DRAIN;
        let keyring = keyring(store.clone(), Some(key.expose()))?;
        let proxy = config
            .proxy
            .clone()
            .build(config.models.clone(), keyring, store, UsageJournal::open(&config.store)?)
            .await
            .context("cannot start the proxy (is another one running? --port 0 takes free ports)")?;
        let banner = Banner {
            key,
            caller: proxy.address(),
            tls: proxy.tls_address(),
            admin: router.admin_address(),
            metrics: proxy.metrics_address(),
        };

        let shutdown = Shutdown::new();
        self.follow(router.reins(), proxy.reins(), &shutdown);
        shutdown.spawn("router", router.run(shutdown.clone()));
        shutdown.spawn("proxy", proxy.run(shutdown.clone()));
        let fleet = self.start_nodes(&config).await?;
        fleet.reporting(banner.admin, READY).await?;
        self.announce(&banner, &fleet, &config)?;
        // Apart from the rest, which must not wait for the nodes: they end with this process.
        let nodes = Shutdown::new();
        fleet.watch(&shutdown, &nodes);
        self.role.until_done(&shutdown, DRAIN + Duration::from_secs(6)).await;
        Ok(())
    }

    /// Follows the configuration, as far as this command does not say otherwise.
    fn follow(&self, router: router::Reins, proxy: proxy::Reins, shutdown: &Shutdown) {
        let file = self.role.config.clone();
        let load = move || {
            let mut config = Config::load(file.as_deref())?;
            config.placement.slow_start = WARM;
            Ok(config)
        };
        let apply = move |next: &Config| {
            router.apply(&policy(next));
            proxy.apply(next.models.clone(), next.proxy.limits);
        };
        reload::start(reload::UP, self.role.config.clone(), (load, apply), shutdown);
    }

    fn place(&self, config: &mut Config) {
        // Nodes that begin with this process have nothing to warm up beside others.
        config.placement.slow_start = WARM;
        let Some(port) = self.port else { return };
        config.proxy.listen.set_port(port);
        if port == 0 {
            let (proxy, router) = (&mut config.proxy, &mut config.router);
            if let Some(tls) = &mut proxy.tls {
                tls.listen.set_port(0);
            }
            for address in [&mut proxy.metrics, &mut router.listen, &mut router.admin, &mut router.metrics] {
                address.set_port(0);
            }
        }
    }

    async fn start_nodes(&self, config: &Config) -> anyhow::Result<Fleet> {
        if self.role.json {
            return Fleet::start(&self.plan(config)).await;
        }
        note(&format!("starting {} nodes …", usize::from(self.nodes.get()) * config.pools.len()));
        Fleet::start(&self.plan(config)).await
    }

    fn plan(&self, config: &Config) -> Plan {
        Plan {
            pools: config.pools.clone(),
            nodes: self.nodes,
            slots: self.slots,
            engine: self.engine,
            router: config.proxy.routers.first().cloned().unwrap_or_default(),
            config: self.role.config.clone(),
            log: self.log.clone(),
        }
    }

    fn announce(&self, banner: &Banner, fleet: &Fleet, config: &Config) -> anyhow::Result<()> {
        let addresses = json!({
            "role": "up",
            "pid": std::process::id(),
            "address": banner.caller,
            "tls": banner.tls,
            "admin": banner.admin,
            "metrics": banner.metrics,
            "key": banner.key.expose(),
            "nodes": fleet.nodes(),
        });
        self.role.announce(&addresses, &banner.words(fleet, config))
    }
}
