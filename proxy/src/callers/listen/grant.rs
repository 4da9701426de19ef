//! `/v1/auth/grant`: a short token for a web page, which must not hold a key.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Response, header};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::json;
use session::CloseReason;

use super::Problem;
use super::key::presented;
use crate::app::Shared;
use crate::callers::peer;

/// A longer body, in bytes, is not read.
const LONGEST: usize = 1 << 10;
/// What Deepgram's API takes.
const SECONDS: std::ops::RangeInclusive<u64> = 1..=3600;

/// What is asked for.
#[derive(Deserialize)]
struct Wanted {
    #[serde(default = "Wanted::usual")]
    ttl_seconds: u64,
}

impl Wanted {
    fn usual() -> u64 {
        30
    }
}

/// Serves one token. Who asks for more than a minute is given a minute, and told so.
pub(super) async fn serve(shared: &Shared, request: Request) -> Result<Response<Body>, Problem> {
    let (key, peer) = (presented(request.headers())?.key, peer(&request));
    let Wanted { ttl_seconds } = read(request.into_body()).await?;
    let (token, life) = shared.keys.lend(&key, peer, Duration::from_secs(ttl_seconds)).await?;
    let body = json!({ "access_token": token.expose(), "expires_in": life.as_secs() });
    let mut response = Response::new(Body::from(body.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn read(body: Body) -> Result<Wanted, Problem> {
    let bad = || Problem::new(CloseReason::BadRequest, "expected a body such as {\"ttl_seconds\":30}, from 1 to 3600");
    let body = Limited::new(body, LONGEST).collect().await.map_err(|_| bad())?.to_bytes();
    let wanted =
        if body.is_empty() { Ok(Wanted { ttl_seconds: Wanted::usual() }) } else { serde_json::from_slice(&body) };
    wanted.ok().filter(|wanted: &Wanted| SECONDS.contains(&wanted.ttl_seconds)).ok_or_else(bad)
}
