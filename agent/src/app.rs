//! An agent's life: built from its configuration with its port taken, then run until the drain.

use std::net::SocketAddr;
use std::time::Duration;

use process::health::{self, Readiness};
use process::{Metrics, Shutdown, ShutdownToken};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tracing::{info, warn};

use crate::config::Config;
use crate::engine::{Engine, Probe};
use crate::error::AgentError;
use crate::gauges::Gauges;
use crate::gpus::Gpus;
use crate::link::{Ends, Link, Routers, Signs, Standing};
use crate::notices::{Ear, Source};
use crate::reporter::{Identity, Reporter};
use crate::{check, drain};

/// An agent that is ready to run: its port is bound, its GPUs are being read.
#[derive(Debug)]
pub struct App {
    identity: Identity,
    routers: Routers,
    probe: Probe,
    gpus: Gpus,
    notices: Option<Source>,
    drain: Duration,
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
        let routers = self.routers()?;
        let probe = Probe::new(self.engine_kinds()?)?;
        let notices = Source::of(&self.notices)?;
        let listener = self.listener()?;
        let metrics = Metrics::install()?;
        let gpus = Gpus::open(self, &identity.node)?;
        Ok(App { identity, routers, probe, gpus, notices, drain: self.drain, metrics, listener })
    }
}

impl App {
    /// Returns where `/metrics`, `/livez` and `/readyz` are served.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Reports until the drain begins, then says `draining` until the engine's sessions are over, and ends.
    pub async fn run(self, shutdown: Shutdown) {
        info!(node = %self.identity.node, pool = %self.identity.pool, address = self.identity.address, "agent starts");
        let readiness = Readiness::default();
        if let Some(listener) = self.listener {
            serve_metrics(listener, self.metrics, readiness.clone(), &shutdown);
        }
        let (engine, engine_seen) = watch::channel(Engine::default());
        let (standing, stands) = watch::channel(Standing::Trying);
        let (ear, heard) = Ear::new();
        let ends = Ends { drain: shutdown.token(), over: ShutdownToken::new() };

        let looking = self.probe.keep_looking(engine);
        spawn_until(&ends.over, "engine probe", looking, &shutdown);
        if let Some(source) = self.notices {
            info!(source = source.describe(), "listening for the cloud's notices");
            spawn_until(&ends.over, "notices", source.listen(ear), &shutdown);
        }
        let look_around = check::look_around(engine_seen.clone(), stands, self.gpus.first_look());
        spawn_until(&ends.drain, "self-check", look_around, &shutdown);

        let reporter = Reporter::new(self.identity, self.gpus, heard, Gauges::default());
        let link = Link::new(self.routers, engine_seen.clone(), reporter, Signs { standing, readiness });
        let (reports_end, reports_ended) = oneshot::channel::<()>();
        let told = ends.clone();
        shutdown.spawn("reports", async move {
            link.keep_reporting(told).await;
            drop(reports_end);
        });
        drain::over(ends.drain, engine_seen, self.drain).await;
        ends.over.cancel();
        // Resolves when the sender is dropped: at the end of the reports, or when they are cut.
        let _ = reports_ended.await;
        info!("agent ends");
    }
}

/// Runs a task that ends when nobody needs it any more.
fn spawn_until(
    end: &ShutdownToken,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
    shutdown: &Shutdown,
) {
    let end = end.clone();
    shutdown.spawn(name, async move {
        let _ = end.run_until_cancelled(task).await;
    });
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
