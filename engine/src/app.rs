//! From configuration to a running engine: bind first, then serve until the drain.

use std::net::SocketAddr;

use axum::serve::ListenerExt;
use process::health::{self, Readiness};
use process::{BindError, Bound, Metrics, MetricsError, Shutdown};
use tracing::{info, warn};

use crate::config::Config;
use crate::engine::Engine;
use crate::gauges;
use crate::sphinx::SphinxError;
use crate::voices::Voices;

/// Says why an engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The voice is missing.
    #[error(transparent)]
    Voice(#[from] SphinxError),
    /// The address cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Metrics cannot be recorded.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

/// An engine with its port bound and its voice found, not serving yet.
pub struct App {
    config: Config,
    voices: Voices,
    bound: Bound,
    metrics: Metrics,
}

impl Config {
    /// Finds the voice and binds the port.
    ///
    /// # Errors
    /// Fails when PocketSphinx or its model is missing, when the address is taken, or when another recorder of metrics
    /// was installed.
    pub async fn build(self) -> Result<App, BuildError> {
        let metrics = Metrics::install()?;
        gauges::describe();
        let voices = Voices::open(&self)?;
        let bound = Bound::bind("the engine", self.listen).await?;
        Ok(App { config: self, voices, bound, metrics })
    }
}

impl App {
    /// Returns the address that is bound.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.bound.address
    }

    /// Serves until `shutdown` begins; from then on nothing new is accepted. Streams that are open go on: they are tasks
    /// of `shutdown`, whose drain waits for them.
    pub async fn run(self, shutdown: Shutdown) {
        let readiness = Readiness::default();
        let (voice, slots) = (self.config.voice.name(), self.config.slots.get());
        let engine = Engine::new(self.config, self.voices, shutdown.clone());
        let routes = engine.routes().merge(health::routes(self.metrics, readiness.clone(), &shutdown));
        let listener = self.bound.listener.tap_io(|socket| {
            if let Err(error) = socket.set_nodelay(true) {
                warn!(%error, "cannot turn off Nagle's algorithm");
            }
        });
        readiness.ready();
        info!(address = %self.bound.address, voice, slots, "engine serves");
        let begun = shutdown.clone();
        let served = axum::serve(listener, routes).with_graceful_shutdown(async move { begun.begun().await }).await;
        if let Err(error) = served {
            warn!(%error, "engine listener ended");
        }
    }
}
