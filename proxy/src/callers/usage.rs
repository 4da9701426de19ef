//! `GET /v1/usage`: what the caller's own key used, and what it cost. Nobody sees another key's.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, header};
use axum::routing::get;
use proto::v1::{CostsReply, CostsTotal};
use scheduler::SessionId;
use serde_json::{Value, json};
use session::CloseReason;
use store::Scope;

use super::listen::Problem;
use super::{authorization, peer};
use crate::app::Shared;
use crate::router::CostsError;

/// Builds the route.
pub(super) fn routes(shared: Arc<Shared>) -> Router {
    Router::new().route("/v1/usage", get(usage).fallback(wrong_method)).with_state(shared)
}

async fn usage(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let session = shared.new_session();
    answer(&shared, session, request).await.unwrap_or_else(|problem| problem.answer(session))
}

async fn wrong_method(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let text = format!("{} is not taken here: read the usage of your key with GET", request.method());
    Problem::new(CloseReason::WrongMethod, text).answer(shared.new_session())
}

async fn answer(shared: &Shared, session: SessionId, request: Request) -> Result<Response<Body>, Problem> {
    let missing = || Problem::new(CloseReason::Unauthorised, "Invalid credentials. Send `Authorization: Token KEY`.");
    let key = authorization(request.headers()).ok_or_else(missing)?;
    let caller = shared.keys.check(&key, peer(&request), Scope::Usage).await?;
    let since = since(request.uri().query().unwrap_or_default())?;
    let reply = shared.placer.costs(&caller.key, &since).await?;
    let mut body = body(&reply);
    body["key"] = caller.key.as_str().into();
    let mut response = Response::new(Body::from(body.to_string()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("dg-request-id", super::header_value(&session.to_string()));
    Ok(response)
}

/// Reads the only parameter there is.
fn since(query: &str) -> Result<String, Problem> {
    let mut since = String::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name != "since" {
            let name: String = name.chars().take(100).collect();
            let text = format!("unknown parameter {name:?}, expected since=2026-11-01");
            return Err(Problem::new(CloseReason::BadParameter, text));
        }
        since = value.into_owned();
    }
    Ok(since)
}

/// Writes the answer, money in US dollars and times in seconds.
fn body(reply: &CostsReply) -> Value {
    let mut total = CostsTotal::default();
    for row in &reply.totals {
        add(&mut total, row);
    }
    let rows = reply.totals.iter().map(|row| {
        let mut view = view(row);
        view["day"] = row.day.as_str().into();
        view["pool"] = row.pool.as_str().into();
        view["model"] = row.model.as_str().into();
        view
    });
    let rows: Vec<Value> = rows.collect();
    json!({ "since": reply.since, "until": reply.until, "usage": rows, "total": view(&total) })
}

fn add(total: &mut CostsTotal, row: &CostsTotal) {
    total.sessions = total.sessions.saturating_add(row.sessions);
    total.audio_microseconds = total.audio_microseconds.saturating_add(row.audio_microseconds);
    total.slot_microseconds = total.slot_microseconds.saturating_add(row.slot_microseconds);
    total.bytes_in = total.bytes_in.saturating_add(row.bytes_in);
    total.bytes_out = total.bytes_out.saturating_add(row.bytes_out);
    total.gpu_microdollars = total.gpu_microdollars.saturating_add(row.gpu_microdollars);
    total.egress_microdollars = total.egress_microdollars.saturating_add(row.egress_microdollars);
}

fn view(row: &CostsTotal) -> Value {
    let seconds = |micros: u64| micros as f64 / 1e6;
    let dollars = |micros: i64| micros as f64 / 1e6;
    let (gpu, egress) = (row.gpu_microdollars, row.egress_microdollars);
    json!({
        "sessions": row.sessions,
        "audio_seconds": seconds(row.audio_microseconds),
        "gpu_seconds": seconds(row.slot_microseconds),
        "bytes_in": row.bytes_in,
        "bytes_out": row.bytes_out,
        "cost": { "gpu": dollars(gpu), "egress": dollars(egress), "total": dollars(gpu.saturating_add(egress)) },
    })
}

impl From<CostsError> for Problem {
    fn from(error: CostsError) -> Self {
        let reason = match error {
            CostsError::BadQuestion(_) => CloseReason::BadParameter,
            CostsError::Away => CloseReason::RouterAway,
        };
        Self::new(reason, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_the_sum_of_the_rows_in_people_s_units() {
        let row = CostsTotal {
            day: "2026-11-20".to_owned(),
            pool: "aws".to_owned(),
            model: "m".to_owned(),
            sessions: 1,
            audio_microseconds: 1_500_000,
            slot_microseconds: 2_000_000,
            bytes_in: 48_000,
            bytes_out: 10,
            gpu_microdollars: 37,
            egress_microdollars: 4,
        };
        let reply = CostsReply { totals: vec![row.clone(), row], ..CostsReply::default() };
        let body = body(&reply);
        let expected = json!({
            "sessions": 2, "audio_seconds": 3.0, "gpu_seconds": 4.0, "bytes_in": 96_000, "bytes_out": 20,
            "cost": { "gpu": 0.000_074, "egress": 0.000_008, "total": 0.000_082 },
        });
        assert_eq!(body["total"], expected);
        assert_eq!((&body["usage"][1]["day"], &body["usage"][1]["pool"]), (&json!("2026-11-20"), &json!("aws")));
    }

    #[test]
    fn a_parameter_that_nobody_knows_is_refused_with_its_name() {
        assert_eq!(since("since=2026-11-01").unwrap(), "2026-11-01");
        let problem = since("key=other").unwrap_err();
        assert_eq!(problem.text, "unknown parameter \"key\", expected since=2026-11-01");
    }
}
