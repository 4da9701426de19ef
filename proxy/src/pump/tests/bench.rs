//! The test bench: a pump between a caller and nodes that are all pipes in memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{HeaderMap, StatusCode};
use futures_util::{SinkExt, StreamExt};
use process::Shutdown;
use proto::v1::session_update::Update;
use scheduler::{KeyId, Models, Placement, ScoreTerms, SessionId, Work};
use store::{Caller, Embedded, Keyring, Standing};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use crate::Config;
use crate::app::Shared;
use crate::budget::Budget;
use crate::callers::listen::{Listen, placement_request};
use crate::keys::{Keys, Tokens};
use crate::overload::MemoryWatch;
use crate::parking::{Found, Parking, ResumeConfig, Return, Seal};
use crate::pump::admission::open_first;
use crate::pump::{Admitted, SpillLimits};
use crate::quota::Quota;
use crate::record::Record;
use crate::router::{Placer, Reporter};
use crate::trace::Trace;
use crate::wire::{Dial, Pipe, caller_socket};

/// Bytes that a pipe holds before its writer must wait.
const PIPE: usize = 256 << 10;
/// The query of raw speech.
const RAW: &str = "encoding=linear16&sample_rate=16000";
/// Long enough that whatever can happen without time passing has happened.
const MOMENT: Duration = Duration::from_millis(1);

pub(super) fn interim_result(text: &str, start: f64, duration: f64) -> String {
    final_result(text, start, duration).replace(r#""is_final":true"#, r#""is_final":false"#)
}

pub(super) fn final_result(text: &str, start: f64, duration: f64) -> String {
    let channel = serde_json::json!({ "alternatives": [{ "transcript": text }] });
    let result = serde_json::json!({
        "type": "Results", "start": start, "duration": duration, "is_final": true, "channel": channel,
    });
    result.to_string()
}

/// A final result with words of 300 ms, each at its second.
pub(super) fn words_result(words: &[(&str, f64)], start: f64, duration: f64) -> String {
    let texts: Vec<_> = words.iter().map(|(text, _)| *text).collect();
    let words = words.iter().map(|(text, at)| serde_json::json!({ "word": text, "start": at, "end": at + 0.3 }));
    let channel =
        serde_json::json!({ "alternatives": [{ "transcript": texts.join(" "), "words": words.collect::<Vec<_>>() }] });
    let result = serde_json::json!({
        "type": "Results", "start": start, "duration": duration, "is_final": true, "channel": channel,
    });
    result.to_string()
}

/// Sound without a pause.
pub(super) fn speech(time: Duration) -> Vec<u8> {
    let samples = u32::try_from(time.as_millis() * 16).unwrap();
    (0..samples).flat_map(|n| if n % 16 < 8 { 8_000_i16 } else { -8_000 }.to_le_bytes()).collect()
}

/// A node's side of a leg.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) epoch: String,
    pub(super) query: String,
    socket: WebSocketStream<DuplexStream>,
}

impl Node {
    pub(super) async fn hear(&mut self) -> Message {
        self.socket.next().await.unwrap().unwrap()
    }

    /// Hears what has come already.
    pub(super) async fn hear_now(&mut self) -> Option<Message> {
        tokio::time::timeout(MOMENT, self.hear()).await.ok()
    }

    /// Hears so many bytes of audio.
    pub(super) async fn hear_all(&mut self, bytes: usize) -> Vec<u8> {
        let mut audio = Vec::new();
        while audio.len() < bytes {
            if let Message::Binary(piece) = self.hear().await {
                audio.extend(piece);
            }
        }
        audio
    }

    pub(super) async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(super) async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        self.socket.send(Message::Close(Some(frame))).await.unwrap();
    }

    /// Closes as asked, once it is.
    pub(super) async fn finish(&mut self) {
        while self.hear().await != Message::text(r#"{"type":"CloseStream"}"#) {}
        self.close(1000, "").await;
    }

    pub(super) async fn takes(&mut self, message: Message) -> bool {
        tokio::time::timeout(MOMENT, self.socket.send(message)).await.is_ok()
    }

    pub(super) async fn is_left(&mut self) -> bool {
        !matches!(self.socket.next().await, Some(Ok(_)))
    }
}

/// Hands the other end of every connection to the test. The node called `full` refuses.
struct Nodes(mpsc::Sender<Node>);

