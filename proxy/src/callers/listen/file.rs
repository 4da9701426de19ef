//! Files: the body is the audio, and the engine's answer is relayed as it is.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use scheduler::{SessionId, Work};
use serde::Deserialize;
use session::CloseReason;

use super::key::presented;
use super::query::Interims;
use super::{Listen, Problem, placement_request};
use crate::app::Shared;
use crate::callers::{header_value, peer};
use crate::delivery::{Failure, Parcel, Spool, deliver};
use crate::record::Record;

/// Serves one file.
pub(super) async fn serve(
    shared: Arc<Shared>,
    session: SessionId,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let key = presented(request.headers())?.key;
    let tenant = shared.keys.check(&key, peer(&request)).await?.tenant;
    let listen = Listen::read(request.uri(), request.headers(), &shared.models, tenant)?;
    let (parts, body) = request.into_parts();
    let content_type = content_type(&parts.headers)?;
    let mut record = Record::begin(session, listen.asked.tenant.clone(), Work::File, shared.reporter.clone());
    let wanted = placement_request(&shared, session, &listen, Work::File);
    let query = listen.leg_query(Interims::Unwanted);
    let answered = async {
        let spool = spool(body).await?;
        let answer = deliver(&shared, &mut record, Parcel { wanted, query, content_type, spool }).await?;
        record.used(answer.usage(audio_length(&answer.body), answer.body.len()));
        Ok(answer.body)
    };
    let answered: Result<Vec<u8>, Failure> = answered.await;
    Ok(match answered {
        Ok(body) => {
            record.end(CloseReason::Completed);
            completed(body, session)
        }
        Err(failure) => {
            record.end(failure.reason);
            Problem::from(failure).answer(session)
        }
    })
}

const EMPTY: &str = "Bad Request: failed to process audio: corrupt or unsupported data (the body is empty)";
const FETCH: &str = "fetching from a url is not supported: send the audio itself as the body";

/// Audio bodies may have any type; JSON means that the caller wants a URL fetched.
fn content_type(headers: &HeaderMap) -> Result<String, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or("application/octet-stream");
    if content_type.trim_start().to_ascii_lowercase().starts_with("application/json") {
        return Err(Problem::new(CloseReason::BadRequest, FETCH));
    }
    Ok(content_type.to_owned())
}

async fn spool(body: Body) -> Result<Spool, Failure> {
    let spool = Spool::take(body).await?;
    if spool.length() == 0 { Err(Failure::new(CloseReason::BadAudio, EMPTY)) } else { Ok(spool) }
}

fn completed(body: Vec<u8>, session: SessionId) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("dg-request-id", header_value(&session.to_string()));
    response
}

/// Reads how much audio the engine heard.
fn audio_length(body: &[u8]) -> Duration {
    #[derive(Deserialize)]
    struct Answer {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        duration: f64,
    }
    let answer = serde_json::from_slice::<Answer>(body).ok();
    answer.and_then(|answer| Duration::try_from_secs_f64(answer.metadata.duration).ok()).unwrap_or_default()
}
