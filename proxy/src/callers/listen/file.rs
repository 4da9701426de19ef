//! Files: the body is the audio, and the engine's answer is relayed as it is; a long file's is put together of many.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use http_body::Body as _;
use http_body_util::{BodyExt, Collected, Limited};
use scheduler::{SessionId, Work};
use serde::Deserialize;
use serde::de::IgnoredAny;
use session::CloseReason;
use tokio::sync::mpsc;

use super::key::presented;
use super::query::Interims;
use super::{Listen, Problem, placement_request, progress};
use crate::app::Shared;
use crate::callers::follow::Following;
use crate::callers::{header_value, peer};
use crate::delivery::{Cutting, Failure, Hint, News, Parcel, Way, choose, deliver_cut, deliver_whole, new_spool};
use crate::record::Record;
use crate::trace::Trace;

/// Serves one file.
pub(super) async fn serve(
    shared: Arc<Shared>,
    session: SessionId,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let key = presented(request.headers())?.key;
    let caller = shared.keys.check(&key, peer(&request)).await?;
    let listen = Listen::read(request.uri(), request.headers(), &shared.models, caller)?;
    let (parts, body) = request.into_parts();
    let content_type = content_type(&parts.headers);
    if is_json(&content_type) {
        return Err(refuse_document(body).await);
    }
    let trace = Trace::of(&parts.headers);
    let mut record = shared.admit(session, trace, &listen.asked.caller, Work::File).map_err(Failure::no_node)?;
    let wanted = placement_request(&shared, session, &listen, Work::File);
    let hint = Hint { format: listen.format, bytes: body.size_hint().exact() };
    let cuts = if listen.needs_the_whole() { Cuts::Forbidden } else { Cuts::Allowed };
    let upload = Upload { wanted, query: listen.leg_query(Interims::Unwanted), content_type, hint, cuts, body };
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
pub(super) fn completed(session: SessionId, record: Record, heard: Result<Vec<u8>, Failure>) -> Response<Body> {
    match heard {
        Ok(body) => {
            record.end(CloseReason::Completed);
            found(session, "application/json", body)
        }
        Err(failure) => {
            record.end(failure.reason);
            Problem::from(failure).answer(session)
        }
    }
}

/// Whether a file may be heard in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cuts {
    Allowed,
    Forbidden,
}

/// A file that is uploaded, and what is wanted for it.
struct Upload {
    wanted: scheduler::Request,
    query: String,
    content_type: String,
    hint: Hint,
    cuts: Cuts,
    body: Body,
}

impl Upload {
    /// Takes it in and gets it heard, at the same time where that can be.
    async fn hear(
        self,
        shared: &Arc<Shared>,
        record: &mut Record,
        news: Option<mpsc::Sender<News>>,
    ) -> Result<Vec<u8>, Failure> {
        let Self { wanted, query, content_type, hint, cuts, body } = self;
        let (intake, spool) = new_spool()?;
        let parcel = Parcel { wanted, query, content_type, spool: spool.clone() };
        let taking = async {
            intake.take_body(body).await?;
            if spool.growth().length == 0 { Err(Failure::new(CloseReason::BadAudio, EMPTY)) } else { Ok(()) }
        };
        let hearing = async {
            match (choose(&spool, hint, shared.config.files.cut_from).await, cuts) {
                (Way::Cut(expected), Cuts::Allowed) => {
                    let cutting = Cutting { format: hint.format, expected, news };
                    deliver_cut(shared, record, parcel, cutting).await
                }
                (Way::Cut(_), Cuts::Forbidden) => {
                    // A slot is not held for as long as a long upload takes.
                    spool.settled().await;
                    deliver_whole(shared, record, parcel, &mut 0).await
                }
                (Way::Whole, _) => deliver_whole(shared, record, parcel, &mut 0).await,
            }
        };
        let ((), answer) = tokio::try_join!(taking, hearing)?;
        record.used(answer.usage(audio_length(&answer.body), answer.body.len()));
        Ok(answer.body)
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
