//! Files: the body is the audio, and the engine's answer is relayed as it is.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::{BodyExt, Collected, Limited};
use scheduler::rules::Service;
use scheduler::{SessionId, Work};
use serde::Deserialize;
use serde::de::IgnoredAny;
use session::CloseReason;
use store::Scope;

use super::key::presented;
use super::query::Interims;
use super::words::{self, Upload};
use super::{Listen, Problem, placement_request};
use crate::app::Shared;
use crate::callers::{header_value, peer, tell_caveat};
use crate::delivery::{Answer, Failure, Heard, Parcel, Spool, deliver};
use crate::keys::unless_revoked;
use crate::transcript::Timing;

/// Serves one file.
pub(super) async fn serve(
    shared: Arc<Shared>,
    session: SessionId,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let key = presented(request.headers())?.key;
    let caller = shared.keys.check(&key, peer(&request), Scope::Transcribe).await?;
    let mut listen = Listen::read(request.uri(), request.headers(), &shared.models, caller)?;
    shared.facts.add(&mut listen.asked.facts, Service::Listen, request.headers(), peer(&request));
    let (parts, body) = request.into_parts();
    let content_type = content_type(&parts.headers);
    if is_json(&content_type) {
        return Err(refuse_document(body).await);
    }
    let mut record = shared.admit(session, &parts.headers, &listen.asked.caller, Work::File).await?;
    let wanted = placement_request(&shared, session, &listen, Work::File);
    let query = listen.leg_query(Interims::Unwanted);
    let answered = async {
        let spool = spool(body).await?;
        let mut answer = deliver(&shared, &mut record, Parcel { wanted, query, content_type, spool }).await?;
        let (body, timing) = write(session, &listen, &mut answer).await?;
        record.used(answer.usage(audio_length(&body), body.len()));
        Ok((body, timing))
    };
    let answered: Result<(Vec<u8>, Timing), Failure> = unless_revoked(&listen.asked.caller, answered).await;
    Ok(match answered {
        Ok((body, timing)) => {
            record.end(CloseReason::Completed);
            let mut response = completed(body, session);
            tell_caveat(response.headers_mut(), timing);
            response
        }
        Err(failure) => {
            record.end(failure.reason);
            Problem::from(failure).answer(session)
        }
    })
}

const EMPTY: &str = "Bad Request: failed to process audio: corrupt or unsupported data (the body is empty)";
const GARBLED: &str = "Content-type was application/json, but we could not process the JSON payload.";
/// A longer JSON document, in bytes, is not looked at.
const LONGEST_DOCUMENT: usize = 64 << 10;
const FETCH: &str = "fetching from a url is not supported: send the audio itself as the body";

/// Audio bodies may have any type.
fn content_type(headers: &HeaderMap) -> String {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.unwrap_or("application/octet-stream").to_owned()
}

fn is_json(content_type: &str) -> bool {
    content_type.trim_start().to_ascii_lowercase().starts_with("application/json")
}

/// A JSON document means that the caller wants a URL fetched, if it means anything.
async fn refuse_document(body: Body) -> Problem {
    let document = Limited::new(body, LONGEST_DOCUMENT).collect().await.map(Collected::to_bytes);
    let garbled = document.is_ok_and(|document| serde_json::from_slice::<IgnoredAny>(&document).is_err());
    Problem::new(CloseReason::BadRequest, if garbled { GARBLED } else { FETCH })
}

async fn spool(body: Body) -> Result<Spool, Failure> {
    let spool = Spool::take(body).await?;
    if spool.length() == 0 { Err(Failure::new(CloseReason::BadAudio, EMPTY)) } else { Ok(spool) }
}

/// Relays an answer that is written already, and writes one where an engine only told what it heard.
async fn write(session: SessionId, listen: &Listen, answer: &mut Answer) -> Result<(Vec<u8>, Timing), Failure> {
    let heard = match &mut answer.heard {
        Heard::Written(body) => return Ok((std::mem::take(body), Timing::Heard)),
        Heard::Words(heard) => heard,
    };
    let created = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let heard = std::mem::take(heard);
    let upload = Upload { sha256: answer.sha256().await?, created };
    Ok((words::answer(session, listen, &heard, &upload).to_string().into_bytes(), heard.timing))
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
