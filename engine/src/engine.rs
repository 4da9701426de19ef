//! One running engine: what every request shares, and the paths it answers.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use process::{Shutdown, ShutdownToken};
use serde_json::json;
use uuid::Uuid;

use crate::admission::SESSION;
use crate::answer::Model;
use crate::config::{Config, Voice};
use crate::fence::Fences;
use crate::gauges::Gauges;
use crate::link::Link;
use crate::refusal::Refusal;
use crate::slots::Slots;
use crate::synthetic::{Doors, Faults};
use crate::voices::Voices;
use crate::{file, gauges, stream};

/// Ids of the two voices, constant so that results can be compared.
const SPHINX_ID: Uuid = Uuid::from_u128(0x5b1f_6b52_8a1e_4f0d_8f8a_6a3b_1d2c_4e55);
const SYNTHETIC_ID: Uuid = Uuid::from_u128(0x7c2e_1d90_3f47_4b8a_9a51_0c6d_58e2_b714);

/// What every request shares.
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) slots: Slots,
    pub(crate) fences: Fences,
    pub(crate) doors: Doors,
    pub(crate) voices: Voices,
    pub(crate) model: Arc<Model>,
    pub(crate) gauges: Gauges,
    pub(crate) shutdown: Shutdown,
    draining: ShutdownToken,
}

/// A request's id: the session's when a proxy says it, else a fresh one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestId(pub(crate) Uuid);

impl Engine {
    /// Brings the parts together.
    pub(crate) fn new(config: Config, voices: Voices, shutdown: Shutdown) -> Arc<Self> {
        let gauges = Gauges::default();
        let draining = shutdown.token();
        Arc::new(Self {
            slots: Slots::new(config.slots.get().into(), gauges.clone()),
            fences: Fences::default(),
            doors: Doors::new(config.faults()),
            model: Arc::new(model(&config)),
            voices,
            gauges,
            shutdown,
            draining,
            config,
        })
    }

    /// Tells whether the engine is shutting down.
    pub(crate) fn draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Makes the way of a stream's results back to its caller.
    pub(crate) fn link(&self, seed: u64) -> Link {
        let (latency, jitter) = self.voices.latency();
        Link::new(latency + self.config.link_round_trip / 2, jitter, seed)
    }

    /// Counts and answers a refusal.
    pub(crate) fn refuse(request_id: Uuid, refusal: &Refusal) -> Response {
        gauges::count(refusal.outcome());
        tracing::debug!(%request_id, reason = %refusal, "request refused");
        refusal.response(request_id)
    }

    /// Lists the paths.
    pub(crate) fn routes(self: &Arc<Self>) -> Router {
        let api = Router::new()
            .route("/v1/listen", get(stream::listen).post(file::listen))
            .route("/v1/models", get(models))
            .layer(middleware::from_fn_with_state(Arc::clone(self), far_away));
        Router::new()
            .route("/health", get(health))
            .merge(api)
            .layer(middleware::from_fn(name_request))
            .with_state(Arc::clone(self))
    }
}

impl Config {
    /// Only the synthetic voice misbehaves.
    pub(crate) fn faults(&self) -> &Faults {
        match self.voice {
            Voice::Sphinx => &Faults::NONE,
            Voice::Synthetic => &self.synthetic.faults,
        }
    }
}

fn model(config: &Config) -> Model {
    let (version, uuid) = match config.voice {
        Voice::Sphinx => ("5prealpha", SPHINX_ID),
        Voice::Synthetic => (env!("CARGO_PKG_VERSION"), SYNTHETIC_ID),
    };
    Model { name: config.model.clone(), version, arch: config.voice.name(), uuid }
}

/// Gives every request its id, and every response the header that tells it.
async fn name_request(mut request: Request, next: Next) -> Response {
    let told = request.headers().get(SESSION).and_then(|value| Uuid::parse_str(value.to_str().ok()?).ok());
    let id = told.unwrap_or_else(Uuid::new_v4);
    request.extensions_mut().insert(RequestId(id));
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert("dg-request-id", value);
    }
    response
}

/// Lets a request wait for one round trip of the configured link.
async fn far_away(State(engine): State<Arc<Engine>>, request: Request, next: Next) -> Response {
    if engine.config.link_round_trip > Duration::ZERO {
        tokio::time::sleep(engine.config.link_round_trip).await;
    }
    next.run(request).await
}

async fn health(State(engine): State<Arc<Engine>>) -> Response {
    Json(json!({
        "status": if engine.draining() { "draining" } else { "ok" },
        "pid": std::process::id(),
        "backend": engine.config.voice.name(),
        "model": engine.model.name,
        "slots": engine.slots.total(),
        "active": engine.slots.active(),
        "realtime_factor": engine.gauges.realtime_factor(),
    }))
    .into_response()
}

/// Lists the one model in both of the shapes that clients look for.
async fn models(State(engine): State<Arc<Engine>>) -> Response {
    let model = &engine.model;
    Json(json!({
        "stt": [{
            "name": model.name, "canonical_name": model.name, "architecture": model.arch, "languages": ["en", "en-US"],
            "version": model.version, "uuid": model.uuid, "batch": true, "streaming": true, "formatted_output": false,
        }],
        "tts": [],
        "object": "list",
        "data": [{"id": model.name, "object": "model", "created": 0, "owned_by": "crosspoint"}],
    }))
    .into_response()
}
