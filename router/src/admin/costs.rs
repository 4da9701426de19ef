//! `GET /v1/costs`: what was used and what it cost, by key, pool, day or model.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use scheduler::KeyId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Amounts, Period};

use super::problem;
use crate::billing::Billing;
use crate::costs::{By, period, sums};
use crate::ledger::Cost;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    #[serde(default = "Question::usual")]
    by: By,
    #[serde(default)]
    since: String,
    key: Option<KeyId>,
}

impl Question {
    fn usual() -> By {
        By::Pool
    }
}

#[derive(Serialize)]
struct View {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    sessions: u64,
    audio_seconds: f64,
    gpu_seconds: f64,
    bytes_in: u64,
    bytes_out: u64,
    cost: Cost,
}

impl View {
    fn new(name: Option<String>, amounts: Amounts) -> Self {
        Self {
            name,
            sessions: amounts.sessions,
            audio_seconds: amounts.audio.as_secs_f64(),
            gpu_seconds: amounts.slot.as_secs_f64(),
            bytes_in: amounts.bytes_in,
            bytes_out: amounts.bytes_out,
            cost: Cost::of(amounts),
        }
    }
}

pub(super) async fn costs(
    State(billing): State<Arc<Billing>>,
    question: Result<Query<Question>, QueryRejection>,
) -> Response {
    let Query(Question { by, since, key }) = match question {
        Ok(question) => question,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, rejection.body_text()),
    };
    let period = match period(&since) {
        Ok(period) => Period { key, ..period },
        Err(bad) => return problem(StatusCode::BAD_REQUEST, format!("bad since: {bad}")),
    };
    let totals = match billing.totals(&period).await {
        Ok(totals) => totals,
        Err(away) => return problem(StatusCode::SERVICE_UNAVAILABLE, away.to_string()),
    };
    let sums = sums(&totals, by);
    let total = sums.values().fold(Amounts::default(), |all, sum| all + *sum);
    let rows: Vec<_> = sums.into_iter().map(|(name, sum)| View::new(Some(name), sum)).collect();
    Json(json!({
        "since": period.since,
        "until": period.until,
        "costs": rows,
        "total": View::new(None, total),
    }))
    .into_response()
}
