//! An engine that hears nothing and answers at once: whatever stands between it and the callers costs what it costs by
//! itself. It speaks `/v1/listen` and shows the pages that an agent looks at.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use process::Shutdown;
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

/// Messages of audio from one result to the next.
pub(super) const PER_RESULT: u64 = 5;
/// Bytes of a second of audio.
const SECOND: u64 = 32_000;
/// Streams that it has room for; nobody fills it.
const SLOTS: u32 = 20_000;
const READ_BUFFER: usize = 4 << 10;
/// An answer to a file, as long as that of a short sentence.
const ANSWER: &str = r#"{"metadata":{"request_id":"bench","duration":1.0,"channels":1},"results":{"channels":[{"alternatives":
[{"transcript":"what was said is not what matters here","confidence":0.98,"words":[]}]}]}}"#;

/// The running engine; it ends when this is dropped.
pub(crate) struct Engine {
    /// Where it listens.
    pub(crate) address: String,
    shutdown: Shutdown,
}

impl Engine {
    /// Starts on a free port.
    pub(crate) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?.to_string();
        let shutdown = Shutdown::new();
        let routes = Router::new()
            .route("/health", get(async || r#"{"status":"ok"}"#))
            .route("/metrics", get(metrics))
            .route("/v1/listen", get(stream).post(file))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::new(shutdown.clone()));
        let ending = shutdown.token();
        shutdown.spawn("engine", async move {
            // Should it fail, whoever is measured finds nobody here and says so.
            let _ = axum::serve(listener, routes).with_graceful_shutdown(ending.cancelled_owned()).await;
        });
        Ok(Self { address, shutdown })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

async fn metrics() -> String {
    format!("crosspoint_engine_slots {SLOTS}\ncrosspoint_engine_active_streams 0\n")
}

async fn file(body: Bytes) -> (HeaderMap, &'static str) {
    drop(body);
    (HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]), ANSWER)
}

async fn stream(State(shutdown): State<Arc<Shutdown>>, mut request: Request) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    };
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
    let upgrade = hyper::upgrade::on(&mut request);
    shutdown.spawn("stream", hear(upgrade));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.extend(accept.into_iter().map(|accept| (header::SEC_WEBSOCKET_ACCEPT, accept)));
    response
}

async fn hear(upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return };
    let settings = WebSocketConfig::default().read_buffer_size(READ_BUFFER).write_buffer_size(0);
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(settings)).await;
    answer(socket, Heard::default()).await;
}

async fn answer(mut socket: WebSocketStream<TokioIo<Upgraded>>, mut heard: Heard) {
    while let Some(Ok(message)) = socket.next().await {
        let sent = match message {
            Message::Binary(audio) => match heard.take(audio.len()) {
                Some(result) => socket.send(Message::text(result)).await,
                None => Ok(()),
            },
            Message::Text(text) if text.contains("CloseStream") => {
                let close = CloseFrame { code: 1000.into(), reason: "".into() };
                let summary = Message::text(r#"{"type":"Metadata","request_id":"bench","channels":1}"#);
                let _ = socket.send(summary).await;
                socket.send(Message::Close(Some(close))).await
            }
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
}

/// What came on a stream.
#[derive(Debug, Default)]
struct Heard {
    messages: u64,
    bytes: u64,
    /// Where the last final ended.
    settled: u64,
}

impl Heard {
    /// Takes a message; returns a result every fifth time, which is final once a second of audio is open.
    fn take(&mut self, bytes: usize) -> Option<String> {
        self.messages += 1;
        self.bytes += bytes as u64;
        self.messages.is_multiple_of(PER_RESULT).then(|| self.result())
    }

    fn result(&mut self) -> String {
        let seconds = |bytes: u64| Duration::from_secs(bytes).as_secs_f64() / Duration::from_secs(SECOND).as_secs_f64();
        let (start, duration) = (seconds(self.settled), seconds(self.bytes - self.settled));
        let is_final = self.bytes - self.settled >= SECOND;
        if is_final {
            self.settled = self.bytes;
        }
        format!(
            r#"{{"type":"Results","channel_index":[0,1],"start":{start},"duration":{duration},"is_final":{is_final},"speech_final":false,"channel":{{"alternatives":[{{"transcript":"what was said is not what matters here","confidence":0.98,"words":[{{"word":"what","start":{start},"end":{duration},"confidence":0.99}}]}}]}},"metadata":{{"request_id":"bench"}}}}"#
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fifth_message_is_answered_and_a_second_of_audio_is_settled() {
        let mut heard = Heard::default();
        let results: Vec<_> = (0..100).filter_map(|_message| heard.take(640)).collect();
        assert_eq!(results.len(), 20);
        let finals = results.iter().filter(|result| result.contains(r#""is_final":true"#)).count();
        assert_eq!(finals, 2);
        assert!(results[10].contains(r#""start":1,"duration":0.1,"#), "{}", results[10]);
    }
}
