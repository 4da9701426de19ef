//! Config → App (every socket bound) → run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use process::health::{self, Readiness};
use process::{Bound, Shutdown};
use proto::v1::agents_server::AgentsServer;
use proto::v1::placement_server::PlacementServer;
use store::{Leases, Reports};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tracing::{info, warn};

use crate::agents::AgentsDoor;
use crate::config::{Config, Policy};
use crate::core::Core;
use crate::decisions::{DecisionFile, DecisionLog, DecisionLogError};
use crate::placement::PlacementDoor;
use crate::{admin, decisions, metrics, sharing, watch};

/// Largest message taken on any call, in bytes.
const MESSAGE_LIMIT: usize = 4 << 20;

/// A silent connection is asked for a sign of life this often, and given up when none comes for as long: hosts that lost
/// their power close nothing.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// Says why the router cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// An address is taken or not ours.
    #[error(transparent)]
    Bind(#[from] process::BindError),
    /// No metrics can be recorded.
    #[error(transparent)]
    Metrics(#[from] process::MetricsError),
    /// Decisions cannot be written.
    #[error(transparent)]
    Decisions(#[from] DecisionLogError),
}

/// A router with its sockets bound.
pub struct App {
    config: Config,
    core: Arc<Core>,
    reports: Arc<dyn Reports>,
    decisions: Option<DecisionFile>,
    grpc: Bound,
    admin: Bound,
    metrics: Bound,
    metrics_page: process::Metrics,
}

impl Config {
    /// Binds every socket. What `store` holds is shared with every router on the same one.
    ///
    /// # Errors
    /// Fails when an address is taken, naming it and what it is for.
    pub async fn build<S>(self, policy: Policy, store: Arc<S>) -> Result<App, RouterError>
    where
        S: Leases + Reports + 'static,
    {
        let metrics_page = process::Metrics::install()?;
        metrics::describe();
        let log = self.decisions.as_ref().map(|log| DecisionLog::open(log, &policy.choice)).transpose()?;
        let (decisions, file) = log.unzip();
        Ok(App {
            grpc: Bound::bind("agents and proxies", self.listen).await?,
            admin: Bound::bind("the admin API", self.admin).await?,
            metrics: Bound::bind("metrics", self.metrics).await?,
            core: Arc::new(Core::new(policy, store.clone(), decisions)),
            decisions: file,
            reports: store,
            config: self,
            metrics_page,
        })
    }
}

impl App {
    /// Returns where agents and proxies reach it.
    #[must_use]
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc.address
    }

    /// Returns where the admin API is.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address
    }

    /// Returns where `/metrics` is.
    #[must_use]
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics.address
    }

    /// Serves until the drain begins.
    pub async fn run(self, shutdown: Shutdown) {
        let readiness = Readiness::default();
        let health_routes = health::routes(self.metrics_page, readiness.clone(), &shutdown);
        shutdown.spawn("router metrics", health::serve(self.metrics.listener, health_routes, shutdown.clone()));
        let admin_routes = admin::routes(Arc::clone(&self.core));
        shutdown.spawn("admin API", health::serve(self.admin.listener, admin_routes, shutdown.clone()));
        let watching = watch::watch(Arc::clone(&self.core), self.config.forget_after, shutdown.clone());
        shutdown.spawn("node watch", watching);
        shutdown.spawn("ticks", watch::tick(Arc::clone(&self.core), shutdown.clone()));
        if let Some(file) = self.decisions {
            shutdown.spawn("decision log", decisions::write(file, shutdown.clone()));
        }
        let putting = sharing::put(Arc::clone(&self.core), Arc::clone(&self.reports), shutdown.clone());
        shutdown.spawn("reports to the store", putting);
        let reading = sharing::read(Arc::clone(&self.core), self.reports, shutdown.clone());
        shutdown.spawn("reports from the store", reading);

        let agents = AgentsDoor {
            core: Arc::clone(&self.core),
            shutdown: shutdown.clone(),
            report_interval: self.config.report_interval,
        };
        let placement = PlacementDoor { core: self.core, shutdown: shutdown.clone() };
        let (reporter, grpc_health) = tonic_health::server::health_reporter();
        reporter.set_serving::<PlacementServer<PlacementDoor>>().await;
        info!(grpc = %self.grpc.address, admin = %self.admin.address, metrics = %self.metrics.address, "router serves");
        readiness.ready();
        let served = Server::builder()
            .http2_keepalive_interval(Some(SIGN_OF_LIFE))
            .http2_keepalive_timeout(Some(SIGN_OF_LIFE))
            .add_service(grpc_health)
            .add_service(AgentsServer::new(agents).max_decoding_message_size(MESSAGE_LIMIT))
            .add_service(PlacementServer::new(placement).max_decoding_message_size(MESSAGE_LIMIT))
            .serve_with_incoming_shutdown(TcpListenerStream::new(self.grpc.listener), shutdown.begun())
            .await;
        if let Err(error) = served {
            warn!(%error, "gRPC server ended");
        }
    }
}
