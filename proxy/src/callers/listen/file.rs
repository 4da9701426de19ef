//! Files: the body is the audio, and the engine's answer is relayed as it is; a long file's is put together of many.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use http_body::Body as _;
use http_body_util::{BodyExt, Collected, Limited};
use scheduler::rules::Service;
use scheduler::{SessionId, Work};
use serde::Deserialize;
use serde::de::IgnoredAny;
use session::CloseReason;
use store::Scope;
use tokio::sync::mpsc;

use super::key::presented;
use super::query::Interims;
use super::{Listen, Problem, placement_request, progress, words};
use crate::app::Shared;
use crate::callers::follow::Following;
use crate::callers::{header_value, peer, tell_caveat};
use crate::delivery::{Answer, Cutting, Failure, Heard, Hint, News, Parcel, Way, choose, deliver_cut, deliver_whole};
use crate::keys::unless_revoked;
use crate::record::Record;
use crate::transcript::Timing;

/// The body of an answer, and how the times in it are known.
pub(super) type Written = (Vec<u8>, Timing);

/// Serves one file.
pub(super) async fn serve(
    shared: Arc<Shared>,
    session: SessionId,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let key = presented(request.headers())?.key;
    let caller = shared.keys.check(&key, peer(&request), Scope::Transcribe).await?;
    let mut listen = Listen::read(request.uri(), request.headers(), &shared.models.load(), caller)?;
    shared.facts.add(&mut listen.asked.facts, Service::Listen, request.headers(), peer(&request));
    let (parts, body) = request.into_parts();
    let content_type = content_type(&parts.headers);
    if is_json(&content_type) {
        return Err(refuse_document(body).await);
    }
    let mut record = shared.admit(session, &parts.headers, &listen.asked.caller, Work::File).await?;
    let upload = Upload { session, listen, content_type, body };
    if !progress::is_wanted(&parts.headers) {
        let heard = upload.hear(&shared, &mut record, None).await;
        return Ok(completed(session, record, heard));
    }
    let work = |news| async move {
        let heard = upload.hear(&shared, &mut record, Some(news)).await;
        (record, heard)
    };
    Ok(progress::follow(session, Following::new(work)).await)
}

/// Ends a session with the answer to its file, or with why there is none.
pub(super) fn completed(session: SessionId, record: Record, heard: Result<Written, Failure>) -> Response<Body> {
    match heard {
        Ok((body, timing)) => {
            record.end(CloseReason::Completed);
            let mut response = found(session, "application/json", body);
            tell_caveat(response.headers_mut(), timing);
            response
        }
        Err(failure) => {
            record.end(failure.reason);
            Problem::from(failure).answer(session)
        }
    }
}

/// A file that is uploaded, and what is wanted for it.
struct Upload {
    session: SessionId,
    listen: Listen,
    content_type: String,
    body: Body,
}

impl Upload {
    /// Takes it in and gets it heard, at the same time where that can be, for as long as its caller's key is good.
    async fn hear(
        self,
        shared: &Arc<Shared>,
        record: &mut Record,
        news: Option<mpsc::Sender<News>>,
    ) -> Result<Written, Failure> {
        let Self { session, listen, content_type, body } = self;
        let length = body.size_hint().exact();
        let (intake, spool) = shared.spools.open(length);
        record.receiving(&spool);
        let wanted = placement_request(shared, session, &listen, Work::File);
        let query = listen.leg_query(Interims::Unwanted);
        let hint = Hint { format: listen.format, bytes: length };
        let parcel = Parcel { wanted, query, content_type, spool: spool.clone() };
        let taking = async {
            intake.take_body(body).await?;
            if spool.growth().length == 0 { Err(Failure::new(CloseReason::BadAudio, EMPTY)) } else { Ok(()) }
        };
        // Boxed: it is much larger than everything around it.
        let hearing = Box::pin(deliver(shared, record, (&listen, parcel), (hint, news)));
        let ((), mut answer) =
            unless_revoked(&listen.asked.caller, async { tokio::try_join!(taking, hearing) }).await?;
        let (body, timing) = write(session, &listen, &mut answer).await;
        record.used(answer.usage(audio_length(&body), body.len()));
        Ok((body, timing))
    }
}

/// Gets a file heard the way it is to go.
async fn deliver(
    shared: &Arc<Shared>,
    record: &mut Record,
    (listen, parcel): (&Listen, Parcel),
    (hint, news): (Hint, Option<mpsc::Sender<News>>),
) -> Result<Answer, Failure> {
    match choose(&parcel.spool, hint, shared.config.files.cut_from).await {
        Way::Cut(expected) if !listen.needs_the_whole() => {
            deliver_cut(shared, record, parcel, Cutting { format: hint.format, expected, news }).await
        }
        Way::Cut(_) => {
            // A slot is not held for as long as a long upload takes.
            parcel.spool.settled().await;
            deliver_whole(shared, record, parcel, &mut 0).await
        }
        Way::Whole => deliver_whole(shared, record, parcel, &mut 0).await,
    }
}

/// Relays an answer that is written already, and writes one where engines only told what they heard.
async fn write(session: SessionId, listen: &Listen, answer: &mut Answer) -> Written {
    match &mut answer.heard {
        Heard::Written(body) => (std::mem::take(body), Timing::Heard),
        Heard::Words(heard) => {
            let created = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
            let upload = words::Upload { sha256: answer.upload.sha256().await, created };
            (words::answer(session, listen, heard, &upload).to_string().into_bytes(), heard.timing)
        }
    }
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

/// Answers 200 with a body of this type.
pub(super) fn found(session: SessionId, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
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
