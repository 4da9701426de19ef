//! The test bench: the routes between a caller and nodes that answer as they are told, placed by a router that knows them.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use process::Shutdown;
use proto::v1::placement_server::{Placement, PlacementServer};
use proto::v1::session_update::Update;
use proto::v1::{
    self, Ended, PlaceReply, PlaceRequest, RefusalKind, SessionOrder, SessionUpdate, UsageId, UsageRecord,
};
use scheduler::{ModelSpec, Models};
use store::{Embedded, Keyring, Limits, Secret};
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_tungstenite::tungstenite::handshake::server as handshake;
use tonic::{Status, Streaming};
use tower::ServiceExt;

use crate::app::Shared;
use crate::edge::Peer;
use crate::keys::{Keys, Tokens};
use crate::overload::MemoryWatch;
use crate::parking::{Parking, ResumeConfig, Seal};
use crate::quota::Quota;
use crate::router::{Placer, Reporter};
use crate::wire::{Dial, Pipe, Tcp};
use crate::{Config, FileLimits};

pub(super) const FORM: &str = "multipart/form-data; boundary=cut";

/// What a node heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) query: String,
    pub(super) bytes: Bytes,
}

/// The `traceparent` of every place asked and every leg opened, in turn.
type Traces = Arc<Mutex<Vec<String>>>;

/// A node and its one answer.
#[derive(Clone)]
struct Node {
    status: StatusCode,
    body: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    traces: Traces,
    /// How many requests it leaves without an answer, before it answers.
    deaf: Arc<AtomicUsize>,
}

async fn listen(State(node): State<Node>, uri: Uri, headers: HeaderMap, body: Body) -> (StatusCode, String) {
    node.traces.lock().unwrap().push(headers["traceparent"].to_str().unwrap().to_owned());
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    node.heard.lock().unwrap().push(Heard { query: uri.query().unwrap_or_default().to_owned(), bytes });
    if node.deaf.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        std::future::pending::<()>().await;
    }
    (node.status, node.body)
}

/// Opens every stream.
struct Streams(Traces);

#[async_trait]
impl Dial for Streams {
    async fn dial(&self, _address: &str) -> io::Result<Box<dyn Pipe>> {
        let (near, far) = tokio::io::duplex(1 << 10);
        let traces = Arc::clone(&self.0);
        Shutdown::new().spawn("node", async move {
            #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
            let note = |request: &handshake::Request, response: handshake::Response| {
                traces.lock().unwrap().push(request.headers()["traceparent"].to_str().unwrap().to_owned());
                Ok(response)
            };
            let _ = tokio_tungstenite::accept_hdr_async(far, note).await;
        });
        Ok(Box::new(near))
    }
}

/// Places every session on the first node that has not failed it.
struct Placing(Vec<SocketAddr>, Traces, RefusalKind);

#[tonic::async_trait]
impl Placement for Placing {
    type SessionsStream = Pin<Box<dyn Stream<Item = Result<SessionOrder, Status>> + Send>>;

    async fn place(&self, request: tonic::Request<PlaceRequest>) -> Result<tonic::Response<PlaceReply>, Status> {
        self.1.lock().unwrap().push(request.metadata().get("traceparent").unwrap().to_str().unwrap().to_owned());
        let excluded = request.into_inner().exclude;
        let place = |(number, address): (usize, &SocketAddr)| v1::Place {
            node: format!("node-{number}"),
            pool: "pool".to_owned(),
            address: address.to_string(),
            ..v1::Place::default()
        };
        let mut placements = self.0.iter().enumerate().map(place).collect::<Vec<_>>();
        placements.retain(|place| !excluded.contains(&place.node));
        let full = v1::Refusal { kind: self.2.into(), retry_after_milliseconds: 2000, text: String::new() };
        let refusal = placements.is_empty().then_some(full);
        Ok(tonic::Response::new(PlaceReply { placements, refusal, ..PlaceReply::default() }))
    }

    async fn costs(&self, _: tonic::Request<v1::CostsRequest>) -> Result<tonic::Response<v1::CostsReply>, Status> {
        Err(Status::unimplemented("nothing is charged here"))
    }

    async fn sessions(
        &self,
        _request: tonic::Request<Streaming<SessionUpdate>>,
    ) -> Result<tonic::Response<Self::SessionsStream>, Status> {
        Err(Status::unimplemented("nobody asks here"))
    }
}

