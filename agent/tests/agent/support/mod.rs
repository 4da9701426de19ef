//! What the agent stands between: an engine and a router, each on a port of its own, each with a runtime of its own so
//! that dropping it is a kill, connections and all.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use crosspoint_agent::{CloudConfig, Config, EngineConfig, GpuSource, NoticesConfig};
use process::Shutdown;
use proto::convert::report_from_wire;
use proto::v1;
use proto::v1::agents_server::{Agents, AgentsServer};
use scheduler::Report;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// What may go wrong in a test before its first assertion.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// The longest that anything here may take; the machine may be busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// What kind of router it is.
#[derive(Clone, Debug)]
pub(crate) enum Manners {
    /// Accepts, and orders an interval in milliseconds; 0 keeps the agent's.
    Accepts(u32),
    /// Knows nothing of the agent's pool.
    Refuses(&'static str),
    /// Accepts agents with this token.
    WantsToken(&'static str),
}

/// A process in all but name.
#[derive(Debug)]
struct Home(Option<Runtime>);

impl Home {
    fn new() -> io::Result<Self> {
        Builder::new_multi_thread().worker_threads(1).enable_all().build().map(|runtime| Self(Some(runtime)))
    }

    /// Binds an address inside, which makes it the home's to lose.
    async fn bind(&self, address: SocketAddr) -> Outcome<TcpListener> {
        let runtime = self.0.as_ref().ok_or("the home is gone")?;
        Ok(runtime.handle().spawn(TcpListener::bind(address)).await??)
    }

    fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            runtime.handle().spawn(task);
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // On a thread, because a test's own runtime forbids to wait; waited for, so that its ports are free after.
        if let Some(runtime) = self.0.take() {
            let _ = std::thread::spawn(move || runtime.shutdown_timeout(DEADLINE)).join();
        }
    }
}

/// A router that hands every report to the test.
#[derive(Debug)]
pub(crate) struct FakeRouter {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    reports: mpsc::Receiver<Report>,
    /// Calls that agents opened.
    calls: Arc<AtomicU32>,
    home: Home,
}

impl FakeRouter {
    /// Starts a router; port 0 takes a free one.
    pub(crate) async fn start(port: u16, manners: Manners) -> Outcome<Self> {
        let home = Home::new()?;
        let listener = home.bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
        let address = listener.local_addr()?;
        let (heard, reports) = mpsc::channel(1000);
        let calls = Arc::new(AtomicU32::new(0));
        let desk = Desk { heard, manners, calls: Arc::clone(&calls) };
        home.run(async move {
            let server = tonic::transport::Server::builder().add_service(AgentsServer::new(desk));
            let _ = server.serve_with_incoming(TcpListenerStream::new(listener)).await;
        });
        Ok(Self { address, reports, calls, home })
    }

    /// Stops it without a word, as SIGSTOP would, until what is returned is dropped.
    pub(crate) fn freeze(&self) -> std::sync::mpsc::Sender<()> {
        let (thaws, frozen) = std::sync::mpsc::channel();
        self.home.run(async move {
            let _ = frozen.recv();
        });
        thaws
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often an agent opened a stream.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Acquire)
    }

    /// Waits for the next report.
    pub(crate) async fn report(&mut self) -> Outcome<Report> {
        Ok(timeout(DEADLINE, self.reports.recv()).await?.ok_or("the router is gone")?)
    }

    /// Waits for a report of which `wanted` holds; passes over others.
    pub(crate) async fn report_with(&mut self, wanted: impl Fn(&Report) -> bool) -> Outcome<Report> {
        let search = async {
            loop {
                let report = self.report().await?;
                if wanted(&report) {
                    return Ok(report);
                }
            }
        };
        timeout(DEADLINE, search).await?
    }
}

struct Desk {
    heard: mpsc::Sender<Report>,
    manners: Manners,
    calls: Arc<AtomicU32>,
}

type Orders = Pin<Box<dyn tokio_stream::Stream<Item = Result<v1::NodeOrder, Status>> + Send>>;

#[tonic::async_trait]
impl Agents for Desk {
    type ReportStream = Orders;

    async fn report(&self, request: Request<Streaming<v1::NodeReport>>) -> Result<Response<Orders>, Status> {
        self.calls.fetch_add(1, Ordering::AcqRel);
        self.let_in(&request)?;
        let mut reports = request.into_inner();
        let first = reports.message().await?.ok_or_else(|| Status::cancelled("no report"))?;
        let interval = match self.manners {
            Manners::Refuses(why) => return Err(Status::invalid_argument(why)),
            Manners::Accepts(interval) => interval,
            Manners::WantsToken(_) => 0,
        };
        let (orders, sent) = mpsc::channel(1);
        let accepted = v1::Accepted { report_interval_milliseconds: interval };
        let order = v1::NodeOrder { order: Some(v1::node_order::Order::Accepted(accepted)) };
        orders.send(Ok(order)).await.map_err(|_| Status::cancelled("gone"))?;
        let heard = self.heard.clone();
        Shutdown::new().spawn("desk", async move {
            let mut next = Some(first);
            while let Some(wire) = next {
                let Ok(report) = report_from_wire(wire) else { break };
                if heard.send(report).await.is_err() {
                    break;
                }
                next = reports.message().await.ok().flatten();
            }
            drop(orders);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(sent))))
    }

    async fn check(&self, call: Request<v1::CheckRequest>) -> Result<Response<v1::CheckReply>, Status> {
        self.let_in(&call)?;
        match self.manners {
            Manners::Refuses(why) => Err(Status::invalid_argument(why)),
            Manners::Accepts(_) | Manners::WantsToken(_) => Ok(Response::new(v1::CheckReply {})),
        }
    }
}

