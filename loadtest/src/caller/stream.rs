//! A caller with a stream: speaking and listening are two futures of one task, so that a side that does not read never
//! keeps the other from being heard.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use audio::coded::Voice;
use futures_util::future::{Either, select};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::message::{Garbage, Heard, hear};
use super::resume::{Memory, News};
use super::{CallError, Caller, Ending, Final, Latency, Loss, Sent, Speech, StreamOutcome, Summary, joined, tally};

const CLOSE_STREAM: &str = r#"{"type":"CloseStream"}"#;
/// What stands for a close without a code.
const NO_CODE: u16 = 1005;
/// Read buffer of a connection, in bytes: hundreds of callers share one process.
const READ_BUFFER: usize = 4 << 10;

pub(super) type Socket = WebSocketStream<TcpStream>;

impl Caller {
    /// Opens a stream, speaks, closes it with `CloseStream` and waits for its end. `observe` is told of every message of
    /// audio just before it leaves.
    ///
    /// # Errors
    /// Fails when the stream cannot be opened. What happens to an open stream is its [`Ending`].
    pub async fn stream(
        &self,
        speech: Speech,
        mut observe: impl FnMut(Sent) + Send,
    ) -> Result<StreamOutcome, CallError> {
        let opening = timeout(self.patience, self.open(speech));
        let (mut socket, request_id) = opening.await.unwrap_or_else(|_| Err(self.late()))?;
        let log = SendLog::new(speech);
        let length = speech.script.duration();
        let length = speech.pace.due(length).unwrap_or(length);
        let mut hearing = Hearing::new(&log, self.loss);
        let end = log.began + length + self.patience;
        let mut first = 0;
        let ending = loop {
            let speaking = Speaking { caller: self, speech, log: &log, first };
            let conversation = converse(socket, speaking, &mut hearing, &mut observe);
            let ending = timeout_at(end, conversation).await.unwrap_or(Ending::Late);
            if self.loss == Loss::End || !hearing.memory.can_go_on(&ending) {
                break ending;
            }
            match self.go_on(&hearing.memory, speech).await {
                Some(resumed) => (socket, first) = resumed,
                None => break ending,
            }
        };
        let Hearing { finals, latencies, summary, .. } = hearing;
        let text = joined(finals.iter().map(|result| result.transcript.as_str()));
        let (began, messages) = (log.began, log.sent());
        Ok(StreamOutcome {
            request_id,
            began,
            messages,
            tally: tally(speech.script, &text),
            finals,
            latencies,
            summary,
            ending,
        })
    }

    /// Opens a stream at the first address that is there.
    async fn open(&self, speech: Speech) -> Result<(Socket, Option<String>), CallError> {
        let query = self.query(speech);
        let mut opened = self.open_at(&self.address, &query).await;
        for other in self.others.iter().filter(|_| self.loss == Loss::Resume) {
            if matches!(opened, Err(CallError::Unreachable { .. })) {
                opened = self.open_at(other, &query).await;
            }
        }
        opened
    }

    /// Opens a connection.
    pub(super) async fn open_at(&self, address: &str, query: &str) -> Result<(Socket, Option<String>), CallError> {
        let request = self.handshake(address, query)?;
        let stream = TcpStream::connect(address).await.map_err(|error| self.unreachable(&error))?;
        stream.set_nodelay(true).map_err(|error| self.unreachable(&error))?;
        let settings = WebSocketConfig::default().read_buffer_size(READ_BUFFER).write_buffer_size(0);
        match client_async_with_config(request, stream, Some(settings)).await {
            Ok((socket, response)) => {
                let id = response.headers().get("dg-request-id").and_then(|id| id.to_str().ok());
                Ok((socket, id.map(str::to_owned)))
            }
            Err(SocketError::Http(response)) => {
                Err(self.refused(response.status().as_u16(), response.body().as_deref().unwrap_or_default()))
            }
            Err(error) => Err(self.unreachable(&error)),
        }
    }