async fn bound() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// The routes with a fleet behind them.
pub(super) struct Bench {
    app: Router,
    reporter: Reporter,
    heard: Arc<Mutex<Vec<Heard>>>,
    traces: Traces,
    deaf: Arc<AtomicUsize>,
}

impl Bench {
    /// Starts a node for each answer: a status and a body.
    pub(super) async fn with_nodes(answers: &[(u16, &str)]) -> Self {
        Self::start(answers, RefusalKind::Full, |_| {}).await
    }

    /// Starts no node, and a router that refuses everything for this reason.
    pub(super) async fn refusing(kind: RefusalKind) -> Self {
        Self::start(&[], kind, |_| {}).await
    }

    /// Starts one node that hears [`super::HELLO`], for callers with these keys.
    pub(super) async fn with_keys(index: Arc<Embedded>) -> Self {
        Self::with_limits(index, Limits::default()).await
    }

    /// Starts one node that hears [`super::HELLO`], for callers with these keys, which set no limits of their own.
    pub(super) async fn with_limits(index: Arc<Embedded>, limits: Limits) -> Self {
        Self::start(&[(200, super::HELLO)], RefusalKind::Full, |shared| shared.keys = keys(index, limits)).await
    }

    /// Starts one node, and lets pages of these origins in.
    pub(super) async fn for_pages_of(origins: &[&str]) -> Self {
        let origins = origins.iter().map(|origin| (*origin).to_owned().try_into().unwrap()).collect();
        Self::start(&[(200, super::HELLO)], RefusalKind::Full, |shared| shared.config.origins = origins).await
    }

    async fn start(answers: &[(u16, &str)], refusal: RefusalKind, change: impl FnOnce(&mut Shared)) -> Self {
        let (shutdown, heard, traces) = (Shutdown::new(), Arc::default(), Traces::default());
        let deaf: Arc<AtomicUsize> = Arc::default();
        let mut nodes = Vec::new();
        for (status, body) in answers {
            let (status, body) = (StatusCode::from_u16(*status).unwrap(), (*body).to_owned());
            let (heard, traces, deaf) = (Arc::clone(&heard), Arc::clone(&traces), Arc::clone(&deaf));
            let node = Node { status, body, heard, traces, deaf };
            let (listener, address) = bound().await;
            let routes = Router::new().fallback(listen).with_state(node);
            shutdown.spawn("node", async move { axum::serve(listener, routes).await.unwrap() });
            nodes.push(address);
        }
        let (listener, router) = bound().await;
        let placing = tonic::transport::Server::builder().add_service(PlacementServer::new(Placing(
            nodes,
            Arc::clone(&traces),
            refusal,
        )));
        let placing = placing.serve_with_incoming(TcpListenerStream::new(listener));
        shutdown.spawn("router", async move { placing.await.unwrap() });
        let reporter = Reporter::default();
        shutdown.spawn("usage", crate::usage::keep(reporter.meters().clone(), Default::default(), shutdown.clone()));
        let mut shared = shared(router, &reporter, &shutdown);
        shared.dialer = Arc::new(Streams(Arc::clone(&traces)));
        change(&mut shared);
        let app = crate::callers::routes(Arc::new(shared));
        Self { app, reporter, heard, traces, deaf }
    }

    /// Starts one node that hears [`super::HELLO`].
    pub(super) async fn new() -> Self {
        Self::with_nodes(&[(200, super::HELLO)]).await
    }

    /// Lets the nodes leave so many requests without an answer.
    pub(super) fn deafen(&self, requests: usize) {
        self.deaf.store(requests, Ordering::Relaxed);
    }

    /// Takes back every slot that is held, as a router may.
    pub(super) fn revoke_all(&self) {
        for v1::Held { session, node, .. } in self.reporter.renewed() {
            self.reporter.revoke(&v1::Revoke { session, node });
        }
    }

    /// Sends a request as a caller with the right key would.
    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let response: Response<Body> = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    /// Posts a form.
    pub(super) async fn post(&self, body: impl Into<Body>) -> Answer {
        self.send(request("POST", "/v1/audio/transcriptions", body)).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(request("GET", path, Body::empty())).await
    }

