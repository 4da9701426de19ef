//! `POST /v1/nodes/{node}/drain` and `/undrain`: closes a node to new sessions, and opens it again.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use scheduler::NodeId;
use serde_json::json;
use store::Wanted;

use super::{Nothing, problem};
use crate::core::Core;
use crate::sharing::Changed;

pub(super) async fn drain(
    State(core): State<Arc<Core>>,
    Path(text): Path<String>,
    nothing: Result<Json<Nothing>, JsonRejection>,
) -> Response {
    order(&core, &text, Wanted::Drained, nothing).await
}

pub(super) async fn undrain(
    State(core): State<Arc<Core>>,
    Path(text): Path<String>,
    nothing: Result<Json<Nothing>, JsonRejection>,
) -> Response {
    order(&core, &text, Wanted::Serving, nothing).await
}

async fn order(core: &Core, text: &str, wanted: Wanted, nothing: Result<Json<Nothing>, JsonRejection>) -> Response {
    if let Err(rejection) = nothing {
        return problem(StatusCode::BAD_REQUEST, rejection.body_text());
    }
    let node: NodeId = match text.parse() {
        Ok(node) => node,
        Err(error) => return problem(StatusCode::BAD_REQUEST, format!("bad name of a node: {error}")),
    };
    let changed = match core.order(&node, wanted) {
        Ok(changed) => changed == Changed::Yes,
        Err(unknown) => return problem(StatusCode::NOT_FOUND, unknown.to_string()),
    };
    let leases = core.leases_on(&node).await;
    let view = core.view();
    let known = view.node(&node).map(|node| node.report);
    Json(json!({
        "node": node,
        "drained": wanted == Wanted::Drained,
        "changed": changed,
        "state": known.map(|report| report.state),
        "used_slots": known.map_or(0, |report| report.used_slots),
        "leases": leases,
    }))
    .into_response()
}