#[async_trait]
impl Dial for Nodes {
    async fn dial(&self, address: &str) -> io::Result<Box<dyn Pipe>> {
        let (near, far) = tokio::io::duplex(PIPE);
        let (nodes, name) = (self.0.clone(), address.to_owned());
        Shutdown::new().spawn("node", async move {
            let (mut epoch, mut query) = (String::new(), String::new());
            #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
            let answer = |request: &Request, response: Response| {
                epoch = request.headers()["x-crosspoint-epoch"].to_str().unwrap().to_owned();
                query = request.uri().query().unwrap_or_default().to_owned();
                if name == "full" { Err(refusal()) } else { Ok(response) }
            };
            let accepted = tokio_tungstenite::accept_hdr_async(far, answer);
            if let Ok(socket) = accepted.await {
                let _ = nodes.send(Node { name, epoch, query, socket }).await;
            }
        });
        Ok(Box::new(near))
    }
}

fn refusal() -> ErrorResponse {
    let mut response = ErrorResponse::new(Some("no free slot".to_owned()));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// A stream under test.
pub(super) struct Bench {
    pub(super) caller: WebSocketStream<DuplexStream>,
    pub(super) shutdown: Shutdown,
    pub(super) reporter: Reporter,
    nodes: mpsc::Receiver<Node>,
    shared: Arc<Shared>,
}

impl Bench {
    pub(super) async fn with_nodes(names: &[&str]) -> Self {
        Self::start(names, &format!("{RAW}&interim_results=true"), Standing::default(), config()).await
    }

    pub(super) async fn without_interims(names: &[&str]) -> Self {
        Self::start(names, RAW, Standing::default(), config()).await
    }

    /// Starts a stream whose first bytes tell what it is.
    pub(super) async fn with_container(names: &[&str]) -> Self {
        Self::start(names, "", Standing::default(), config()).await
    }

    /// Starts a stream whose key does not hold for ever.
    pub(super) async fn with_standing(standing: Standing) -> Self {
        Self::start(&["a"], RAW, standing, config()).await
    }

    /// Starts a stream of which so many bytes may wait on disk, and so many be kept for a replay.
    pub(super) async fn with_room(spill: u64, rings: u64) -> Self {
        let spill = SpillLimits { bytes: spill, ..SpillLimits::default() };
        let config = Config { spill, rings_bytes: std::num::NonZeroU64::new(rings), ..config() };
        Self::start(&["a"], &format!("{RAW}&interim_results=true"), Standing::default(), config).await
    }

    async fn start(names: &[&str], query: &str, standing: Standing, config: Config) -> Self {
        let (connected, nodes) = mpsc::channel(8);
        let shutdown = Shutdown::new();
        let reporter = Reporter::default();
        let shared = Arc::new(shared((Arc::new(Nodes(connected)), config), &reporter, &shutdown));
        let uri = format!("/v1/listen?{query}").parse().unwrap();
        let caller = Caller::unlimited("dev".parse().unwrap(), KeyId::dev());
        let caller = Caller { standing, ..caller };
        let listen = Listen::read(&uri, &HeaderMap::new(), &shared.models.load(), caller).unwrap();
        let session = SessionId::from_random(1);
        let record =
            Record::begin(session, Trace::begin(), listen.asked.caller.clone(), Work::Stream, reporter.clone());
        let wanted = placement_request(&shared, session, &listen, Work::Stream);
        let placements = names.iter().map(|name| placement(name)).collect();
        let Admitted::Open(pump) = open_first(Arc::clone(&shared), wanted, &listen, record, placements).await else {
            panic!("no node took the stream")
        };
        let (near, far) = tokio::io::duplex(PIPE);
        shutdown.spawn("pump", pump.run(caller_socket(near)));
        let caller = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        Self { caller, shutdown, nodes, reporter, shared }
    }

    /// Starts a stream of a caller that asks for everything that it can be told.
    pub(super) async fn informed(names: &[&str]) -> Self {
        Self::start(names, &format!("{RAW}&interim_results=true&events=1&ack=1"), Standing::default(), config()).await
    }

    /// Opens another connection for the stream, and returns the old one.
    pub(super) async fn come_back(&mut self, last_seq: u64) -> WebSocketStream<DuplexStream> {
        let Found::Here(_, door) = self.shared.parking.find(SessionId::from_random(1), last_seq) else {
            panic!("the stream goes on")
        };
        let (near, far) = tokio::io::duplex(PIPE);
        let back = Return { socket: caller_socket(near), last_seq, standing: Standing::default() };
        door.send(back).await.ok().unwrap();
        let caller = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        std::mem::replace(&mut self.caller, caller)
    }

    /// Tells whether the stream can be gone on with.
    pub(super) fn can_be_found(&self) -> bool {
        matches!(self.shared.parking.find(SessionId::from_random(1), 0), Found::Here(..))
    }

    /// Takes the next message of a type.
    pub(super) async fn told(&mut self, kind: &str) -> serde_json::Value {
        loop {
            let message: serde_json::Value = serde_json::from_str(&self.text().await).unwrap();
            if message["type"] == kind {
                return message;
            }
        }
    }

    pub(super) async fn accept(&mut self) -> Node {
        self.nodes.recv().await.unwrap()
    }

    pub(super) async fn say(&mut self, text: &str) {
        self.caller.send(Message::text(text)).await.unwrap();
    }

    /// Sends audio, as much as fits the pipes at once.
    pub(super) async fn send_all(&mut self, audio: &[u8]) {
        for piece in audio.chunks(3_200) {
            self.caller.send(Message::binary(piece.to_vec())).await.unwrap();
        }
    }

    pub(super) async fn text(&mut self) -> String {
        self.caller.next().await.unwrap().unwrap().into_text().unwrap().to_string()
    }

    pub(super) async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(Some(frame)) = self.caller.next().await.unwrap().unwrap() {
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }

    pub(super) async fn takes(&mut self, message: Message) -> bool {
        tokio::time::timeout(MOMENT, self.caller.send(message)).await.is_ok()
    }

    /// Says every second that the caller lives.
    pub(super) async fn keep_alive_for(&mut self, time: Duration) {
        for _ in 0..time.as_secs() {
            tokio::time::advance(Duration::from_secs(1)).await;
            let _ = self.caller.send(Message::text(r#"{"type":"KeepAlive"}"#)).await;
        }
    }

    pub(super) fn hang_up(&mut self) {
        let (unused, _) = tokio::io::duplex(1);
        *self.caller.get_mut() = unused;
    }

    /// Waits until the stream's task is over, then returns the reasons it ended for: there must be exactly one.
    pub(super) async fn ended(&mut self) -> Vec<String> {
        self.hang_up();
        while self.shutdown.running() > 0 {
            tokio::time::advance(Duration::from_millis(100)).await;
            tokio::task::yield_now().await;
        }
        let updates = std::iter::from_fn(|| self.reporter.next());
        let reasons = updates.filter_map(|update| match update {
            Update::Ended(ended) => Some(ended.reason),
            Update::Opened(_) | Update::Failed(_) | Update::Renewal(_) | Update::Released(_) => None,
            Update::Moved(_) | Update::Usage(_) => None,
        });
        reasons.collect()
    }
}

fn placement(name: &str) -> Placement {
    Placement {
        node: name.parse().unwrap(),
        pool: "pool".parse().unwrap(),
        address: name.to_owned(),
        terms: ScoreTerms::default(),
        api: scheduler::EngineApi::Listen,
        engine_model: None,
    }
}

/// Nothing waits on disk.
fn config() -> Config {
    let spill = SpillLimits { bytes: 0, ..SpillLimits::default() };
    Config { drain: Duration::from_secs(3), spill, ..Config::default() }
}

fn shared((dialer, config): (Arc<dyn Dial>, Config), reporter: &Reporter, shutdown: &Shutdown) -> Shared {
    Shared {
        facts: Arc::new(crate::facts::FactReader::open(&config.facts).unwrap()),
        placer: Placer::new(&[], config.place_timeout).unwrap(),
        chunks: Arc::new(tokio::sync::Semaphore::new(8)),
        rings: Budget::new(config.rings_limit()),
        spills: Budget::new(config.spill.bytes_together),
        spools: crate::delivery::Spools::default(),
        config,
        models: Arc::new(arc_swap::ArcSwap::from_pointee(Models(BTreeMap::from([(
            "sphinx-en-us".parse().unwrap(),
            scheduler::ModelSpec::default(),
        )])))),
        reporter: reporter.clone(),
        http: reqwest::Client::new(),
        dialer,
        memory: MemoryWatch::default(),
        shutdown: shutdown.clone(),
        keys: Arc::new(Keys::new(Keyring::new(Arc::new(Embedded::new())), Tokens::default(), store::Limits::default())),
        parking: Arc::new(Parking::new(ResumeConfig::default(), Seal::random())),
        quota: Arc::new(Quota::new(Arc::new(Embedded::new()), std::num::NonZeroU32::MIN)),
        started: tokio::time::Instant::now(),
    }
}
