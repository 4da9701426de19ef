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

use crate::budget::{Budget, Pressure};
use crate::delivery::{Failure, Spools};
use crate::edge::{Certificates, Lanes, Tls, TlsConfig, Ways};
use crate::facts::{CountriesError, FactReader};
use crate::handover::{Estate, HandoverError, Inherited};
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
    /// Listeners cannot be handed over.
    #[error(transparent)]
    Handover(#[from] HandoverError),
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
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) models: Arc<ArcSwap<Models>>,
    pub(crate) facts: Arc<FactReader>,
    pub(crate) placer: Placer,
    pub(crate) reporter: Reporter,
    pub(crate) http: reqwest::Client,
    pub(crate) dialer: Arc<dyn Dial>,
    pub(crate) memory: MemoryWatch,
    pub(crate) chunks: Arc<Semaphore>,
    /// What all streams may keep for replays, and leave on disk.
    pub(crate) rings: Arc<Budget>,
    pub(crate) spills: Arc<Budget>,
    pub(crate) spools: Spools,
    pub(crate) shutdown: Shutdown,
    pub(crate) keys: Arc<Keys>,
    pub(crate) quota: Arc<Quota>,
    pub(crate) parking: Arc<Parking>,
    pub(crate) started: Instant,
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::at(self.started.elapsed())
    }

    /// Shares what every lane shares, with connections to routers and nodes of its own.
    fn on_lane(&self) -> Arc<Self> {
        let http = client(&self.config).unwrap_or_else(|_none| self.http.clone());
        Arc::new(Self { placer: self.placer.on_lane(), http, ..self.clone() })
    }

    /// Takes a session in, unless this proxy is short of memory, or its key has used what it may. One that has come in
    /// before the drain is served, though it asks after.
    pub(crate) async fn admit(
        &self,
        session: SessionId,
        headers: &HeaderMap,
        caller: &Caller,
        work: Work,
    ) -> Result<Record, Failure> {
        let _open = self.reporter.meters().open();
        if self.memory.is_short() || self.rings.pressure() == Pressure::Spent {
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
    inherited: Inherited,
    estate: Option<Estate>,
}

/// The way in over TLS.
struct Secure {
    bound: Bound,
    certificates: Certificates,
    tls: Tls,
}

impl Secure {
    async fn build(config: &TlsConfig, inherited: &mut Inherited) -> Result<Self, ProxyError> {
        let certificates = Certificates::read(config).await?;
        let tls = Tls::new(&certificates)?;
        Ok(Self { bound: inherited.bound("callers over TLS", config.listen).await?, certificates, tls })
    }
}

impl Config {
    /// Binds every socket, or is given it by the process that has it.
    ///
    /// # Errors
    /// Fails when an address is taken, naming it and what it is for, on a router address that is none, on a TLS
    /// certificate or key and public keys of issuers that cannot be used, and when listeners cannot be handed over.
    pub async fn build(
        self,
        models: Models,
        keyring: Keyring,
        quotas: Arc<dyn Quotas>,
        usage: UsageJournal,
    ) -> Result<App, ProxyError> {
        let metrics_page = process::Metrics::install()?;
        metrics::describe();
        let http = client(&self)?;
        let mut inherited = Inherited::ask(self.handover.as_deref()).await?;
        let secure = match &self.tls {
            Some(tls) => Some(Secure::build(tls, &mut inherited).await?),
            None => None,
        };
        let callers = inherited.bound("callers", self.listen).await?;
        let metrics = inherited.bound("metrics", self.metrics).await?;
        let given = [Some(&callers), secure.as_ref().map(|secure| &secure.bound), Some(&metrics)];
        let given: Vec<_> = given.into_iter().flatten().map(|bound| &bound.listener).collect();
        let estate = self.handover.as_deref().map(|path| Estate::prepare(path, &given)).transpose()?;
        let keys = Arc::new(Keys::new(keyring, Tokens::read(self.jwt.as_ref()).await?, self.limits));
        Ok(App {
            secure,
            seal: self.resume.seal()?,
            facts: FactReader::open(&self.facts)?,
            placer: Placer::new(&self.routers, self.place_timeout)?,
            callers,
            metrics,
            inherited,
            estate,
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

/// Makes a client for files, whose connections to nodes are kept and used again.
fn client(config: &Config) -> Result<reqwest::Client, reqwest::Error> {
    let client = reqwest::Client::builder().no_proxy().connect_timeout(config.open_timeout);
    client.redirect(reqwest::redirect::Policy::none()).build()
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
        let UsageJournal { journal, found, left } = self.usage;
        let meters = Meters::new(journal, Arc::clone(&news));
        shutdown.spawn("usage", keep(meters.clone(), (found, left), shutdown.clone()));
        let shared = Shared {
            reporter: Reporter::new(meters, news),
            placer: self.placer.within(shutdown.clone()),
            chunks: Arc::new(Semaphore::new(self.config.files.in_flight_together.get().into())),
            rings: Budget::new(self.config.rings_limit()),
            spills: Budget::new(self.config.spill.bytes_together),
            spools: Spools::default(),
            quota: Arc::new(Quota::new(self.quotas, self.config.proxies)),
            parking: Arc::new(Parking::new(self.config.resume.clone(), self.seal)),
            config: self.config,
            models: self.models,
            facts: Arc::new(self.facts),
            keys: self.keys,
            http: self.http,
            dialer: Arc::new(Tcp),
            memory: MemoryWatch::default(),
            shutdown: shutdown.clone(),
            started: Instant::now(),
        };
        let reporting = report(shared.reporter.clone(), shared.placer.clone(), shutdown.clone());
        shutdown.spawn("session updates", reporting);
        shutdown.spawn("quotas", Arc::clone(&shared.quota).keep(shared.started, shutdown.clone()));
        let mut ways = Ways::from(self.callers.listener);
        if let Some(estate) = self.estate {
            estate.open();
            shutdown.spawn("handover", estate.keep(ways.given_away(), shutdown.clone()));
        }
        if let Some(Secure { bound, certificates, tls }) = self.secure {
            info!(callers = %bound.address, "proxy serves over TLS");
            ways = ways.and_tls(bound.listener, tls);
            shutdown.spawn("certificates", certificates.follow(shutdown.clone()));
        }
        let budgets = [Arc::clone(&shared.rings), Arc::clone(&shared.spills)];
        shutdown.spawn("keys", follow(Arc::downgrade(&shared.keys), shared.keys.gone()));
        shutdown.spawn("memory watch", shared.memory.clone().keep(budgets, shutdown.clone()));
        info!(callers = %self.callers.address, metrics = %self.metrics.address, "proxy serves");
        readiness.ready();
        self.inherited.serves().await;
        // Whoever was let in and has not asked for anything yet may still open a session.
        let _open = shared.reporter.meters().open();
        let limits = shared.config.edge.clone();
        let routes = || callers::routes(shared.on_lane()).merge(probes.clone());
        edge::serve(ways, Lanes::start(routes, &shutdown), limits, shutdown).await;
    }
}
