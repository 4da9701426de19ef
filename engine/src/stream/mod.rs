//! `GET /v1/listen`: a stream over a WebSocket. Listening and speaking are two futures of one task, so that neither side
//! waits for the other; only the voice's queue joins them.

mod control;
mod listening;
mod speaking;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::admission::{Admitted, admit};
use crate::answer::Answers;
use crate::ending::Ending;
use crate::engine::{Engine, RequestId};
use crate::fence::Leg;
use crate::gauges;
use crate::pump::Line;
use crate::refusal::Refusal;
use crate::synthetic::Garbler;

use listening::Listening;
use speaking::{Speaking, Spoken};

/// The largest message a caller may send: 1 MiB.
const LARGEST_MESSAGE: usize = 1 << 20;

/// What is read of a message that is too large, so that its sender can be told instead of being cut off: 4 MiB.
const LARGEST_READ: usize = 1 << 22;

/// How long a caller may take to accept one message, or to answer a close.
const PATIENCE: Duration = Duration::from_secs(30);
const FAREWELL: Duration = Duration::from_secs(5);

/// How long a hanging stream hangs before its connection goes after all.
const HANG: Duration = Duration::from_secs(600);

/// Errors of the protocol that may wait to be told.
const NOTES: usize = 8;

/// Answers a handshake.
pub(crate) async fn listen(
    State(engine): State<Arc<Engine>>,
    Extension(RequestId(request_id)): Extension<RequestId>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return Engine::refuse(request_id, &Refusal::NotWebSocket(rejection.body_text())),
    };
    let admitted = match admit(&engine, request_id, &headers, &query).await {
        Ok(admitted) => admitted,
        Err(refusal) => return Engine::refuse(request_id, &refusal),
    };
    let shutdown = engine.shutdown.clone();
    with_protocol(upgrade)
        .max_message_size(LARGEST_READ)
        .max_frame_size(LARGEST_READ)
        .on_upgrade(async move |socket| shutdown.spawn("stream", serve(engine, request_id, admitted, socket)))
}

/// Echoes the scheme a caller offered as a subprotocol, never the key beside it.
fn with_protocol(mut upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    let scheme = |offered: &&HeaderValue| {
        offered.to_str().is_ok_and(|name| name.eq_ignore_ascii_case("token") || name.eq_ignore_ascii_case("bearer"))
    };
    let chosen = upgrade.requested_protocols().find(scheme).cloned();
    if let Some(protocol) = chosen {
        upgrade.set_selected_protocol(protocol);
    }
    upgrade
}

/// Serves a stream to its end.
async fn serve(engine: Arc<Engine>, request_id: Uuid, admitted: Admitted, socket: WebSocket) {
    let (mut sink, mut source) = socket.split();
    let ending = converse(&engine, request_id, admitted, &mut sink, &mut source).await;
    gauges::count(ending.outcome());
    debug!(%request_id, ?ending, "stream ended");
    part(ending, sink, source).await;
}

async fn converse(
    engine: &Engine,
    request_id: Uuid,
    admitted: Admitted,
    sink: &mut SplitSink<WebSocket, Message>,
    source: &mut SplitStream<WebSocket>,
) -> Ending {
    let Admitted { options, slot, leg, seed } = admitted;
    let mut line = Line::new(slot, engine.config.buffer, engine.voices.pace(), engine.gauges.clone());
    engine.voices.start(line.pump, options.clone(), seed, &engine.shutdown);
    let answers = Answers::new(request_id, Arc::clone(&engine.model), options);
    let (note, notes) = mpsc::channel(NOTES);
    let (tell, received) = oneshot::channel();
    let listening = Listening::new(source, line.input, &answers, note, engine.config.idle);
    let speaking = Speaking::new(sink, &answers, engine.link(seed), Garbler::new(engine.config.faults(), seed));
    let mut listening = pin!(listening.run(tell));
    let mut speaking = pin!(speaking.run(&mut line.said, notes, received));
    let fenced = leg.as_ref().map_or_else(CancellationToken::new, Leg::fenced);
    let ending = tokio::select! {
        ending = &mut listening => ending,
        spoken = &mut speaking => ending_of(spoken, request_id),
        () = fenced.cancelled() => Ending::Fenced,
    };
    if ending == Ending::Hung {
        // Nothing is read, said or freed: the line and the leg stay as they are.
        tokio::time::sleep(HANG).await;
    }
    ending
}

fn ending_of(spoken: Spoken, request_id: Uuid) -> Ending {
    use crate::recognizer::RecognizerError;
    match spoken {
        Spoken::Everything => Ending::Done,
        Spoken::Unheard => Ending::Gone,
        Spoken::Failed(Some(RecognizerError::ToldToDie)) => Ending::Broken,
        Spoken::Failed(Some(RecognizerError::ToldToHang)) => Ending::Hung,
        Spoken::Failed(Some(RecognizerError::Sphinx(error))) => {
            warn!(%request_id, %error, "voice failed");
            Ending::Failed
        }
        Spoken::Failed(None) => Ending::Failed,
    }
}

/// Closes the connection as the ending demands. The close is followed by reading on until the caller has closed, too:
/// a socket dropped with unread bytes resets, and the caller would lose what was said last.
async fn part(ending: Ending, mut sink: SplitSink<WebSocket, Message>, mut source: SplitStream<WebSocket>) {
    let Some(frame) = ending.close_frame() else { return };
    if let Ok(Ok(())) = timeout(FAREWELL, sink.send(Message::Close(Some(frame)))).await {
        let _ = timeout(FAREWELL, async { while let Some(Ok(_)) = source.next().await {} }).await;
    }
}
