//! A WAV file over a WebSocket, at the speed of speech. Sending and hearing go on side by side: whoever only sends until
//! the end stops a proxy that waits for its results to be taken.

use std::path::Path;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::header::AUTHORIZATION;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::failure::{Failure, RequestId};
use super::live::{Pace, Screen, Show};
use super::proxy::{Proxy, request_id};
use super::transcript::{Finals, Transcript, said_in};
use super::wav::Sound;

/// The longest to wait for a connection, and for a sign of life.
const CONNECT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(60);
/// How much audio goes into one frame.
const FRAME: Duration = Duration::from_millis(100);
const CLOSE_STREAM: &str = r#"{"type":"CloseStream"}"#;
/// The code of a stream that ended as it should.
const NORMAL: u16 = 1000;

type Socket = WebSocketStream<TcpStream>;

/// Streams a file and returns what was heard; `show` says what is written meanwhile.
///
/// # Errors
/// Fails on a file that is no WAV file, a proxy that is not there or refuses, and a stream that does not end well.
pub(super) async fn transcribe(proxy: &Proxy, path: &Path, pace: Pace, show: Show) -> anyhow::Result<Transcript> {
    let sound = Sound::open(path).await?;
    let (socket, request) = Box::pin(connect(proxy, &sound)).await?;
    let screen = Screen::new(sound.total(), show);
    let (caller, results) = socket.split();
    let hearing = Hearing { results, screen: &screen, request };
    let ((), transcript) = tokio::try_join!(speak(caller, sound, pace, &screen), hearing.transcript())?;
    Ok(transcript)
}

async fn connect(proxy: &Proxy, sound: &Sound) -> Result<(Socket, RequestId), Failure> {
    let format = sound.format();
    let mut url = proxy.listen(&[
        ("encoding", format.encoding.to_string()),
        ("sample_rate", format.rate.hertz().to_string()),
        ("channels", format.channels.count().to_string()),
        ("interim_results", "true".to_owned()),
    ]);
    let unreachable = |cause: String| Failure::Unreachable { url: proxy.address().to_owned(), cause };
    // The scheme of an http address can always be changed to ws.
    let _ = url.set_scheme("ws");
    let mut request = url.as_str().into_client_request().map_err(|error| unreachable(error.to_string()))?;
    if let Some(authorization) = proxy.authorization()? {
        request.headers_mut().insert(AUTHORIZATION, authorization);
    }
    let opened = timeout(CONNECT, TcpStream::connect(proxy.host_and_port())).await;
    let tcp = opened.map_err(|_| unreachable(format!("no answer for {} s", CONNECT.as_secs())))?;
    let tcp = tcp.map_err(|error| unreachable(Failure::plain(&error)))?;
    // Small frames must not wait for each other; where this cannot be set they do, and nothing breaks.
    let _ = tcp.set_nodelay(true);
    let greeted = timeout(SILENCE, tokio_tungstenite::client_async(request, tcp)).await;
    match greeted.map_err(|_| unreachable(format!("no answer for {} s", SILENCE.as_secs())))? {
        Ok((socket, response)) => Ok((socket, request_id(response.headers()))),
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            Err(proxy.refusal(response.status().as_u16(), response.headers(), body))
        }
        Err(error) => Err(unreachable(error.to_string())),
    }
}

/// Sends the sound. When the proxy takes no more, what it says about that is the answer, so this just ends.
async fn speak(
    mut caller: SplitSink<Socket, Message>,
    mut sound: Sound,
    pace: Pace,
    screen: &Screen,
) -> anyhow::Result<()> {
    let format = sound.format();
    let frame = usize::try_from(format.bytes_in(FRAME))?;
    let (begin, mut sent) = (Instant::now(), 0);
    while let Some(chunk) = sound.next(frame).await? {
        sent += chunk.len() as u64;
        // A microphone has a chunk only when it has been spoken.
        pace.keep(begin, format.duration_of(sent)).await;
        if caller.send(Message::Binary(chunk.into())).await.is_err() {
            return Ok(());
        }
        screen.sent(format.duration_of(sent));
    }
    let _ = caller.send(Message::Text(CLOSE_STREAM.into())).await;
    Ok(())
}

/// The other direction: results, then metadata, then the close frame.
struct Hearing<'a> {
    results: SplitStream<Socket>,
    screen: &'a Screen,
    request: RequestId,
}

impl Hearing<'_> {
    async fn transcript(mut self) -> anyhow::Result<Transcript> {
        let mut finals = Finals::default();
        let mut metadata = None;
        loop {
            let next = timeout(SILENCE, self.results.next()).await;
            let silent = |_| self.broken(&format!("nothing was heard for {} s", SILENCE.as_secs()));
            match next.map_err(silent)? {
                Some(Ok(Message::Text(text))) => self.message(&text, &mut finals, &mut metadata)?,
                Some(Ok(Message::Close(frame))) => {
                    self.closed(frame)?;
                    return Ok(finals.finish(metadata, self.request.0));
                }
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Err(self.broken(&error.to_string()).into()),
                None => return Err(self.broken("it ended without a close frame").into()),
            }
        }
    }

    fn message(&self, text: &str, finals: &mut Finals, metadata: &mut Option<Value>) -> anyhow::Result<()> {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let said = said_in(&message["channel"]["alternatives"][0]);
        match message["type"].as_str() {
            Some("Results") if message["is_final"] == true => {
                self.screen.said(said)?;
                finals.push(&message);
            }
            Some("Results") => self.screen.interim(said),
            Some("Metadata") => *metadata = Some(message),
            Some(_) | None => {}
        }
        Ok(())
    }

    fn closed(&self, frame: Option<CloseFrame>) -> Result<(), Failure> {
        // 1005 is what no code at all is called.
        let (code, reason) = frame.map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
        if code == NORMAL {
            return Ok(());
        }
        let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
        Err(Failure::Closed { code, reason, request: self.request.clone() })
    }

    fn broken(&self, cause: &str) -> Failure {
        Failure::Broken { cause: cause.to_owned(), request: self.request.clone() }
    }
}