    fn query(&self, speech: Speech) -> String {
        let format = speech.format;
        let ack = match self.loss {
            Loss::End => "",
            Loss::Resume => "&ack=1",
        };
        format!(
            "model=nova-3&encoding={}&sample_rate={}&channels={}&interim_results=true{ack}",
            format.encoding,
            format.rate.hertz(),
            format.channels.count()
        )
    }

    fn handshake(&self, address: &str, query: &str) -> Result<Request, CallError> {
        let url = format!("ws://{address}/v1/listen?{query}");
        let mut request = url.into_client_request().map_err(|error| self.unreachable(&error))?;
        if let Some(authorization) = self.authorization() {
            let value = HeaderValue::from_str(&authorization).map_err(|error| self.unreachable(&error))?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }
}

/// Speaks and listens until the other side has ended the stream.
async fn converse(
    socket: Socket,
    speaking: Speaking<'_>,
    hearing: &mut Hearing<'_>,
    observe: impl FnMut(Sent) + Send,
) -> Ending {
    let (sink, source) = socket.split();
    let speaking = pin!(speaking.run(sink, observe));
    let listening = pin!(hearing.run(source));
    match select(listening, speaking).await {
        Either::Left((ending, _speaking)) => ending,
        // A socket that cannot be written may still hold the close that says why.
        Either::Right((_written, listening)) => listening.await,
    }
}

/// When each message left. Speaking writes it and listening reads it; only one of them runs at a time.
struct SendLog {
    began: Instant,
    /// Samples in one message.
    frame: u64,
    /// Samples in a second.
    rate: u32,
    /// Nanoseconds after `began`, plus one; zero for messages that have not left.
    left: Box<[AtomicU64]>,
}

impl SendLog {
    fn new(speech: Speech) -> Self {
        let frame = speech.format.rate.samples_in(speech.frame).max(1);
        let samples = speech.format.rate.samples_in(speech.script.duration());
        let left = (0..samples.div_ceil(frame)).map(|_| AtomicU64::new(0)).collect();
        Self { began: Instant::now(), frame, rate: speech.format.rate.hertz(), left }
    }

    fn note(&self, message: &AtomicU64, at: Instant) {
        let after = at.duration_since(self.began).as_nanos();
        message.store(u64::try_from(after).unwrap_or(u64::MAX).saturating_add(1), Ordering::Relaxed);
    }

    /// Returns when the message left that holds the last sound before `end`.
    fn left(&self, end: Duration) -> Option<Instant> {
        // Times cross the wire as decimal seconds: a sample's width of error must not reach into the next message.
        let samples = (end.as_secs_f64() * f64::from(self.rate)).round();
        let message = (samples / self.frame as f64).ceil() - 1.0;
        let left = self.left.get(index(message)?)?.load(Ordering::Relaxed);
        Some(self.began + Duration::from_nanos(left.checked_sub(1)?))
    }

    fn sent(&self) -> u64 {
        self.left.iter().filter(|message| message.load(Ordering::Relaxed) > 0).count() as u64
    }
}

/// Narrows a whole number that is small enough.
fn index(number: f64) -> Option<usize> {
    let small = (0.0..f64::from(u32::MAX)).contains(&number);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
    small.then_some(number as usize)
}

/// The caller's mouth.
struct Speaking<'a> {
    caller: &'a Caller,
    speech: Speech,
    log: &'a SendLog,
    /// The number of the message that is said first.
    first: usize,
}

