//! A WAV file over a WebSocket, at the speed of speech. Sending and hearing go on side by side: whoever only sends until
//! the end stops a proxy that waits for its results to be taken. A connection that is lost is opened again, at this proxy or
//! the next one, and the stream goes on where it was.

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::connection::{SILENCE, Socket, connect};
use super::failure::{Failure, RequestId};
use super::live::{Pace, Screen, Show, clock};
use super::memory::{Memory, News};
use super::proxy::Proxy;
use super::transcript::{Finals, Transcript, said_in};
use super::wav::Sound;

/// How much audio goes into one frame.
const FRAME: Duration = Duration::from_millis(100);
const CLOSE_STREAM: &str = r#"{"type":"CloseStream"}"#;
/// The code of a stream that ended as it should.
const NORMAL: u16 = 1000;
/// Codes of streams that may go on over another connection.
const PASSING: [u16; 6] = [1001, 1005, 1006, 1011, 1012, 1013];
/// How long another connection is tried for, and the pauses between rounds.
const AGAIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(250);

/// Streams a file and returns what was heard; `show` says what is written meanwhile. The first proxy is asked first.
///
/// # Errors
/// Fails on a file that is no WAV file, a proxy that is not there or refuses, and a stream that does not end well.
pub(super) async fn transcribe(proxies: &[Proxy], path: &Path, pace: Pace, show: Show) -> anyhow::Result<Transcript> {
    let sound = Sound::open(path).await?;
    let mut call = Call::new(proxies, sound, pace, show);
    let (mut socket, mut request) = Box::pin(call.open()).await?;
    loop {
        match Box::pin(call.talk(socket, &request)).await {
            Ok(metadata) => return Ok(call.finals.into_inner().finish(metadata, request.0)),
            Err(Broken::For(error)) => return Err(error),
            Err(Broken::Lost(failure)) => (socket, request) = Box::pin(call.go_on(failure)).await?,
        }
    }
}

/// Why a connection is over before the stream is.
enum Broken {
    /// The stream may go on over another one.
    Lost(Failure),
    /// It may not.
    For(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Broken {
    fn from(error: E) -> Self {
        Self::For(error.into())
    }
}

/// One stream, over however many connections.
struct Call<'a> {
    proxies: &'a [Proxy],
    /// The proxy that serves.
    current: usize,
    sound: Sound,
    pace: Pace,
    begin: Instant,
    screen: Screen,
    memory: RefCell<Memory>,
    /// There may be room in the memory again.
    heard: Notify,
    finals: RefCell<Finals>,
}

impl<'a> Call<'a> {
    fn new(proxies: &'a [Proxy], sound: Sound, pace: Pace, show: Show) -> Self {
        let screen = Screen::new(sound.total(), show);
        let memory = RefCell::new(Memory::of(sound.format()));
        let (heard, finals) = (Notify::new(), RefCell::default());
        Self { proxies, current: 0, sound, pace, begin: Instant::now(), screen, memory, heard, finals }
    }

    /// Opens the first connection, at the first proxy that is there.
    async fn open(&mut self) -> Result<(Socket, RequestId), Failure> {
        let format = self.sound.format();
        let asked = [
            ("encoding", format.encoding.to_string()),
            ("sample_rate", format.rate.hertz().to_string()),
            ("channels", format.channels.count().to_string()),
            ("interim_results", "true".to_owned()),
            ("ack", "1".to_owned()),
        ];
        let mut opened = Err(Failure::NoProxy);
        for (number, proxy) in self.proxies.iter().enumerate() {
            self.current = number;
            opened = connect(proxy, proxy.listen(&asked)).await;
            if !matches!(opened, Err(Failure::Unreachable { .. })) {
                break;
            }
        }
        self.begin = Instant::now();
        opened
    }

    /// Sends and hears over one connection; returns the stream's last message.
    async fn talk(&mut self, socket: Socket, request: &RequestId) -> Result<Option<Value>, Broken> {
        let (caller, results) = socket.split();
        let Self { sound, pace, begin, screen, memory, heard, finals, .. } = self;
        let speaking = Speaking { caller, screen, memory, heard, pace: *pace, begin: *begin };
        let hearing = Hearing { results, screen, memory, heard, finals, request };
        let ((), metadata) = tokio::try_join!(speaking.speak(sound), hearing.run())?;
        Ok(metadata)
    }

    /// Opens another connection for a stream whose own is lost, at the same proxy or any other.
    async fn go_on(&mut self, lost: Failure) -> anyhow::Result<(Socket, RequestId)> {
        let Some(asked) = self.memory.borrow().resume() else { return Err(lost.into()) };
        let end = Instant::now() + AGAIN;
        while Instant::now() < end {
            for turn in 0..self.proxies.len() {
                let number = (self.current + turn) % self.proxies.len();
                if let Ok(opened) = self.resume(&self.proxies[number], &asked).await {
                    self.current = number;
                    let (at, address) = (clock(self.memory.borrow().position()), self.proxies[number].address());
                    self.screen.remark(&format!("{lost}: goes on at {address} from {at}"));
                    return Ok(opened);
                }
            }
            sleep(PAUSE).await;
        }
        Err(lost.into())
    }

