//! The admin API: HTTP and JSON for people and tools. Money is in US dollars, as numbers.

mod costs;
mod drains;
mod keys;
mod overview;
mod plan;
mod routes;
mod views;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use scheduler::{
    Class, Compliance, Language, MicroDollars, NodeId, PoolName, Priority, Request, Residency, SessionId, Work,
};
use serde::Deserialize;
use serde_json::json;

use crate::billing::Billing;
use crate::core::Core;
use crate::keys::Registry;
use plan::PlanView;
use routes::Routes;
use views::{DecisionView, NodeView, PoolView, SessionView};

/// What the API looks like, in the words of `OpenAPI` 3.1.
const DESCRIPTION: &str = include_str!("admin/openapi.json");

/// Builds the routes.
pub(crate) fn routes(core: Arc<Core>, billing: Arc<Billing>, registry: Option<Arc<Registry>>) -> Router {
    let (router, paths) = all(core, billing, registry).finish();
    let mut known: Vec<_> = paths.into_iter().map(|(_, path)| path).collect();
    known.dedup();
    let text = format!("no such path; there are {}", known.join(", "));
    router.fallback(move || async move { problem(StatusCode::NOT_FOUND, text) })
}

fn all(core: Arc<Core>, billing: Arc<Billing>, registry: Option<Arc<Registry>>) -> Routes<()> {
    let keys = keys::routes(Arc::clone(&core), registry);
    let costs = Routes::new().get("/v1/costs", costs::costs).with_state(billing);
    let routes = Routes::new()
        .get("/v1/overview", overview::overview)
        .get("/v1/nodes", nodes)
        .post("/v1/nodes/{node}/drain", drains::drain)
        .post("/v1/nodes/{node}/undrain", drains::undrain)
        .get("/v1/pools", pools)
        .get("/v1/sessions", sessions)
        .get("/v1/sessions/{session}", session)
        .post("/v1/explain", explain)
        .get("/v1/plan", plan)
        .get("/openapi.json", description)
        .with_state(core);
    routes.merge(costs).merge(keys)
}

async fn description() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION).into_response()
}

/// The body of a call that needs none is an empty object: a web page cannot send one here, as it could send a request without
/// a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

fn problem(status: StatusCode, text: impl Into<String>) -> Response {
    (status, Json(json!({ "error": text.into() }))).into_response()
}

async fn nodes(State(core): State<Arc<Core>>) -> Response {
    let (now, view, law, drained) = (core.now(), core.view(), core.law(), core.drains.drained());
    let show = |node: scheduler::Node<'_>| {
        let mut shown = NodeView::new(node, now);
        shown.drained = drained.contains(&shown.node);
        shown.score = view.pool(&node.report.pool).and_then(|pool| overview::score_of(node, pool, &law, now));
        shown
    };
    let mut views: Vec<NodeView> = view.nodes().map(show).collect();
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

async fn plan(State(core): State<Arc<Core>>) -> Response {
    match core.board().read() {
        Some(shown) => Json(PlanView::new(&shown, core.now())).into_response(),
        None => problem(StatusCode::NOT_FOUND, "no plan yet: the first is made a few seconds after the start"),
    }
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
    let law = core.law();
    let model = match law.models.resolve(&question.model, question.language.as_ref()) {
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
        facts: scheduler::rules::Facts::default(),
    };
    let decision = core.consider(&request);
    Json(DecisionView::new(&decision.placements, decision.refusal, &decision.rejected)).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;
    use store::{Embedded, Journal};

    use super::*;
    use crate::config;

    #[test]
    fn every_route_is_described_and_nothing_else_is() {
        let store = Arc::new(Embedded::new());
        let core = Arc::new(Core::new(&config::Policy::default(), &store, None));
        let billing = Arc::new(Billing::new(store, (Journal::in_memory(), Vec::new())));
        let (_, paths) = all(core, billing, None).finish();
        let routes: BTreeSet<String> = paths.into_iter().map(|(method, path)| format!("{method} {path}")).collect();
        let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
        let described: BTreeSet<String> = description["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
            .collect();
        assert_eq!(routes, described);
    }
}
