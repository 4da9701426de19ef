//! Config → App (every socket bound) → run.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, header};
use process::health::{self, Readiness};
use process::{Bound, Shutdown};
use scheduler::{Models, SessionId, Timestamp, Work};
use session::CloseReason;
use store::{Caller, Keyring, Limits, Quotas};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tracing::info;

use crate::delivery::Failure;
use crate::edge::{Certificates, Tls, TlsConfig, Ways};
use crate::facts::{CountriesError, FactReader};
use crate::keys::{IssuerKeyError, Keys, Tokens, follow};
use crate::overload::MemoryWatch;
use crate::parking::{Parking, ResumeSecretError, Seal};
use crate::quota::{Bill, Quota};
use crate::record::{Paid, Record};
use crate::router::{Placer, Reporter, RouterAddressError, report};
use crate::trace::Trace;
use crate::usage::{Meters, UsageJournal, keep};
use crate::wire::{Dial, Tcp};
use crate::{Config, callers, edge, metrics};

/// Says why the proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// An address is taken or not ours.
    #[error(transparent)]
    Bind(#[from] process::BindError),
    /// The TLS certificate cannot be used.
    #[error("proxy.tls cannot be used")]
    Certificate(#[from] edge::CertificateError),
    /// The public keys of an issuer cannot be used.
    #[error("proxy.jwt cannot be used")]
    Issuer(#[from] IssuerKeyError),
    /// The secret of resume tokens cannot be used.
    #[error(transparent)]
    ResumeSecret(#[from] ResumeSecretError),
    /// A router's address is none.
    #[error(transparent)]
    Router(#[from] RouterAddressError),
    /// The database of countries cannot be used.
    #[error(transparent)]
    Countries(#[from] CountriesError),
    /// No HTTP client can be made.
    #[error("cannot make an HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    /// No metrics can be recorded.
    #[error(transparent)]
    Metrics(#[from] process::MetricsError),
}

/// What every request of this proxy shares.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) models: Arc<ArcSwap<Models>>,
    pub(crate) facts: FactReader,
    pub(crate) placer: Placer,
    pub(crate) reporter: Reporter,
    pub(crate) http: reqwest::Client,
    pub(crate) dialer: Arc<dyn Dial>,
    pub(crate) memory: MemoryWatch,
    pub(crate) chunks: Arc<Semaphore>,
    pub(crate) shutdown: Shutdown,
    pub(crate) keys: Arc<Keys>,
    pub(crate) quota: Arc<Quota>,
    pub(crate) parking: Parking,
    pub(crate) started: Instant,
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::at(self.started.elapsed())
    }

    /// Takes a session in, unless this proxy is being replaced or short of memory, or its key has used what it may.
    pub(crate) async fn admit(
        &self,
        session: SessionId,
        headers: &HeaderMap,
        caller: &Caller,
        work: Work,
    ) -> Result<Record, Failure> {
        // Whoever is past the next line is waited for.
        let _open = self.reporter.meters().open();
        if self.shutdown.token().is_cancelled() {
            return Err(Failure::no_node(CloseReason::Draining));
        }
        if self.memory.is_short() {
            return Err(Failure::no_node(CloseReason::Overloaded));
        }
        let upload_bytes = upload_bytes(headers, work);
        let allowance = self.quota.admit(caller, upload_bytes, self.now()).await?;
        let record = Record::begin(session, Trace::of(headers), caller.clone(), work, self.reporter.clone());
        Ok(record.paid(Paid { bill: Bill::of(&self.quota), upload_bytes, allowance }))
    }

    pub(crate) fn new_session(&self) -> SessionId {
        SessionId::from_random(rand::random())
    }
}

/// Returns how long an upload says that it is; nothing where it does not say.
fn upload_bytes(headers: &HeaderMap, work: Work) -> u64 {
    let said = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    match work {
        Work::Stream => 0,
        Work::File => said.unwrap_or_default(),
    }
}

/// Puts other models and limits in force while a proxy runs.
#[derive(Clone)]
pub struct Reins {
    models: Arc<ArcSwap<Models>>,
    keys: Arc<Keys>,
}

impl Reins {
    /// Takes callers by `models` from now on, and keys that set no limits of their own by `limits`. Open sessions stay as they
    /// are.
    pub fn apply(&self, models: Models, limits: Limits) {
        self.models.store(Arc::new(models));
        self.keys.set_defaults(limits);
    }
}

/// A proxy with its sockets bound.
pub struct App {
    config: Config,
    models: Arc<ArcSwap<Models>>,
    facts: FactReader,
    keys: Arc<Keys>,
    quotas: Arc<dyn Quotas>,
    usage: UsageJournal,
    placer: Placer,
    seal: Seal,
    http: reqwest::Client,
    callers: Bound,
    secure: Option<Secure>,
    metrics: Bound,
    metrics_page: process::Metrics,
}

/// The way in over TLS.
struct Secure {
    bound: Bound,
    certificates: Certificates,
    tls: Tls,
}

impl Secure {
    async fn build(config: &TlsConfig) -> Result<Self, ProxyError> {
        let certificates = Certificates::read(config).await?;
        let tls = Tls::new(&certificates)?;
        Ok(Self { bound: Bound::bind("callers over TLS", config.listen).await?, certificates, tls })
    }
}

impl Config {
    /// Binds every socket.
    ///
    /// # Errors
    /// Fails when an address is taken, naming it and what it is for, on a router address that is none, and on a
    /// TLS certificate or key and public keys of issuers that cannot be used.
    pub async fn build(
        self,
        models: Models,
        keyring: Keyring,
        quotas: Arc<dyn Quotas>,
        usage: UsageJournal,
    ) -> Result<App, ProxyError> {
        let metrics_page = process::Metrics::install()?;
        metrics::describe();
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(self.open_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let secure = match &self.tls {
            Some(tls) => Some(Secure::build(tls).await?),
            None => None,
        };
        let keys = Arc::new(Keys::new(keyring, Tokens::read(self.jwt.as_ref()).await?, self.limits));
        Ok(App {
            secure,
            seal: self.resume.seal()?,
            facts: FactReader::open(&self.facts)?,
            placer: Placer::new(&self.routers, self.place_timeout)?,
            callers: Bound::bind("callers", self.listen).await?,
            metrics: Bound::bind("metrics", self.metrics).await?,
            config: self,
            models: Arc::new(ArcSwap::from_pointee(models)),
            keys,
            quotas,
            usage,
            http,
            metrics_page,
        })
    }
}

impl App {
    /// Returns where callers reach it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.callers.address
    }

    /// Returns where callers reach it over TLS, if they do.
    #[must_use]
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.secure.as_ref().map(|secure| secure.bound.address)
    }

    /// Returns where `/metrics` is.
    #[must_use]
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics.address
    }

    /// Returns what puts other models and limits in force while it runs.
    #[must_use]
    pub fn reins(&self) -> Reins {
        Reins { models: Arc::clone(&self.models), keys: Arc::clone(&self.keys) }
    }

    /// Serves until the drain begins; open streams go on inside `shutdown`.
    pub async fn run(self, shutdown: Shutdown) {
        let readiness = Readiness::default();
        let health_routes = health::routes(self.metrics_page, readiness.clone(), &shutdown);
        shutdown.spawn("proxy metrics", health::serve(self.metrics.listener, health_routes, shutdown.clone()));
        // Load balancers look where callers come in.
        let probes = health::probes(readiness.clone(), &shutdown);
        let news = Arc::new(Notify::new());
        let UsageJournal { journal, found } = self.usage;
        let meters = Meters::new(journal, Arc::clone(&news));
        shutdown.spawn("usage", keep(meters.clone(), found, shutdown.clone()));
        let shared = Arc::new(Shared {
            reporter: Reporter::new(meters, news),
            placer: self.placer.within(shutdown.clone()),
            chunks: Arc::new(Semaphore::new(self.config.files.in_flight_together.get().into())),
            quota: Arc::new(Quota::new(self.quotas, self.config.proxies)),
            parking: Parking::new(self.config.resume.clone(), self.seal),
            config: self.config,
            models: self.models,
            facts: self.facts,
            keys: self.keys,
            http: self.http,
            dialer: Arc::new(Tcp),
            memory: MemoryWatch::default(),
            shutdown: shutdown.clone(),
            started: Instant::now(),
        });
        let reporting = report(shared.reporter.clone(), shared.placer.clone(), shutdown.clone());
        shutdown.spawn("session updates", reporting);
        shutdown.spawn("quotas", Arc::clone(&shared.quota).keep(shared.started, shutdown.clone()));
        let mut ways = Ways::from(self.callers.listener);
        if let Some(Secure { bound, certificates, tls }) = self.secure {
            info!(callers = %bound.address, "proxy serves over TLS");
            ways = ways.and_tls(bound.listener, tls);
            shutdown.spawn("certificates", certificates.follow(shutdown.clone()));
        }
        shutdown.spawn("keys", follow(Arc::downgrade(&shared.keys), shared.keys.gone()));
        shutdown.spawn("memory watch", shared.memory.clone().keep(shutdown.clone()));
        info!(callers = %self.callers.address, metrics = %self.metrics.address, "proxy serves");
        readiness.ready();
        let limits = shared.config.edge.clone();
        edge::serve(ways, callers::routes(shared).merge(probes), limits, shutdown).await;
    }
}
