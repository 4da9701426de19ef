//! A running engine, and callers that speak to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use audio::coded::{Checker, Script, Tally, Voice as CodedVoice};
use audio::{Encoding, Format};
use crosspoint_engine::{Config, SyntheticConfig, Voice};
use futures_util::{SinkExt, StreamExt};
use process::Shutdown;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// No test waits longer than this for anything.
const LIMIT: Duration = Duration::from_secs(30);

/// A synthetic engine on a free port, fast enough for tests.
pub(crate) fn synthetic() -> Config {
    Config {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        voice: Voice::Synthetic,
        slots: NonZeroU16::MIN.saturating_add(3),
        synthetic: SyntheticConfig {
            speed: NonZeroU32::MIN.saturating_add(999),
            latency: Duration::ZERO,
            ..SyntheticConfig::default()
        },
        ..Config::default()
    }
}

/// An engine that serves until it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: Shutdown,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

/// Starts an engine.
pub(crate) async fn start(config: Config) -> Result<Running> {
    let shutdown = Shutdown::new();
    let app = config.build().await?;
    let address = app.local_addr();
    shutdown.spawn("engine", app.run(shutdown.clone()));
    Ok(Running { address, shutdown })
}

impl Running {
    /// Makes the address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Reads `/health`.
    pub(crate) async fn health(&self) -> Result<Value> {
        Ok(reqwest::get(self.url("/health")).await?.json().await?)
    }

    /// Polls `/health` until so many slots are in use.
    pub(crate) async fn until_active(&self, slots: u64) -> Result<()> {
        let poll = async {
            while self.health().await?["active"] != slots {
                tokio::task::yield_now().await;
            }
            Ok(())
        };
        tokio::time::timeout(LIMIT, poll).await.context("the number of active slots did not come")?
    }

    /// Opens a stream.
    pub(crate) async fn call(&self, query: &str) -> Result<Caller, tungstenite::Error> {
        self.call_with(query, &[]).await
    }

    /// Opens a stream with headers of its own.
    pub(crate) async fn call_with(&self, query: &str, headers: &[(&str, &str)]) -> Result<Caller, tungstenite::Error> {
        let mut request = format!("ws://{}/v1/listen?{query}", self.address).into_client_request()?;
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|error| tungstenite::Error::HttpFormat(error.into()))?;
            request.headers_mut().insert(name, HeaderValue::from_str(value)?);
        }
        let (socket, response) = connect_async(request).await?;
        let request_id = response.headers().get("dg-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        Ok(Caller { socket, request_id: request_id.to_owned() })
    }
}

/// One open stream.
pub(crate) struct Caller {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) request_id: String,
}

