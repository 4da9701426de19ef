//! `POST /v1/listen`: a file, heard while it is uploaded where its kind allows that, never held in memory.

use std::sync::Arc;
use std::time::Duration;

use audio::{AudioStream, SampleRate};
use axum::body::{Body, BodyDataStream};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::admission::{Admitted, admit};
use crate::answer::{Answers, Received};
use crate::ending::Outcome;
use crate::engine::{Engine, RequestId};
use crate::fence::Leg;
use crate::gauges;
use crate::pump::{Input, Line, Said};
use crate::query::Options;
use crate::recognizer::{RecognizerError, Word};
use crate::refusal::Refusal;
use crate::segment::Heard;
use crate::spool;
use crate::transcript::Transcript;
use crate::upload::Upload;

/// What is read of the rest of a refused upload, so that its sender sees the answer: 8 MiB, or as much as comes in 2 s.
const LARGEST_REST: usize = 1 << 23;
const LONGEST_REST: Duration = Duration::from_secs(2);

/// The samples handed to the voice at a time: a second.
pub(crate) const CHUNK: usize = 16_000;

/// Answers an upload.
pub(crate) async fn listen(
    State(engine): State<Arc<Engine>>,
    Extension(RequestId(request_id)): Extension<RequestId>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mut body = body.into_data_stream();
    match hear(&engine, request_id, (&headers, &query), &mut body).await {
        Ok(response) => {
            gauges::count(Outcome::Done);
            response
        }
        Err(refusal) => {
            discard(&mut body).await;
            Engine::refuse(request_id, &refusal)
        }
    }
}

async fn hear(
    engine: &Engine,
    request_id: Uuid,
    (headers, query): (&HeaderMap, &[(String, String)]),
    body: &mut BodyDataStream,
) -> Result<Response, Refusal> {
    if is_json(headers) {
        return Err(Refusal::Json);
    }
    let Admitted { options, slot, leg, seed } = admit(engine, request_id, headers, query).await?;
    let line = Line::new(slot, engine.config.buffer, engine.voices.pace(), engine.gauges.clone());
    engine.voices.start(line.pump, options.clone(), seed, &engine.shutdown);
    let fenced = leg.as_ref().map_or_else(CancellationToken::new, Leg::fenced);
    let answers = Answers::new(request_id, Arc::clone(&engine.model), options);
    let upload = upload(Upload::new(body, engine.config.idle), line.input, &answers.options);
    let (received, words) = tokio::select! {
        heard = async { tokio::try_join!(upload, collect(line.said)) } => heard?,
        () = fenced.cancelled() => return Err(Refusal::Fenced),
    };
    sleep_until(engine.link(seed).arrival(Instant::now())).await;
    Ok(Json(Transcript::new(&answers, received, &words)).into_response())
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Hands the body to the voice, as fast as the voice hears.
async fn upload(mut upload: Upload<'_>, input: Input, options: &Options) -> Result<Received, Refusal> {
    if options.format.is_none() && upload.container().await?.is_packed() {
        let file = spool::keep(&mut upload).await?;
        let (duration, channels) = spool::play(file, &input).await?;
        return Ok(upload.received(duration, channels));
    }
    let rate = SampleRate::HZ_16000;
    let mut audio = options.format.map_or_else(|| AudioStream::sniff(rate), |format| AudioStream::raw(format, rate));
    let mut samples = Vec::new();
    while let Some(bytes) = upload.next().await? {
        audio.push(&bytes, &mut samples)?;
        send(&input, &mut samples, CHUNK).await;
    }
    audio.finish(&mut samples)?;
    if audio.heard().is_zero() {
        return Err(audio::AudioError::Empty.into());
    }
    send(&input, &mut samples, 1).await;
    Ok(upload.received(audio.heard(), audio.input_format().map_or(1, |format| format.channels.count())))
}

/// Sends what has come together, once it is worth it. A voice that is gone says why itself.
pub(crate) async fn send(input: &Input, samples: &mut Vec<i16>, at_least: usize) {
    if samples.len() < at_least {
        return;
    }
    let Ok(room) = input.room().await else { return };
    let _ = input.hear(room, std::mem::take(samples)).await;
}

/// Gathers the words until the voice has said its last.
async fn collect(mut said: mpsc::Receiver<Said>) -> Result<Vec<Word>, Refusal> {
    let mut words = Vec::new();
    while let Some(said) = said.recv().await {
        match said {
            Said::Heard(Heard::Piece(piece)) => words.extend(piece.words),
            Said::Heard(Heard::SpeechStarted(_) | Heard::UtteranceEnd(_)) => {}
            Said::Finished => return Ok(words),
            Said::Failed(RecognizerError::ToldToHang) => std::future::pending().await,
            Said::Failed(error) => {
                tracing::warn!(%error, "voice failed on a file");
                return Err(Refusal::Failed);
            }
        }
    }
    Err(Refusal::Failed)
}

/// Reads on for a while after a refusal: an answer to somebody who is still writing would be lost with the connection.
async fn discard(body: &mut BodyDataStream) {
    let (mut read, end) = (0, Instant::now() + LONGEST_REST);
    while let Ok(Some(Ok(bytes))) = timeout_at(end, body.next()).await {
        read += bytes.len();
        if read > LARGEST_REST {
            return;
        }
    }
}
