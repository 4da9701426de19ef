//! The admin API: HTTP and JSON for people and tools. Money is in US dollars, as numbers.

mod views;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use scheduler::{
    Class, Compliance, Language, MicroDollars, NodeId, PoolName, Priority, Request, Residency, SessionId, Work,
};
use serde::Deserialize;
use serde_json::json;

use crate::core::Core;
use views::{DecisionView, NodeView, PoolView, SessionView};

/// Builds the routes.
pub(crate) fn routes(core: Arc<Core>) -> Router {
    Router::new()
        .route("/v1/nodes", get(nodes))
        .route("/v1/pools", get(pools))
        .route("/v1/sessions", get(sessions))
        .route("/v1/sessions/{session}", get(session))
        .route("/v1/explain", post(explain))
        .fallback(|| async {
            problem(StatusCode::NOT_FOUND, "no such path; there are /v1/nodes, /v1/pools, /v1/sessions and /v1/explain")
        })
        .with_state(core)
}

fn problem(status: StatusCode, text: impl Into<String>) -> Response {
    (status, Json(json!({ "error": text.into() }))).into_response()
}

async fn nodes(State(core): State<Arc<Core>>) -> Response {
    let now = core.now();
    let mut views: Vec<NodeView> = core.view().nodes().map(|node| NodeView::new(node, now)).collect();
    for view in &mut views {
        view.leases = core.leases_on(&view.node).await;
    }
    Json(json!({ "nodes": views })).into_response()
}

async fn pools(State(core): State<Arc<Core>>) -> Response {
    let fleet = core.view();
    let views: Vec<_> = fleet.pools().iter().map(|pool| PoolView::new(pool, &fleet, core.now())).collect();
    Json(json!({ "pools": views })).into_response()
}

#[derive(Deserialize)]
struct Page {
    #[serde(default = "Page::usual")]
    limit: usize,
}

impl Page {
    fn usual() -> usize {
        100
    }
}

async fn sessions(State(core): State<Arc<Core>>, page: Result<Query<Page>, QueryRejection>) -> Response {
    let Query(page) = match page {
        Ok(page) => page,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, rejection.body_text()),
    };
    let now = core.now();
    let views: Vec<_> =
        core.ledger().newest().take(page.limit.min(10_000)).map(|entry| SessionView::new(entry, now)).collect();
    Json(json!({ "sessions": views })).into_response()
}

async fn session(State(core): State<Arc<Core>>, Path(text): Path<String>) -> Response {
    let Ok(id) = text.parse::<SessionId>() else {
        return problem(StatusCode::BAD_REQUEST, format!("expected a session id (a UUID), got {text:?}"));
    };
    match core.ledger().get(id) {
        Some(entry) => Json(SessionView::new(entry, core.now())).into_response(),
        None => problem(StatusCode::NOT_FOUND, format!("no session {id}; the last 10000 are kept")),
    }
}

/// A request to explain, without serving it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    model: String,
    language: Option<Language>,
    #[serde(default = "Question::stream")]
    work: Work,
    residency: Option<Residency>,
    #[serde(default)]
    compliance: Vec<Compliance>,
    max_cost: Option<MicroDollars>,
    priority: Option<Priority>,
    pools: Option<BTreeSet<PoolName>>,
    #[serde(default)]
    exclude: BTreeSet<NodeId>,
    prefer: Option<NodeId>,
    #[serde(default = "Question::usual_rate")]
    audio_bytes_per_second: u64,
}

impl Question {
    fn stream() -> Work {
        Work::Stream
    }

    /// 16 kHz, 16-bit, mono.
    fn usual_rate() -> u64 {
        32_000
    }
}

async fn explain(State(core): State<Arc<Core>>, question: Result<Json<Question>, JsonRejection>) -> Response {
    let Json(question) = match question {
        Ok(question) => question,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, rejection.body_text()),
    };
    let model = match core.models().resolve(&question.model, question.language.as_ref()) {
        Ok(model) => model.clone(),
        Err(unknown) => return problem(StatusCode::BAD_REQUEST, unknown.to_string()),
    };
    let Ok(tenant) = "explain".parse() else {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "the name explain is no name");
    };
    let request = Request {
        session: SessionId::from_random(0),
        tenant,
        model,
        work: question.work,
        key: None,
        file: None,
        class: Class::New,
        priority: question.priority.unwrap_or(match question.work {
            Work::Stream => Priority::Live,
            Work::File => Priority::Interactive,
        }),
        pools: question.pools,
        residency: question.residency,
        compliance: question.compliance.into_iter().collect(),
        max_cost: question.max_cost,
        latency_limit: Duration::from_millis(300),
        audio_bytes_per_second: question.audio_bytes_per_second,
        exclude: question.exclude,
        prefer: question.prefer,
    };
    let decision = core.consider(&request);
    Json(DecisionView::new(&decision.placements, decision.refusal, &decision.rejected)).into_response()
}