/// Everything a stream said before it closed.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) messages: Vec<Value>,
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Caller {
    /// Sends audio in frames of `size` bytes.
    pub(crate) async fn send(&mut self, audio: &[u8], size: usize) -> Result<()> {
        for frame in audio.chunks(size) {
            self.socket.send(Message::binary(frame.to_vec())).await?;
        }
        Ok(())
    }

    /// Sends one frame.
    pub(crate) async fn send_frame(&mut self, frame: Message) -> Result<()> {
        Ok(self.socket.send(frame).await?)
    }

    /// Sends a text message.
    pub(crate) async fn tell(&mut self, text: &str) -> Result<()> {
        self.send_frame(Message::text(text)).await
    }

    /// Sends audio while reading, then closes the stream and reads to the end.
    pub(crate) async fn transcribe(self, audio: &[u8]) -> Result<Said> {
        let (mut sink, source) = self.socket.split();
        let sending = async move {
            for frame in audio.chunks(3_000) {
                sink.send(Message::binary(frame.to_vec())).await?;
            }
            sink.send(Message::text(r#"{"type":"CloseStream"}"#)).await?;
            Ok(sink)
        };
        let reading = read_all(source);
        let (_sink, said) = tokio::time::timeout(LIMIT, async { tokio::try_join!(sending, reading) }).await??;
        Ok(said)
    }

    /// Reads messages until one is of that type.
    pub(crate) async fn until(&mut self, kind: &str) -> Result<Value> {
        self.until_that(|message| message["type"] == kind).await
    }

    /// Reads messages until one is as wanted.
    pub(crate) async fn until_that(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            let frame = tokio::time::timeout(LIMIT, self.socket.next()).await?.context("the stream ended")??;
            match frame {
                Message::Text(text) => {
                    let message: Value = serde_json::from_str(&text)?;
                    if wanted(&message) {
                        return Ok(message);
                    }
                }
                Message::Close(frame) => bail!("the stream was closed: {frame:?}"),
                _ => {}
            }
        }
    }

    /// Reads until a pong comes.
    pub(crate) async fn pong(&mut self) -> Result<tungstenite::Bytes> {
        loop {
            let frame = tokio::time::timeout(LIMIT, self.socket.next()).await?.context("the stream ended")??;
            if let Message::Pong(bytes) = frame {
                return Ok(bytes);
            }
        }
    }

    /// Says the same again and again, and reads to the end.
    pub(crate) async fn nag(self, text: &str) -> Result<Said> {
        let (mut sink, source) = self.socket.split();
        let nagging = async {
            while sink.send(Message::text(text)).await.is_ok() {
                tokio::task::yield_now().await;
            }
            std::future::pending::<Result<Said>>().await
        };
        tokio::select! {
            said = tokio::time::timeout(LIMIT, read_all(source)) => said?,
            never = nagging => never,
        }
    }

    /// Reads to the end.
    pub(crate) async fn rest(self) -> Result<Said> {
        let (_sink, source) = self.socket.split();
        tokio::time::timeout(LIMIT, read_all(source)).await?
    }
}

async fn read_all(
    mut source: impl futures_util::Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
) -> Result<Said> {
    let mut messages = Vec::new();
    while let Some(frame) = source.next().await {
        match frame? {
            Message::Text(text) => messages.push(serde_json::from_str(&text)?),
            Message::Close(frame) => {
                let frame = frame.context("a close frame without a code")?;
                return Ok(Said { messages, code: frame.code.into(), reason: frame.reason.to_string() });
            }
            _ => {}
        }
    }
    bail!("the stream ended without a close frame, after {} messages", messages.len())
}

impl Said {
    /// Lists the results that will not change.
    pub(crate) fn finals(&self) -> Vec<&Value> {
        self.messages.iter().filter(|message| message["is_final"] == true).collect()
    }

    /// Joins the transcripts of the finals.
    pub(crate) fn text(&self) -> String {
        let texts = self.finals().into_iter().filter_map(transcript).filter(|text| !text.is_empty());
        texts.collect::<Vec<_>>().join(" ")
    }
}

/// The transcript of a result.
pub(crate) fn transcript(result: &Value) -> Option<&str> {
    result["channel"]["alternatives"][0]["transcript"].as_str()
}

/// Speaks a script.
pub(crate) fn coded(script: Script, format: Format) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut voice = CodedVoice::new(script, format);
    while voice.speak(8_000, &mut bytes) > 0 {}
    bytes
}

/// Compares a transcript with its script.
pub(crate) fn tally(script: Script, text: &str) -> Tally {
    let mut checker = Checker::new(script);
    checker.hear(text);
    checker.tally()
}

/// Wraps samples in a WAV header.
pub(crate) fn wav(format: Format, sound: &[u8]) -> Vec<u8> {
    let length = u32::try_from(sound.len()).ok();
    [&audio::wav::header(format, length)[..], sound].concat()
}

/// The query for a raw format.
pub(crate) fn query(format: Format) -> String {
    let encoding: Encoding = format.encoding;
    let channels = format.channels.count();
    format!("model=nova-3&encoding={encoding}&sample_rate={}&channels={channels}", format.rate.hertz())
}
