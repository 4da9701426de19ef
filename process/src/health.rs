//! `/metrics`, `/livez` and `/readyz`: the listener every process has beside its own ports.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;
use tracing::warn;

use crate::{Metrics, Shutdown};

/// Says whether the process may be given work; it starts unready.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Marks the process ready.
    pub fn ready(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Tells whether the process was marked ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Builds the three routes, to be served alone or merged into a larger router, and keeps the page's memory small until the
/// drain begins, whether or not anybody reads it.
pub fn routes(metrics: Metrics, readiness: Readiness, shutdown: &Shutdown) -> Router {
    shutdown.spawn("metrics upkeep", metrics.clone().sum_up(shutdown.clone()));
    probes(readiness, shutdown).route(
        "/metrics",
        get(move || async move { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()) }),
    )
}

/// Builds `/livez` and `/readyz` alone, for listeners that strangers reach.
pub fn probes(readiness: Readiness, shutdown: &Shutdown) -> Router {
    let draining = shutdown.token();
    Router::new().route("/livez", get(|| async { "alive\n" })).route(
        "/readyz",
        get(move || async move {
            if draining.is_cancelled() {
                (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
            } else if readiness.is_ready() {
                (StatusCode::OK, "ready\n")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "starting\n")
            }
        }),
    )
}

/// Serves the routes until the drain begins.
pub async fn serve(listener: TcpListener, routes: Router, shutdown: Shutdown) {
    let served = axum::serve(listener, routes).with_graceful_shutdown(async move { shutdown.begun().await }).await;
    if let Err(error) = served {
        warn!(%error, "health listener ended");
    }
}