    /// Sends a request whose caller hangs up as soon as there is something to wait for.
    pub(super) fn hang_up(&self, request: Request<Body>) {
        let answer = futures_util::FutureExt::now_or_never(self.app.clone().oneshot(request));
        assert!(answer.is_none());
    }

    /// Returns what the nodes have heard.
    pub(super) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Returns the traces that places and legs were asked for under.
    pub(super) fn traces(&self) -> Vec<String> {
        self.traces.lock().unwrap().clone()
    }

    /// Takes every record of usage as a router does, and returns the last of each part once all of them are over.
    pub(super) async fn paid(&self) -> Vec<UsageRecord> {
        let (meters, mut parts) = (self.reporter.meters(), BTreeMap::new());
        while !meters.is_settled() {
            for record in meters.next().map(|usage| usage.records).unwrap_or_default() {
                let UsageRecord { session, part, sequence, .. } = record.clone();
                meters.forget(meters.acknowledged(&[UsageId { session, part, sequence }])).await;
                parts.insert(part, record);
            }
            tokio::task::yield_now().await;
        }
        parts.into_values().collect()
    }

    /// Returns the sessions that have ended since this was last asked.
    pub(super) fn ended(&self) -> Vec<Ended> {
        let updates = std::iter::from_fn(|| self.reporter.next());
        let endings = updates.filter_map(|update| match update {
            Update::Ended(ended) => Some(ended),
            Update::Opened(_) | Update::Failed(_) | Update::Renewal(_) | Update::Released(_) => None,
            Update::Moved(_) | Update::Usage(_) => None,
        });
        endings.collect()
    }
}

/// Makes a request from this machine with the right key and the type of a form.
pub(super) fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method.parse::<Method>().unwrap()).uri(path);
    let request = request.header("authorization", "Bearer k").header("content-type", FORM);
    request.extension(Peer(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))).body(body.into()).unwrap()
}

/// Writes a form's field, or its file where the name is `file`.
pub(super) fn part(name: &str, value: &str) -> String {
    let file = if name == "file" { "; filename=\"a.wav\"\r\nContent-Type: audio/x-wav" } else { "" };
    format!("--cut\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n")
}

/// Writes a form.
pub(super) fn form(parts: &[(&str, &str)]) -> String {
    parts.iter().map(|(name, value)| part(name, value)).collect::<String>() + "--cut--\r\n"
}

/// The keys of an index, and `k`.
fn keys(index: Arc<Embedded>, limits: Limits) -> Arc<Keys> {
    let keyring = Keyring::new(index).with_dev_key(&Secret::new("k"), "dev".parse().unwrap());
    Arc::new(Keys::new(keyring, Tokens::default(), limits))
}

fn shared(router: SocketAddr, reporter: &Reporter, shutdown: &Shutdown) -> Shared {
    let files = FileLimits { cut_from: Duration::from_secs(6), ..FileLimits::default() };
    let config = Config { place_timeout: Duration::from_secs(5), files, ..Config::default() };
    let aliases = ["gpt-4o-transcribe", "whisper-1"].map(str::to_owned).into();
    let spec = ModelSpec { languages: vec!["en-US".parse().unwrap()], aliases };
    Shared {
        facts: Arc::new(crate::facts::FactReader::open(&config.facts).unwrap()),
        placer: Placer::new(&[format!("http://{router}")], config.place_timeout).unwrap(),
        chunks: Arc::new(tokio::sync::Semaphore::new(8)),
        spools: crate::delivery::Spools::default(),
        config,
        models: Arc::new(arc_swap::ArcSwap::from_pointee(Models(BTreeMap::from([(
            "sphinx-en-us".parse().unwrap(),
            spec,
        )])))),
        reporter: reporter.clone(),
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
        dialer: Arc::new(Tcp),
        memory: MemoryWatch::default(),
        rings: crate::budget::Budget::new(u64::MAX),
        spills: crate::budget::Budget::new(u64::MAX),
        shutdown: shutdown.clone(),
        keys: keys(Arc::new(Embedded::new()), Limits::default()),
        parking: Arc::new(Parking::new(ResumeConfig::default(), Seal::random())),
        quota: Arc::new(Quota::new(Arc::new(Embedded::new()), std::num::NonZeroU32::MIN)),
        started: tokio::time::Instant::now(),
    }
}
