//! Config → App (every socket bound) → run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use process::health::{self, Readiness};
use process::{Bound, Shutdown};
use proto::v1::agents_server::AgentsServer;
use proto::v1::placement_server::PlacementServer;
use scheduler::PolicyHash;
use store::{Affinity, Charge, Drains, Journal, Kept, Leases, Ledger, Lock, Reports, Verdicts};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tracing::{info, warn};

use crate::agents::AgentsDoor;
use crate::billing::{self, Billing};
use crate::config::{Config, Policy};
use crate::core::Core;
use crate::decisions::{DecisionFile, DecisionLog, DecisionLogError};
use crate::keys::{Registry, keep_index};
use crate::placement::PlacementDoor;
use crate::planning::Planning;
use crate::tokens::{Tokens, TokensError};
use crate::{admin, decisions, endpoints, metrics, owed, sharing, watch};

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
    /// The agents' tokens cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// Decisions cannot be written.
    #[error(transparent)]
    Decisions(#[from] DecisionLogError),
}

/// The journal of charges that the store did not take, and what it held when it was opened.
pub type Charges = (Journal<Charge>, Vec<Kept<Charge>>);

/// Puts another policy in force while a router runs.
#[derive(Clone)]
pub struct Reins(Arc<Core>);

impl Reins {
    /// Decides by `policy` from now on, and returns its hash. Open sessions stay where they are, also those on nodes of pools
    /// that are there no more; such a node's agent is told so at its next report.
    pub fn apply(&self, policy: &Policy) -> PolicyHash {
        self.0.replace_law(policy)
    }
}

/// A router with its sockets bound.
pub struct App {
    config: Config,
    core: Arc<Core>,
    tokens: Tokens,
    reports: Arc<dyn Reports>,
    drains: Arc<dyn Drains>,
    decisions: Option<DecisionFile>,
    verdicts: Arc<dyn Verdicts>,
    registry: Option<Arc<Registry>>,
    billing: Arc<Billing>,
    planning: Planning,
    grpc: Bound,
    admin: Bound,
    metrics: Bound,
    metrics_page: process::Metrics,
}

impl Config {
    /// Binds every socket. What `store` holds is shared with every router on the same one; `charges` keeps what it does not
    /// take while it is away. Without a `registry`, where no proxy could read them, no keys are made.
    ///
    /// # Errors
    /// Fails when an address is taken, naming it and what it is for.
    pub async fn build<S>(
        self,
        policy: Policy,
        store: Arc<S>,
        charges: Charges,
        registry: Option<Registry>,
    ) -> Result<App, RouterError>
    where
        S: Affinity + Drains + Leases + Lock + Reports + Verdicts + Ledger + 'static,
    {
        let metrics_page = process::Metrics::install()?;
        metrics::describe();
        let log = self.decisions.as_ref().map(|log| DecisionLog::open(log, &policy.choice)).transpose()?;
        let (decisions, file) = log.unzip();
        metrics::describe_billing(policy.pools.iter().map(|pool| &pool.name));
        let tokens = Tokens::new(self.agent_token_file.clone());
        tokens.check().await?;
        let grpc = Bound::bind("agents and proxies", self.listen).await?;
        let core = Arc::new(Core::new(&policy, &store, decisions));
        Ok(App {
            planning: Planning::new(Arc::clone(&core), store.clone(), grpc.address.to_string()),
            tokens,
            grpc,
            admin: Bound::bind("the admin API", self.admin).await?,
            metrics: Bound::bind("metrics", self.metrics).await?,
            decisions: file,
            core,
            billing: Arc::new(Billing::new(store.clone(), charges)),
            reports: store.clone(),
            drains: store.clone(),
            verdicts: store,
            registry: registry.map(Arc::new),
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

    /// Returns what puts another policy in force while it runs.
    #[must_use]
    pub fn reins(&self) -> Reins {
        Reins(Arc::clone(&self.core))
    }

    /// Serves until the drain begins.
    pub async fn run(self, shutdown: Shutdown) {
        let readiness = Readiness::default();
        let health_routes = health::routes(self.metrics_page, readiness.clone(), &shutdown);
        shutdown.spawn("router metrics", health::serve(self.metrics.listener, health_routes, shutdown.clone()));
        let forwarding = billing::forward(Arc::clone(&self.billing), Arc::clone(&self.core), shutdown.clone());
        shutdown.spawn("charges to the store", forwarding);
        let admin_routes = admin::routes(Arc::clone(&self.core), Arc::clone(&self.billing), self.registry.clone());
        if let Some(registry) = self.registry {
            shutdown.spawn("keys to the store", keep_index(registry, shutdown.clone()));
        }
        shutdown.spawn("admin API", health::serve(self.admin.listener, admin_routes, shutdown.clone()));
        let watching = watch::watch(Arc::clone(&self.core), self.config.forget_after, shutdown.clone());
        shutdown.spawn("node watch", watching);
        let endpoints = endpoints::report(Arc::clone(&self.core), self.config.report_interval, shutdown.clone());
        shutdown.spawn("pools without agents", endpoints);
        shutdown.spawn("ticks", watch::tick(Arc::clone(&self.core), shutdown.clone()));
        if let Some(file) = self.decisions {
            shutdown.spawn("decision log", decisions::write(file, shutdown.clone()));
        }
        let draining = sharing::share_drains(Arc::clone(&self.core), self.drains, shutdown.clone());
        shutdown.spawn("drains", draining);
        let putting = sharing::put(Arc::clone(&self.core), Arc::clone(&self.reports), shutdown.clone());
        shutdown.spawn("reports to the store", putting);
        shutdown.spawn("leases to give back", owed::give_back(Arc::clone(&self.core), shutdown.clone()));
        let reading = sharing::read(Arc::clone(&self.core), self.reports, shutdown.clone());
        shutdown.spawn("reports from the store", reading);
        let sharing = sharing::share(Arc::clone(&self.core), self.verdicts, shutdown.clone());
        shutdown.spawn("verdicts", sharing);
        shutdown.spawn("count of routers", sharing::count(Arc::clone(&self.core), shutdown.clone()));
        shutdown.spawn("planning", self.planning.run(shutdown.clone()));

        let open_to_strangers = self.tokens.are_off() && !self.grpc.address.ip().is_loopback();
        let agents = AgentsDoor {
            core: Arc::clone(&self.core),
            tokens: self.tokens,
            shutdown: shutdown.clone(),
            report_interval: self.config.report_interval,
        };
        let placement = PlacementDoor { core: self.core, billing: self.billing, shutdown: shutdown.clone() };
        let (reporter, grpc_health) = tonic_health::server::health_reporter();
        reporter.set_serving::<PlacementServer<PlacementDoor>>().await;
        info!(grpc = %self.grpc.address, admin = %self.admin.address, metrics = %self.metrics.address, "router serves");
        if open_to_strangers {
            warn!(grpc = %self.grpc.address, "anybody who reaches this address may report a node and be sent callers' audio: \
                set router.agent_token_file, and keep the network your own");
        }
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
