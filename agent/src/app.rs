//! An agent's life: built from its configuration with its port taken, then run until the drain.

use std::net::SocketAddr;
use std::time::Duration;

use process::health::{self, Readiness};
use process::{Metrics, Shutdown};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tonic::transport::Endpoint;
use tracing::{info, warn};

use crate::check;
use crate::config::{AgentError, Config};
use crate::engine::{Engine, Probe};
use crate::gauges::Gauges;
use crate::gpus::Gpus;
use crate::link::{Link, Signs, Standing};
use crate::reporter::{Identity, Reporter};

/// An agent that is ready to run: its port is bound, its GPUs are being read.
#[derive(Debug)]
pub struct App {
    identity: Identity,
    routers: Vec<Endpoint>,
    interval: Duration,
    probe: Probe,
    gpus: Gpus,
    metrics: Metrics,
    listener: Option<std::net::TcpListener>,
}

impl Config {
    /// Checks the configuration and takes what the agent needs from the system.
    ///
    /// # Errors
    /// Fails on a configuration that cannot work, saying what to set, and on a metrics address that is taken. A missing
    /// engine, router or GPU is no error: they may come later.
    pub fn build(&self) -> Result<App, AgentError> {
        let identity = self.identity()?;
        let (routers, interval) = (self.endpoints()?, self.interval()?);
        let probe = Probe::new(self.engine_kind()?)?;
        let listener = self.listener()?;
        let metrics = Metrics::install()?;
        let gpus = Gpus::open(self, &identity.node)?;
        Ok(App { identity, routers, interval, probe, gpus, metrics, listener })
    }
}

impl App {
    /// Returns where `/metrics`, `/livez` and `/readyz` are served.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Reports until the drain begins, then says `draining` to the router and ends.
    pub async fn run(self, shutdown: Shutdown) {
        info!(node = %self.identity.node, pool = %self.identity.pool, address = self.identity.address, "agent starts");
        let readiness = Readiness::default();
        if let Some(listener) = self.listener {
            serve_metrics(listener, self.metrics, readiness.clone(), &shutdown);
        }
        let (engine, engine_seen) = watch::channel(Engine::default());
        let (standing, stands) = watch::channel(Standing::Trying);
        let first_look = self.gpus.first_look();
        let reporter = Reporter::new(self.identity, self.gpus, Gauges::default());
        let signs = Signs { standing, readiness };
        let link = Link::new(self.routers, self.interval, engine_seen.clone(), reporter, signs);
        // An engine that leaves during the drain is nothing to complain of: nobody looks then.
        let (looking, draining) = (self.probe.keep_looking(engine), shutdown.token());
        shutdown.spawn("engine probe", async move {
            let _ = draining.run_until_cancelled(looking).await;
        });
        let look_around = check::look_around(engine_seen, stands, first_look);
        let draining = shutdown.token();
        shutdown.spawn("self-check", async move {
            let _ = draining.run_until_cancelled(look_around).await;
        });
        let (ends, ended) = oneshot::channel::<()>();
        let drain = shutdown.token();
        shutdown.spawn("reports", async move {
            link.keep_reporting(drain).await;
            drop(ends);
        });
        // Resolves when the sender is dropped: at the end of the reports, or when they are cut.
        let _ = ended.await;
        info!("agent ends");
    }
}

fn serve_metrics(listener: std::net::TcpListener, metrics: Metrics, readiness: Readiness, shutdown: &Shutdown) {
    match TcpListener::from_std(listener) {
        Ok(listener) => {
            let routes = health::routes(metrics, readiness, shutdown);
            shutdown.spawn("metrics", health::serve(listener, routes, shutdown.clone()));
        }
        Err(error) => warn!(%error, "metrics listener cannot be used"),
    }
}