    async fn resume(&self, proxy: &Proxy, asked: &[(&str, String)]) -> Result<(Socket, RequestId), Failure> {
        let (mut socket, request) = connect(proxy, proxy.resume(asked)).await?;
        let broken = |cause: &str| Failure::Broken { cause: cause.to_owned(), request: request.clone() };
        let first = timeout(SILENCE, socket.next()).await.ok().flatten().and_then(Result::ok);
        let first: Value = match first {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap_or_default(),
            Some(_) | None => return Err(broken("it was not resumed")),
        };
        let received = first["received_samples"].as_u64().filter(|_| first["type"] == "Resumed");
        let told = received.and_then(|received| self.memory.borrow_mut().go_on(received));
        for text in told.ok_or_else(|| broken("it was not resumed where it was lost"))? {
            socket.send(Message::Text(text.into())).await.map_err(|error| broken(&error.to_string()))?;
        }
        Ok((socket, request))
    }
}

/// One direction: sound.
struct Speaking<'a> {
    caller: SplitSink<Socket, Message>,
    screen: &'a Screen,
    memory: &'a RefCell<Memory>,
    heard: &'a Notify,
    pace: Pace,
    begin: Instant,
}

impl Speaking<'_> {
    /// Sends the sound. When the proxy takes no more, what it says about that is the answer, so this just ends.
    async fn speak(mut self, sound: &mut Sound) -> Result<(), Broken> {
        let format = sound.format();
        let frame = usize::try_from(format.bytes_in(FRAME))?;
        loop {
            let unsent = self.memory.borrow().unsent(frame);
            let Some((chunk, end)) = unsent else {
                if !self.memory.borrow().has_room() {
                    self.heard.notified().await;
                    continue;
                }
                match sound.next(frame).await? {
                    Some(chunk) => self.memory.borrow_mut().keep(&chunk),
                    None => break,
                }
                continue;
            };
            // A microphone has a chunk only when it has been spoken.
            self.pace.keep(self.begin, format.duration_of(end)).await;
            if self.caller.send(Message::Binary(chunk.into())).await.is_err() {
                return Ok(());
            }
            self.memory.borrow_mut().sent(end);
            self.screen.sent(format.duration_of(end));
        }
        let _ = self.caller.send(Message::Text(CLOSE_STREAM.into())).await;
        Ok(())
    }
}

/// The other direction: results, then metadata, then the close frame.
struct Hearing<'a> {
    results: SplitStream<Socket>,
    screen: &'a Screen,
    memory: &'a RefCell<Memory>,
    heard: &'a Notify,
    finals: &'a RefCell<Finals>,
    request: &'a RequestId,
}

impl Hearing<'_> {
    async fn run(mut self) -> Result<Option<Value>, Broken> {
        let mut metadata = None;
        loop {
            let next = timeout(SILENCE, self.results.next()).await;
            let silent = |_| self.broken(&format!("nothing was heard for {} s", SILENCE.as_secs()));
            match next.map_err(silent)? {
                Some(Ok(Message::Text(text))) => self.message(&text, &mut metadata)?,
                Some(Ok(Message::Close(frame))) => {
                    self.closed(frame)?;
                    return Ok(metadata);
                }
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Err(self.broken(&error.to_string())),
                None => return Err(self.broken("it ended without a close frame")),
            }
        }
    }

    fn message(&self, text: &str, metadata: &mut Option<Value>) -> anyhow::Result<()> {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let said = said_in(&message["channel"]["alternatives"][0]);
        if self.memory.borrow_mut().note(&message, text) == News::Known {
            return Ok(());
        }
        match message["type"].as_str() {
            Some("Results") if message["is_final"] == true => {
                self.screen.said(said)?;
                self.finals.borrow_mut().push(&message);
            }
            Some("Results") => self.screen.interim(said),
            Some("Metadata") => *metadata = Some(message),
            Some("AudioAck") => self.heard.notify_one(),
            Some(_) | None => {}
        }
        Ok(())
    }

    fn closed(&self, frame: Option<CloseFrame>) -> Result<(), Broken> {
        // 1005 is what no code at all is called.
        let (code, reason) = frame.map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
        if code == NORMAL {
            return Ok(());
        }
        let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
        let failure = Failure::Closed { code, reason, request: self.request.clone() };
        Err(if PASSING.contains(&code) { Broken::Lost(failure) } else { failure.into() })
    }

    fn broken(&self, cause: &str) -> Broken {
        Broken::Lost(Failure::Broken { cause: cause.to_owned(), request: self.request.clone() })
    }
}
