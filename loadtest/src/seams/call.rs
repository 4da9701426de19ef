//! A caller with real speech, who sends as fast as it is taken.

use std::time::Duration;

use futures_util::future::join;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::recording::FORMAT;
use super::score::words;
use super::{CallError, SeamsError};

const CLOSE_STREAM: &str = r#"{"type":"CloseStream"}"#;
/// What is sent at a time: 20 ms.
const FRAME: usize = 640;
/// The engine has heard up to a cut when its last guess ends so near before it, or when it took this long.
const NEAR: f64 = 0.6;
const HEARD: Duration = Duration::from_secs(4);
/// How long a whole stream may take.
const PATIENCE: Duration = Duration::from_secs(180);

type Socket = WebSocketStream<TcpStream>;

/// A word and its place, in seconds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct TimedWord {
    #[serde(rename = "word")]
    pub(super) text: String,
    pub(super) start: f64,
    pub(super) end: f64,
}

impl TimedWord {
    pub(super) fn middle(&self) -> f64 {
        f64::midpoint(self.start, self.end)
    }
}

/// Everything that was told for good.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The words of the transcripts.
    pub(super) transcript: Vec<String>,
    /// The words with their times.
    pub(super) words: Vec<TimedWord>,
}

/// An open stream.
pub(super) struct Call {
    socket: Socket,
    session: String,
}

#[derive(Deserialize)]
struct Said {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    is_final: bool,
    #[serde(default)]
    start: f64,
    #[serde(default)]
    duration: f64,
    #[serde(default)]
    channel: serde_json::Value,
}

#[derive(Deserialize)]
struct Channel {
    alternatives: Vec<Alternative>,
}

#[derive(Deserialize)]
struct Alternative {
    transcript: String,
    #[serde(default)]
    words: Vec<TimedWord>,
}

impl Call {
    /// Opens a stream at a proxy, which wants a key, or at an engine.
    pub(super) async fn open(address: &str, key: Option<&str>) -> Result<Self, CallError> {
        let unreachable = |error: &dyn std::fmt::Display| CallError::Unreachable {
            address: address.to_owned(),
            cause: error.to_string(),
        };
        let format = format!("encoding={}&sample_rate={}", FORMAT.encoding, FORMAT.rate.hertz());
        let url = format!("ws://{address}/v1/listen?model=sphinx-en-us&{format}&interim_results=true");
        let mut request = url.into_client_request().map_err(|error| unreachable(&error))?;
        if let Some(value) = key.and_then(|key| HeaderValue::from_str(&format!("Token {key}")).ok()) {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let stream = TcpStream::connect(address).await.map_err(|error| unreachable(&error))?;
        let (socket, answer) = client_async(request, stream).await.map_err(|error| unreachable(&error))?;
        let session = answer.headers().get("dg-request-id").and_then(|id| id.to_str().ok());
        Ok(Self { socket, session: session.unwrap_or_default().to_owned() })
    }

    /// Returns the request's id.
    pub(super) fn session(&self) -> &str {
        &self.session
    }

    /// Speaks, and listens to the end.
    pub(super) async fn speak(self, sound: &[u8]) -> Result<Told, SeamsError> {
        self.speak_around((sound, &[]), async { Ok(()) }).await
    }

    /// Speaks, lets something happen once the engine has heard the first part, and goes on.
    pub(super) async fn speak_around(
        self,
        (before, after): (&[u8], &[u8]),
        happening: impl Future<Output = Result<(), SeamsError>>,
    ) -> Result<Told, SeamsError> {
        let (mut sink, source) = self.socket.split();
        let (tell, mut heard) = watch::channel(0.0);
        let speaking = async {
            send(&mut sink, before).await?;
            if !after.is_empty() {
                let reached = FORMAT.rate.duration_of(before.len() as u64 / 2).as_secs_f64() - NEAR;
                let _ = timeout(HEARD, heard.wait_for(|heard| *heard >= reached)).await;
            }
            happening.await?;
            send(&mut sink, after).await?;
            sink.send(Message::text(CLOSE_STREAM)).await.map_err(|error| broken(&error))
        };
        let both = timeout(PATIENCE, join(speaking, listen(source, tell))).await;
        let (spoken, told) = both.map_err(|_| broken(&"it did not end"))?;
        // Where the stream was closed, that says more than that it cannot be written any more.
        let told = told?;
        spoken.map(|()| told)
    }
}

async fn send(sink: &mut SplitSink<Socket, Message>, sound: &[u8]) -> Result<(), SeamsError> {
    for frame in sound.chunks(FRAME) {
        sink.send(Message::binary(frame.to_vec())).await.map_err(|error| broken(&error))?;
    }
    Ok(())
}

async fn listen(mut source: SplitStream<Socket>, heard: watch::Sender<f64>) -> Result<Told, SeamsError> {
    let mut told = Told::default();
    loop {
        match source.next().await {
            Some(Ok(Message::Text(text))) => hear(&text, &mut told, &heard)?,
            Some(Ok(Message::Close(Some(close)))) if u16::from(close.code) == 1_000 => {
                while let Some(Ok(_)) = source.next().await {}
                return Ok(told);
            }
            Some(Ok(Message::Close(close))) => return Err(broken(&format!("it was closed: {close:?}"))),
            Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Err(error)) => return Err(broken(&error)),
            None => return Err(broken(&SocketError::ConnectionClosed)),
        }
    }
}

fn hear(text: &str, told: &mut Told, heard: &watch::Sender<f64>) -> Result<(), SeamsError> {
    let nonsense = |error: serde_json::Error| broken(&format!("{text:?} makes no sense: {error}"));
    let said: Said = serde_json::from_str(text).map_err(nonsense)?;
    if said.kind != "Results" {
        return Ok(());
    }
    let Channel { alternatives } = serde_json::from_value(said.channel).map_err(nonsense)?;
    heard.send_replace(said.start + said.duration);
    for alternative in alternatives.into_iter().take(usize::from(said.is_final)) {
        told.transcript.extend(words(&alternative.transcript));
        told.words.extend(alternative.words);
    }
    Ok(())
}

fn broken(what: &dyn std::fmt::Display) -> SeamsError {
    SeamsError::Broken { what: what.to_string(), log: String::new() }
}
