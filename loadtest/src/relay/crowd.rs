//! Callers who send sound of no meaning at an even pace and time every result: as little work as can be, since they share
//! the machine with what is measured.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::engine::PER_RESULT;
use super::peers::KEY;
use super::{Load, PeerError};
use crate::caller::Metronome;
use crate::timings::Timings;

/// From one stream's opening to the next: some 500 a second. The odd part spreads the messages of all streams over the
/// time between two of one.
const STEP: Duration = Duration::from_micros(2_050);
/// How long a stream may take to open, and to end.
const PATIENCE: Duration = Duration::from_secs(20);
const READ_BUFFER: usize = 4 << 10;

type Socket = WebSocketStream<TcpStream>;

/// When who speaks.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) load: Load,
    pub(super) began: Instant,
    /// What is sent in it counts.
    pub(super) window: Range<Instant>,
    /// When all stop.
    pub(super) end: Instant,
}

impl Plan {
    /// Lets all streams open, speak for `warm_up`, and be measured for `length`.
    pub(super) fn new(load: Load, warm_up: Duration, length: Duration) -> Self {
        let began = Instant::now();
        let start = began + opening(load.streams) + warm_up;
        let window = start..start + length;
        Self { load, began, end: window.end + load.frame, window }
    }

    fn opens(&self, number: u32) -> Instant {
        self.began + STEP * number
    }
}

/// Returns how long it takes to open so many streams.
pub(super) fn opening(streams: u32) -> Duration {
    STEP * streams
}

/// What all callers count together.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) messages: AtomicU64,
    pub(super) results: AtomicU64,
    pub(super) latencies: Mutex<Timings>,
    pub(super) lateness: Mutex<Timings>,
}

impl Counted {
    pub(super) fn new() -> Result<Self, PeerError> {
        Ok(Self {
            messages: AtomicU64::new(0),
            results: AtomicU64::new(0),
            latencies: Mutex::new(Timings::new()?),
            lateness: Mutex::new(Timings::new()?),
        })
    }
}

fn record(timings: &Mutex<Timings>, time: Duration) {
    timings.lock().unwrap_or_else(PoisonError::into_inner).record(time);
}

/// Starts all callers.
pub(super) fn speak(
    address: &str,
    plan: &Plan,
    metronome: &Arc<Metronome>,
    counted: &Arc<Counted>,
) -> JoinSet<Result<(), String>> {
    let sound = Bytes::from(vec![0x2a; plan.load.bytes()]);
    let mut calls = JoinSet::new();
    for number in 0..plan.load.streams {
        let (address, plan, sound) = (address.to_owned(), plan.clone(), sound.clone());
        let caller = Caller { metronome: Arc::clone(metronome), counted: Arc::clone(counted), sound, plan };
        calls.spawn(async move {
            sleep_until(caller.plan.opens(number)).await;
            let socket = timeout(PATIENCE, open(&address)).await.map_err(|_elapsed| "no answer".to_owned())??;
            caller.speak(socket, number).await
        });
    }
    calls
}

/// Opens a stream.
pub(super) async fn open(address: &str) -> Result<Socket, String> {
    let plain = |error: &dyn std::fmt::Display| error.to_string();
    let url = format!(
        "ws://{address}/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000&channels=1&interim_results=true"
    );
    let mut request = url.into_client_request().map_err(|error| plain(&error))?;
    let token = HeaderValue::from_str(&format!("Token {KEY}")).map_err(|error| plain(&error))?;
    request.headers_mut().insert(AUTHORIZATION, token);
    let stream = TcpStream::connect(address).await.map_err(|error| plain(&error))?;
    stream.set_nodelay(true).map_err(|error| plain(&error))?;
    let settings = WebSocketConfig::default().read_buffer_size(READ_BUFFER).write_buffer_size(0);
    let opened = client_async_with_config(request, stream, Some(settings)).await;
    opened.map(|(socket, _response)| socket).map_err(|error| plain(&error))
}

struct Caller {
    metronome: Arc<Metronome>,
    counted: Arc<Counted>,
    sound: Bytes,
    plan: Plan,
}

impl Caller {
    async fn speak(self, mut socket: Socket, number: u32) -> Result<(), String> {
        // When messages left whose results have not come.
        let mut asked = VecDeque::new();
        let mut sent = 0;
        let began = self.plan.opens(number);
        let mut due = began + self.plan.load.frame;
        let mut beat = pin!(self.metronome.until(due));
        while due < self.plan.end {
            tokio::select! {
                biased;
                message = socket.next() => self.hear(message, &mut asked)?,
                () = beat.as_mut() => {
                    let at = Instant::now();
                    sent += 1;
                    if sent % PER_RESULT == 0 {
                        asked.push_back(at);
                    }
                    self.count(due, at);
                    socket.send(Message::Binary(self.sound.clone())).await.map_err(|error| error.to_string())?;
                    due += self.plan.load.frame;
                    beat.set(self.metronome.until(due));
                }
            }
        }
        self.end(socket, asked).await
    }

    fn count(&self, due: Instant, at: Instant) {
        if self.plan.window.contains(&at) {
            self.counted.messages.fetch_add(1, Ordering::Relaxed);
            record(&self.counted.lateness, at.saturating_duration_since(due));
        }
    }

    fn hear(
        &self,
        message: Option<Result<Message, impl ToString>>,
        asked: &mut VecDeque<Instant>,
    ) -> Result<(), String> {
        match message {
            Some(Ok(Message::Text(text))) if text.contains("\"Results\"") => {
                let sent = asked.pop_front().ok_or("a result that nobody asked for")?;
                if self.plan.window.contains(&sent) {
                    self.counted.results.fetch_add(1, Ordering::Relaxed);
                    record(&self.counted.latencies, sent.elapsed());
                }
                Ok(())
            }
            Some(Ok(Message::Close(frame))) => Err(format!("closed early: {frame:?}")),
            Some(Ok(_other)) => Ok(()),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("ended early".to_owned()),
        }
    }

    /// Says that this was all, and waits for the results that are still owed and for the close.
    async fn end(&self, mut socket: Socket, mut asked: VecDeque<Instant>) -> Result<(), String> {
        let close = Message::text(r#"{"type":"CloseStream"}"#);
        socket.send(close).await.map_err(|error| error.to_string())?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match tokio::time::timeout_at(deadline, socket.next()).await {
                Ok(Some(Ok(Message::Close(Some(frame))))) if u16::from(frame.code) == 1000 => break,
                Ok(message) => self.hear(message, &mut asked)?,
                Err(_elapsed) => return Err("no close".to_owned()),
            }
        }
        if asked.is_empty() { Ok(()) } else { Err(format!("{} results never came", asked.len())) }
    }
}
