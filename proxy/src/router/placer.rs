//! Asks the routers for placements. The one that answered last is asked first; when it takes its time the next is asked as
//! well, and the first answer counts. So a router that hangs costs one session a tenth of a second, and then none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use process::Shutdown;
use proto::convert::{decision_from_reply, request_to_wire};
use proto::v1::placement_client::PlacementClient;
use proto::v1::{CostsReply, CostsRequest, PlaceRequest};
use scheduler::{KeyId, Placement, Priority, Request, SessionId};
use session::CloseReason;
use tokio::time::{sleep, timeout};
use tonic::Code;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tracing::warn;

use super::{Counting, Reporter};
use crate::delivery::Failure;
use crate::metrics;
use crate::trace::{TRACEPARENT, Trace};

/// A router's connection must be made within this time.
const CONNECT: Duration = Duration::from_secs(1);
/// How long a caller waits for a slot when all are taken. A router that is gone is noticed sooner, by its connection.
const WAIT: Duration = Duration::from_secs(5);
/// The next router is asked as well when one has not answered for so long.
const HEDGE: Duration = Duration::from_millis(100);
/// A session may wait for so long while no router answers: enough for one to be started again.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pause before all are asked again.
const PAUSE: Duration = Duration::from_millis(50);
/// A router may read many days before it answers what a key used.
const COSTS: Duration = Duration::from_secs(5);

/// Why nobody says what a key used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CostsError {
    /// The question makes no sense.
    #[error("{0}")]
    BadQuestion(String),
    /// No router, or no store behind it, answers.
    #[error("usage cannot be read now, please try again")]
    Away,
}

/// Says that a router's address is none.
#[derive(Debug, thiserror::Error)]
#[error("expected a router address such as http://127.0.0.1:7400, got {0:?}")]
pub struct RouterAddressError(String);

/// The routers, each with a connection that is made when it is first used.
#[derive(Clone, Debug)]
pub(crate) struct Placer {
    routers: Vec<Endpoint>,
    channels: Vec<Channel>,
    timeout: Duration,
    /// The router that answered last.
    first: Arc<AtomicUsize>,
    /// Where answers that come too late are waited for.
    shutdown: Shutdown,
}

type Decided = Result<Vec<Placement>, Failure>;
/// Which router answered, and what it decided if it did.
type Answer = (usize, Option<Decided>);

impl Placer {
    /// Prepares a connection to each router.
    pub(crate) fn new(routers: &[String], timeout: Duration) -> Result<Self, RouterAddressError> {
        let routers: Vec<_> = routers.iter().map(|router| endpoint(router)).collect::<Result<_, _>>()?;
        let channels = routers.iter().map(Endpoint::connect_lazy).collect();
        Ok(Self { routers, channels, timeout, first: Arc::default(), shutdown: Shutdown::default() })
    }

    /// Prepares connections that belong to whoever calls this: those of a lane wake no other thread.
    pub(crate) fn on_lane(&self) -> Self {
        Self { channels: self.routers.iter().map(Endpoint::connect_lazy).collect(), ..self.clone() }
    }

    /// Waits inside `shutdown` for answers that come too late.
    pub(crate) fn within(self, shutdown: Shutdown) -> Self {
        Self { shutdown, ..self }
    }