impl Speaking<'_> {
    async fn run<S>(self, mut sink: S, mut observe: impl FnMut(Sent) + Send) -> Result<(), SocketError>
    where
        S: Sink<Message, Error = SocketError> + Unpin,
    {
        let Self { caller, speech, log, first } = self;
        let frames = usize::try_from(log.frame).unwrap_or(usize::MAX);
        let size = usize::try_from(speech.format.bytes_in(speech.frame)).unwrap_or_default();
        let mut voice = Voice::new(speech.script, speech.format);
        for (number, message) in log.left.iter().enumerate() {
            let due = speech.pace.due(voice.position()).map(|after| log.began + after);
            let mut sound = Vec::with_capacity(size);
            voice.speak(frames, &mut sound);
            if number < first {
                continue;
            }
            // What was said before is said again at once, and a result of it is late from when it was said first.
            if message.load(Ordering::Relaxed) == 0 {
                if let Some(due) = due {
                    caller.wait_until(due).await;
                }
                let at = Instant::now();
                log.note(message, at);
                observe(Sent { due: due.unwrap_or(at), at });
            }
            sink.send(Message::Binary(sound.into())).await?;
        }
        sink.send(Message::text(CLOSE_STREAM)).await
    }
}

/// The caller's ears.
struct Hearing<'a> {
    log: &'a SendLog,
    finals: Vec<Final>,
    latencies: Vec<Latency>,
    summary: Summary,
    memory: Memory,
    loss: Loss,
}

impl<'a> Hearing<'a> {
    fn new(log: &'a SendLog, loss: Loss) -> Self {
        let (finals, latencies) = (Vec::new(), Vec::new());
        Self { log, finals, latencies, summary: Summary::Missing, memory: Memory::default(), loss }
    }

    async fn run<S>(&mut self, mut source: S) -> Ending
    where
        S: Stream<Item = Result<Message, SocketError>> + Unpin,
    {
        loop {
            match source.next().await {
                Some(Ok(Message::Text(text))) => {
                    if let Err(Garbage) = self.hear(&text, Instant::now()) {
                        return Ending::Lost(format!("a message makes no sense: {text}"));
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    let (code, reason) = frame.map_or((NO_CODE, String::new()), |frame| {
                        (u16::from(frame.code), frame.reason.as_str().to_owned())
                    });
                    // The answer to the close is written while the end of the connection is read.
                    while let Some(Ok(_)) = source.next().await {}
                    return Ending::Closed { code, reason };
                }
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Ending::Lost(error.to_string()),
                None => return Ending::Lost("the connection ended without a close".to_owned()),
            }
        }
    }

    fn hear(&mut self, text: &str, arrived: Instant) -> Result<(), Garbage> {
        if self.loss == Loss::Resume && self.memory.note(text) == News::Known {
            return Ok(());
        }
        match hear(text)? {
            Heard::Interim { end } => self.time(end, arrived),
            Heard::Final(result) => {
                self.time(result.end, arrived);
                self.finals.push(result);
            }
            Heard::Summary => self.summary = Summary::Received,
            Heard::Event => {}
        }
        Ok(())
    }

    fn time(&mut self, end: Duration, arrived: Instant) {
        if let Some(sent) = self.log.left(end) {
            self.latencies.push(Latency { sent, took: arrived.saturating_duration_since(sent) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use audio::coded::Script;

    #[test]
    fn a_result_is_timed_from_the_message_that_completed_its_audio() {
        let speech = Speech::new(Script { session: 1, words: 3 });
        let log = SendLog::new(speech);
        for (number, message) in (0..).zip(&log.left) {
            log.note(message, log.began + Duration::from_millis(100 * number));
        }
        let left = |end| log.left(Duration::from_secs_f64(end)).map(|at| (at - log.began).as_millis());
        assert_eq!(left(0.02), Some(0));
        assert_eq!(left(0.020_01), Some(0), "an error smaller than a sample");
        assert_eq!(left(0.021), Some(100));
        assert_eq!(left(0.04), Some(100));
        assert_eq!(left(0.0), None, "no audio was needed");
        assert_eq!(left(1e6), None, "never sent");
    }

    #[test]
    fn a_message_that_has_not_left_has_no_time() {
        let log = SendLog::new(Speech::new(Script { session: 1, words: 1 }));
        assert_eq!(log.left(Duration::from_millis(100)), None);
        assert_eq!(log.sent(), 0);
    }
}
