//! A caller of `/v1/listen`, message by message.

use anyhow::Context as _;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::http::{Answer, Door};
use super::speech::transcript;
use super::up::KEY;
use super::within;

/// What a caller sends at a time, in bytes: 100 ms of speech.
const MESSAGE: usize = 3_200;

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// An open stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) socket: Socket,
    pub(crate) accepted: Answer,
}

/// What a handshake came to.
#[derive(Debug)]
pub(crate) enum Opened {
    Stream(Box<Stream>),
    Refused(Answer),
}

impl Opened {
    pub(crate) fn stream(self) -> anyhow::Result<Stream> {
        match self {
            Self::Stream(stream) => Ok(*stream),
            Self::Refused(answer) => anyhow::bail!("refused: {answer:?}"),
        }
    }

    pub(crate) fn refused(self) -> anyhow::Result<Answer> {
        match self {
            Self::Stream(stream) => anyhow::bail!("opened: {:?}", stream.accepted),
            Self::Refused(answer) => Ok(answer),
        }
    }
}

/// How a stream ended: everything that was said, then the close.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) messages: Vec<Value>,
    pub(crate) code: u16,
    pub(crate) reason: String,
}

/// Opens a stream with the key.
pub(crate) async fn open(door: &impl Door, query: &str) -> anyhow::Result<Stream> {
    open_at(door.address(), query).await
}

/// Opens a stream with the key, at the proxy with this address.
pub(crate) async fn open_at(address: &str, query: &str) -> anyhow::Result<Stream> {
    knock_at(address, query, &[("authorization", &format!("Token {KEY}"))]).await?.stream()
}

/// Tries to open a stream with these headers.
pub(crate) async fn knock(door: &impl Door, query: &str, headers: &[(&str, &str)]) -> anyhow::Result<Opened> {
    knock_at(door.address(), query, headers).await
}

/// Tries to open a stream at an address with these headers.
pub(crate) async fn knock_at(address: &str, query: &str, headers: &[(&str, &str)]) -> anyhow::Result<Opened> {
    let mut request = format!("ws://{address}/v1/listen?{query}").into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(name.parse::<HeaderName>()?, HeaderValue::from_str(value)?);
    }
    let tcp = TcpStream::connect(address).await?;
    match within("answer to a handshake", client_async(request, tcp)).await? {
        Ok((socket, response)) => {
            let (parts, _body) = response.into_parts();
            let accepted = Answer { status: parts.status.as_u16(), headers: parts.headers, body: Vec::new() };
            Ok(Opened::Stream(Box::new(Stream { socket, accepted })))
        }
        Err(Error::Http(response)) => {
            let (parts, body) = response.into_parts();
            let body = body.unwrap_or_default();
            Ok(Opened::Refused(Answer { status: parts.status.as_u16(), headers: parts.headers, body }))
        }
        Err(error) => Err(error.into()),
    }
}

impl Stream {
    /// Returns the session, which is the request's id.
    pub(crate) fn session(&self) -> anyhow::Result<String> {
        self.accepted.request_id()
    }

    /// Sends audio.
    pub(crate) async fn audio(&mut self, sound: &[u8]) -> anyhow::Result<()> {
        for message in sound.chunks(MESSAGE) {
            within("room for audio", self.socket.send(Message::Binary(message.to_vec().into()))).await??;
        }
        Ok(())
    }

    /// Sends a text message.
    pub(crate) async fn text(&mut self, text: &str) -> anyhow::Result<()> {
        Ok(within("room for text", self.socket.send(Message::text(text))).await??)
    }

    /// Waits for a message that `wanted` picks; returns it after those that came before it.
    pub(crate) async fn next(&mut self, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Vec<Value>> {
        let mut messages = Vec::new();
        loop {
            match within("message", self.socket.next()).await?.context("the end of the connection")?? {
                Message::Text(text) => messages.push(serde_json::from_str(&text)?),
                Message::Close(frame) => anyhow::bail!("closed: {frame:?}"),
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
            if messages.last().is_some_and(&wanted) {
                return Ok(messages);
            }
        }
    }

    /// Sends audio and the request to finish, as fast as it is taken, while it listens to the end.
    pub(crate) async fn say(self, sound: &[u8]) -> anyhow::Result<Ended> {
        let messages = sound.chunks(MESSAGE).map(|message| Message::Binary(message.to_vec().into()));
        self.send(messages.chain([Message::text(r#"{"type":"CloseStream"}"#)])).await
    }

    /// Sends messages as fast as they are taken while it listens to the end. A stream that was ended before it took
    /// everything still says why.
    pub(crate) async fn send(self, messages: impl Iterator<Item = Message>) -> anyhow::Result<Ended> {
        let (sink, source) = self.socket.split();
        let (_sent, ended) = tokio::join!(send_all(sink, messages), listen(source));
        ended
    }

    /// Listens to the end.
    pub(crate) async fn end(self) -> anyhow::Result<Ended> {
        listen(self.socket).await
    }
}

async fn send_all(mut sink: SplitSink<Socket, Message>, messages: impl Iterator<Item = Message>) -> Result<(), Error> {
    for message in messages {
        sink.send(message).await?;
    }
    Ok(())
}

/// Listens to the end.
pub(crate) async fn listen<S>(mut source: S) -> anyhow::Result<Ended>
where
    S: futures_util::Stream<Item = Result<Message, Error>> + Unpin,
{
    let mut messages = Vec::new();
    loop {
        match within("message or close", source.next()).await?.context("the connection ended without a close")?? {
            Message::Text(text) => messages.push(serde_json::from_str(&text)?),
            Message::Close(frame) => {
                let frame = frame.context("a close without a code")?;
                // The answer to the close leaves while the end of the connection is awaited.
                while let Some(Ok(_)) = within("end of the connection", source.next()).await? {}
                return Ok(Ended { messages, code: frame.code.into(), reason: frame.reason.as_str().to_owned() });
            }
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

impl Ended {
    /// Returns the results, final or not.
    pub(crate) fn results(&self, kind: Kind) -> impl Iterator<Item = &Value> {
        of_kind(&self.messages, kind)
    }

    /// Returns code and reason of the close.
    pub(crate) fn close(&self) -> (u16, &str) {
        (self.code, &self.reason)
    }
}

/// Which results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Interim,
    Final,
}

/// Picks results.
pub(crate) fn of_kind(messages: &[Value], kind: Kind) -> impl Iterator<Item = &Value> {
    messages.iter().filter(move |message| is(message, kind))
}

/// Tells whether a message is a result of this kind.
pub(crate) fn is(message: &Value, kind: Kind) -> bool {
    message["type"] == "Results" && message["is_final"] == (kind == Kind::Final)
}

/// Joins the final transcripts.
pub(crate) fn text<'a>(finals: impl Iterator<Item = &'a Value>) -> String {
    let spoken: Vec<_> = finals.map(|result| transcript(&result["channel"])).filter(|text| !text.is_empty()).collect();
    spoken.join(" ")
}

/// Checks that results follow each other without a gap or an overlap, and returns where they end.
pub(crate) fn ensure_tiled<'a>(finals: impl Iterator<Item = &'a Value>) -> anyhow::Result<f64> {
    let mut end = 0.0_f64;
    for result in finals {
        let (start, duration) = (result["start"].as_f64(), result["duration"].as_f64());
        let (start, duration) = (start.context("a start")?, duration.context("a duration")?);
        anyhow::ensure!((start - end).abs() < 1e-6, "a result begins at {start} s, the one before ended at {end} s");
        end = start + duration;
    }
    Ok(end)
}