    /// Returns the connections, for the stream of session updates.
    pub(crate) fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// Asks for placements: the first router that answers decides, and has then counted the session. While none does, all are
    /// asked again for a second.
    pub(crate) async fn place(&self, request: &Request, trace: Trace, counting: &Counting) -> Decided {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            match Box::pin(self.round(request, trace, counting)).await {
                Some(Err(failure))
                    if failure.reason == CloseReason::NoCapacity && request.priority != Priority::Batch =>
                {
                    let placed = Box::pin(self.wait(request, trace, counting)).await;
                    return placed.inspect(|_| counting.placed(request));
                }
                Some(decided) => return decided.inspect(|_| counting.placed(request)),
                None if !self.channels.is_empty() && tokio::time::Instant::now() + PAUSE < end => sleep(PAUSE).await,
                None => return Err(Failure::no_node(CloseReason::RouterAway)),
            }
        }
    }

    /// Asks one router after the other, the next when one has failed, or takes longer than [`HEDGE`]. A router that knows
    /// of no live node may have been started just now: its word counts when no other says more.
    async fn round(&self, request: &Request, trace: Trace, counting: &Counting) -> Option<Decided> {
        let first = self.first.load(Ordering::Relaxed);
        let mut untried = (0..self.channels.len()).map(|number| (first + number) % self.channels.len());
        let mut asked = FuturesUnordered::new();
        let mut at_worst = None;
        loop {
            let hedge = match untried.next() {
                Some(router) => {
                    asked.push(self.ask(router, asking(request, trace, counting, Duration::ZERO), self.timeout));
                    HEDGE
                }
                // Nobody is left to be asked: only answers count.
                None => Duration::MAX,
            };
            match timeout(hedge, asked.next()).await {
                Ok(Some((_, Some(Err(failure))))) if failure.reason == CloseReason::NoLiveNode => {
                    at_worst = Some(Err(failure));
                }
                Ok(Some((router, Some(decided)))) => {
                    self.first.store(router, Ordering::Relaxed);
                    if !asked.is_empty() {
                        self.give_back_late(asked, request.session, &decided, counting.reporter().clone());
                    }
                    return Some(decided);
                }
                Ok(Some((_, None))) | Err(_) => {}
                Ok(None) => return at_worst,
            }
        }
    }

    /// Waits for a slot at the router that has none: only there, since every router asked would claim one.
    async fn wait(&self, request: &Request, trace: Trace, counting: &Counting) -> Decided {
        let router = self.first.load(Ordering::Relaxed);
        let (_, decided) = self.ask(router, asking(request, trace, counting, WAIT), self.timeout + WAIT).await;
        decided.unwrap_or_else(|| Err(Failure::no_node(CloseReason::NoCapacity)))
    }

    /// Waits for the answers that come too late, and gives the slots back that they promise.
    fn give_back_late(
        &self,
        mut late: FuturesUnordered<impl Future<Output = Answer> + Send + 'static>,
        session: SessionId,
        decided: &Decided,
        reporter: Reporter,
    ) {
        let promised = |decided: &Decided| Some(decided.as_ref().ok()?.first()?.node.clone());
        let used = promised(decided);
        self.shutdown.spawn("late placements", async move {
            while let Some((_, decided)) = late.next().await {
                let unused = decided.as_ref().and_then(promised).filter(|node| Some(node) != used.as_ref());
                if let Some(node) = unused {
                    reporter.unused(session, &node);
                }
            }
        });
    }

    fn ask(
        &self,
        router: usize,
        asking: tonic::Request<PlaceRequest>,
        patience: Duration,
    ) -> impl Future<Output = Answer> + Send + use<> {
        let client = PlacementClient::new(self.channels[router].clone());
        ask(router, client, asking, patience)
    }

    /// Asks what a key used: the first router that knows answers.
    pub(crate) async fn costs(&self, key: &KeyId, since: &str) -> Result<CostsReply, CostsError> {
        for channel in &self.channels {
            let request = CostsRequest { key: key.to_string(), since: since.to_owned() };
            let asked = timeout(COSTS, PlacementClient::new(channel.clone()).costs(request)).await;
            match asked {
                Ok(Ok(reply)) => return Ok(reply.into_inner()),
                Ok(Err(status)) if status.code() == Code::InvalidArgument => {
                    return Err(CostsError::BadQuestion(status.message().to_owned()));
                }
                Ok(Err(status)) => {
                    warn!(code = ?status.code(), message = status.message(), "router did not say what a key used")
                }
                Err(_elapsed) => warn!(timeout_ms = COSTS.as_millis(), "router took too long to say what a key used"),
            }
        }
        Err(CostsError::Away)
    }
}

async fn ask(
    router: usize,
    mut client: PlacementClient<Channel>,
    asking: tonic::Request<PlaceRequest>,
    patience: Duration,
) -> Answer {
    let began = Instant::now();
    let reply = match timeout(patience, client.place(asking)).await {
        Ok(Ok(reply)) => reply.into_inner(),
        Ok(Err(status)) => {
            warn!(router, code = ?status.code(), message = status.message(), "router did not place a session");
            return (router, None);
        }
        Err(_elapsed) => {
            warn!(router, timeout_ms = patience.as_millis(), "router took too long to place a session");
            return (router, None);
        }
    };
    metrics::placed(began.elapsed());
    let decision = decision_from_reply(reply);
    let decision = decision.inspect_err(|bad| warn!(router, error = %bad, "router's answer makes no sense"));
    (router, decision.ok().map(|decision| decision.map_err(Failure::from)))
}

fn asking(request: &Request, trace: Trace, counting: &Counting, patience: Duration) -> tonic::Request<PlaceRequest> {
    let wire = PlaceRequest {
        concurrent_limit: counting.limit(),
        patience_milliseconds: u32::try_from(patience.as_millis()).unwrap_or(u32::MAX),
        ..request_to_wire(request)
    };
    let mut asking = tonic::Request::new(wire);
    if let Ok(trace) = MetadataValue::try_from(trace.to_string()) {
        asking.metadata_mut().insert(TRACEPARENT, trace);
    }
    asking
}

fn endpoint(router: &str) -> Result<Endpoint, RouterAddressError> {
    let wrong = || RouterAddressError(router.to_owned());
    let endpoint = Endpoint::from_shared(router.to_owned()).map_err(|_| wrong())?;
    // `host:port` parses too, but names no way to get there.
    if endpoint.uri().scheme_str() != Some("http") {
        return Err(wrong());
    }
    Ok(endpoint
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(Duration::from_secs(1))
        .keep_alive_timeout(Duration::from_secs(2))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true))
}

#[cfg(test)]
mod tests;
