//! Files: spooled, then given to one node after the other until one answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::{BodyExt, Collected, Limited};
use scheduler::{Class, Placement, SessionId, Work};
use serde::Deserialize;
use serde::de::IgnoredAny;
use session::{Candidates, CloseReason, Next, Usage};

use super::answer::header_value;
use super::key::presented;
use super::query::Interims;
use super::spool::Spool;
use super::{Listen, Problem, peer, placement_request};
use crate::app::Shared;
use crate::engines::listen::send_file;
use crate::engines::{LegHeaders, OpenError};
use crate::metrics;
use crate::record::Record;

/// Serves one file.
pub(super) async fn serve(
    shared: Arc<Shared>,
    session: SessionId,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let key = presented(request.headers())?.key;
    let tenant = shared.caller(&key, peer(&request)).await?.tenant;
    let listen = Listen::read(request.uri(), request.headers(), &shared.models, tenant)?;
    let (parts, body) = request.into_parts();
    let content_type = content_type(&parts.headers);
    if is_json(&content_type) {
        return Err(refuse_document(body).await);
    }
    let record = Record::begin(session, listen.tenant.clone(), Work::File, shared.reporter.clone());
    let upload = match Spool::take(body).await {
        Ok(spool) if spool.length() == 0 => Err(Problem::new(CloseReason::BadAudio, EMPTY)),
        taken => taken,
    };
    match upload {
        Ok(spool) => Ok(Delivery { shared, listen, record, spool, content_type, began: Instant::now() }.run().await),
        Err(problem) => {
            record.end(problem.reason);
            Ok(problem.answer(session))
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

/// One file on its way through the candidates.
struct Delivery {
    shared: Arc<Shared>,
    listen: Listen,
    record: Record,
    spool: Spool,
    content_type: String,
    began: Instant,
}

impl Delivery {
    async fn run(mut self) -> Response<Body> {
        let session = self.record.session();
        let answer = self.deliver().await;
        let (reason, response) = match answer {
            Ok(body) => (CloseReason::Completed, self.completed(body)),
            Err(problem) => (problem.reason, problem.answer(session)),
        };
        self.record.end(reason);
        response
    }

    async fn deliver(&mut self) -> Result<Vec<u8>, Problem> {
        let mut wanted = placement_request(&self.shared, self.record.session(), &self.listen, Work::File);
        let mut candidates = Candidates::new(self.shared.placer.place(&wanted).await.map_err(Problem::no_node)?);
        let mut epoch = 0;
        let mut last = CloseReason::NoCapacity;
        loop {
            match candidates.advance() {
                Next::Try(placement) => {
                    epoch += 1;
                    match self.send(&placement, epoch).await {
                        Ok(body) => return Ok(body),
                        Err(OpenError::CallersFault(text)) => return Err(Problem::new(CloseReason::BadAudio, text)),
                        Err(OpenError::TryAnother(cause)) => {
                            metrics::leg_refused();
                            self.record.failed(&placement.node, &cause);
                            candidates.note_failed(placement.node);
                            last = CloseReason::NodeFailed;
                        }
                    }
                }
                Next::Ask => {
                    wanted.class = Class::Failover;
                    wanted.exclude = candidates.failed().clone();
                    candidates.add(self.shared.placer.place(&wanted).await.map_err(Problem::no_node)?);
                }
                Next::Exhausted => return Err(Problem::no_node(last)),
            }
        }
    }

    async fn send(&mut self, placement: &Placement, epoch: u32) -> Result<Vec<u8>, OpenError> {
        let headers = LegHeaders { session: self.record.session(), epoch };
        let url = format!("http://{}/v1/listen?{}", placement.address, self.listen.leg_query(Interims::Unwanted));
        let body = self.spool.body().await.map_err(|error| OpenError::TryAnother(error.to_string()))?;
        self.record.trying(&placement.node);
        let opened = Instant::now();
        let sent =
            send_file(&self.shared.http, &url, &headers, (&self.content_type, body), self.shared.config.file_timeout)
                .await;
        self.record.used(Usage { bytes_in: self.spool.length(), slot: opened.elapsed(), ..Usage::default() });
        if sent.is_ok() {
            self.record.opened(&placement.node, epoch);
        }
        sent
    }

    fn completed(&mut self, body: Vec<u8>) -> Response<Body> {
        let usage = Usage {
            audio: audio_length(&body),
            bytes_in: self.spool.length(),
            bytes_out: body.len() as u64,
            slot: self.began.elapsed(),
        };
        self.record.used(usage);
        metrics::leg_opened(self.began.elapsed());
        let mut response = Response::new(Body::from(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("dg-request-id", header_value(&self.record.session().to_string()));
        response
    }
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
