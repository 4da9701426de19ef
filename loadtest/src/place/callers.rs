//! Callers that ask for a place again and again over one connection, and give each slot back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proto::v1::placement_client::PlacementClient;
use proto::v1::session_update::Update;
use proto::v1::{Class, PlaceReply, PlaceRequest, Released, SessionUpdate, Work};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::PlaceError;
use super::agents::MODEL;
use crate::timings::Timings;

/// Returned slots that may wait for the connection.
const RETURNS: usize = 256;
/// How long a router may take to know its fleet, and how often that is tried.
const KNOWN: Duration = Duration::from_secs(30);
const TRY: Duration = Duration::from_millis(200);

/// Connects to a server of this machine.
///
/// # Errors
/// Fails when it is not there.
pub(super) async fn connect(address: &str) -> Result<Channel, PlaceError> {
    let failed = |source| PlaceError::Connect { address: address.to_owned(), source };
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(failed)?;
    endpoint.tcp_nodelay(true).connect().await.map_err(failed)
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Callers {
    /// How many ask at the same time.
    pub(super) number: u16,
    /// Nodes that they may be placed on.
    pub(super) agents: u32,
}

/// Callers that are asking.
pub(super) struct Calls {
    asking: JoinSet<Result<(), Status>>,
    counted: Arc<Counted>,
}

/// What all callers count together.
struct Counted {
    measured: AtomicBool,
    refused: AtomicU64,
    timings: Mutex<Timings>,
}

impl Callers {
    /// Waits until a router places somebody.
    ///
    /// # Errors
    /// Fails when it does not within 30 s.
    pub(super) async fn rehearse(self, router: &str) -> Result<(), PlaceError> {
        let mut client = PlacementClient::new(connect(router).await?);
        let deadline = Instant::now() + KNOWN;
        loop {
            let asked = client.place(PlaceRequest { dry_run: true, ..request() }).await.map_err(refused_call)?;
            let reply = asked.into_inner();
            if !reply.placements.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(PlaceError::Deaf { agents: self.agents, said: format!("{:?}", reply.refusal) });
            }
            sleep(TRY).await;
        }
    }

    /// Begins to ask; nothing is measured yet.
    ///
    /// # Errors
    /// Fails when the server is not there.
    pub(super) async fn call(self, server: &str) -> Result<Calls, PlaceError> {
        let client = PlacementClient::new(connect(server).await?);
        let (returns, queue) = mpsc::channel(RETURNS);
        let mut asking = JoinSet::new();
        let mut other = client.clone();
        asking.spawn(async move {
            let mut orders = other.sessions(ReceiverStream::new(queue)).await?.into_inner();
            while orders.message().await?.is_some() {}
            Ok(())
        });
        let timings = Mutex::new(Timings::new()?);
        let counted = Arc::new(Counted { measured: AtomicBool::new(false), refused: AtomicU64::new(0), timings });
        for _caller in 0..self.number {
            asking.spawn(ask(client.clone(), returns.clone(), Arc::clone(&counted)));
        }
        Ok(Calls { asking, counted })
    }
}

impl Calls {
    /// Counts from now on.
    pub(super) fn measure(&self) {
        self.counted.measured.store(true, Ordering::Relaxed);
    }

    /// Ends the calls and returns the times of all that were measured, and how many of them were refused.
    ///
    /// # Errors
    /// Fails when a call did.
    pub(super) async fn end(mut self) -> Result<(Timings, u64), PlaceError> {
        self.counted.measured.store(false, Ordering::Relaxed);
        if let Some(Ok(ended)) = self.asking.try_join_next() {
            ended.map_err(refused_call)?;
        }
        self.asking.shutdown().await;
        let timings = self.counted.timings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((timings, self.counted.refused.load(Ordering::Relaxed)))
    }
}

fn refused_call(status: Status) -> PlaceError {
    PlaceError::Call { what: "a placement", status: Box::new(status) }
}

/// Asks again and again.
async fn ask(
    mut client: PlacementClient<Channel>,
    returns: mpsc::Sender<SessionUpdate>,
    counted: Arc<Counted>,
) -> Result<(), Status> {
    loop {
        let (request, began) = (request(), Instant::now());
        let session = request.session.clone();
        let reply = client.place(request).await?.into_inner();
        if counted.measured.load(Ordering::Relaxed) {
            counted.note(&reply, began.elapsed());
        }
        let Some(place) = reply.placements.into_iter().next() else { continue };
        let released = Released { session, node: place.node };
        // Where the connection is gone the next call says so.
        let _ = returns.send(SessionUpdate { update: Some(Update::Released(released)) }).await;
    }
}

impl Counted {
    fn note(&self, reply: &PlaceReply, took: Duration) {
        self.timings.lock().unwrap_or_else(PoisonError::into_inner).record(took);
        self.refused.fetch_add(u64::from(reply.placements.is_empty()), Ordering::Relaxed);
    }
}

/// A new stream of speech.
fn request() -> PlaceRequest {
    PlaceRequest {
        session: scheduler::SessionId::from_random(rand::random()).to_string(),
        tenant: "bench".to_owned(),
        model: MODEL.to_owned(),
        work: Work::Stream.into(),
        class: Class::New.into(),
        latency_limit_milliseconds: 300,
        audio_bytes_per_second: 32_000,
        ..PlaceRequest::default()
    }
}