impl Desk {
    fn let_in<T>(&self, call: &Request<T>) -> Result<(), Status> {
        let Manners::WantsToken(token) = self.manners else { return Ok(()) };
        match call.metadata().get("authorization").map(|value| value.as_bytes()) {
            Some(value) if value == format!("Bearer {token}").as_bytes() => Ok(()),
            Some(_) | None => Err(Status::unauthenticated("the agent's token is not one of this router's")),
        }
    }
}

/// An engine whose figures the test sets.
#[derive(Debug)]
pub(crate) struct FakeEngine {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    used: Arc<AtomicU32>,
    _home: Home,
}

impl FakeEngine {
    /// Starts an engine with 4 slots; port 0 takes a free one.
    pub(crate) async fn start(port: u16) -> Outcome<Self> {
        let home = Home::new()?;
        let listener = home.bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
        let address = listener.local_addr()?;
        let used = Arc::new(AtomicU32::new(0));
        let pages = axum::Router::new()
            .route("/health", get(|| async { r#"{"status":"ok","pid":4711}"# }))
            .route("/metrics", get(metrics))
            .with_state(Arc::clone(&used));
        home.run(async move {
            let _ = axum::serve(listener, pages).await;
        });
        Ok(Self { address, used, _home: home })
    }

    /// Puts so many slots in use.
    pub(crate) fn serve(&self, streams: u32) {
        self.used.store(streams, Ordering::Release);
    }
}

async fn metrics(State(used): State<Arc<AtomicU32>>) -> String {
    let used = used.load(Ordering::Acquire);
    format!(
        "# TYPE crosspoint_engine_slots gauge\ncrosspoint_engine_slots 4\ncrosspoint_engine_active_streams {used}\n\
         crosspoint_engine_queue_depth 2\ncrosspoint_engine_realtime_factor 0.25\n"
    )
}

/// An agent that runs until it is dropped or told to drain.
#[derive(Debug)]
pub(crate) struct Agent {
    /// Begins its drain.
    pub(crate) shutdown: Shutdown,
    /// Its metrics page.
    pub(crate) metrics: Option<SocketAddr>,
    ended: tokio::sync::oneshot::Receiver<()>,
}

impl Agent {
    /// Starts an agent.
    pub(crate) fn start(config: &Config) -> Outcome<Self> {
        let app = config.build()?;
        let metrics = app.metrics_address();
        let shutdown = Shutdown::new();
        let (ends, ended) = tokio::sync::oneshot::channel();
        let life = shutdown.clone();
        Shutdown::new().spawn("agent", async move {
            app.run(life).await;
            drop(ends);
        });
        Ok(Self { shutdown, metrics, ended })
    }

    /// Drains it and waits for its end.
    pub(crate) async fn drain(self) -> Outcome {
        self.shutdown.begin();
        let _ = timeout(DEADLINE, self.ended).await?;
        Ok(())
    }
}

/// An agent's configuration between these two, with nothing else.
pub(crate) fn between(engine: SocketAddr, routers: &[&FakeRouter], interval: Duration) -> Outcome<Config> {
    Ok(Config {
        node: Some("aws-1".parse()?),
        pool: Some("aws".parse()?),
        routers: routers.iter().map(|router| router.url()).collect(),
        engine: EngineConfig { url: format!("http://{engine}"), ..EngineConfig::default() },
        gpus: GpuSource::None,
        notices: NoticesConfig { cloud: CloudConfig::None, ..NoticesConfig::default() },
        report_interval: interval,
        metrics: None,
        ..Config::default()
    })
}

/// Returns an address where nobody listens.
pub(crate) async fn nobody() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?)
}

/// A server whose pages the test writes, as engines of other makers and clouds have them. What is not written is not found.
#[derive(Debug)]
pub(crate) struct Pages {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    texts: Texts,
    _home: Home,
}

type Texts = Arc<std::sync::Mutex<std::collections::BTreeMap<String, String>>>;

impl Pages {
    /// Starts a server with these pages.
    pub(crate) async fn start(pages: &[(&str, &str)]) -> Outcome<Self> {
        let home = Home::new()?;
        let listener = home.bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        let texts = Texts::default();
        let routes = axum::Router::new().fallback(page).with_state(Arc::clone(&texts));
        home.run(async move {
            let _ = axum::serve(listener, routes).await;
        });
        let server = Self { address, texts, _home: home };
        for (path, text) in pages {
            server.write(path, text);
        }
        Ok(server)
    }

    /// Writes a page.
    pub(crate) fn write(&self, path: &str, text: &str) {
        self.texts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(path.to_owned(), text.to_owned());
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Answers as written. A question that would wait for a change waits until the page says something else than it was asked with.
async fn page(State(texts): State<Texts>, asked: axum::http::Uri) -> axum::response::Response {
    use axum::response::IntoResponse as _;
    let read = || texts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(asked.path()).cloned();
    let query = asked.query().unwrap_or_default();
    let mut polls = tokio::time::interval(Duration::from_millis(5));
    while let Some(text) = read() {
        let tag = format!("{:x}", text.len());
        if query.contains("wait_for_change=true") && query.ends_with(&format!("last_etag={tag}")) {
            polls.tick().await;
            continue;
        }
        return ([("etag", tag)], text).into_response();
    }
    axum::http::StatusCode::NOT_FOUND.into_response()
}
