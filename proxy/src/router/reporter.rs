//! Tells the router how sessions go: renewals every 5 s, outcomes at once, endings and usage until they are acknowledged.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use process::Shutdown;
use proto::v1::placement_client::PlacementClient;
use proto::v1::session_order::Order;
use proto::v1::session_update::Update;
use proto::v1::{Counted, Ended, Failed, Held, Moved, Opened, Renewal, SessionOrder, SessionUpdate};
use scheduler::{NodeId, SessionId};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;
use tracing::{debug, warn};

use super::Placer;
use super::chunks::Chunks;
use super::moves::Letterboxes;
use crate::metrics;
use crate::usage::Meters;

/// How often leases are renewed.
const RENEW: Duration = Duration::from_secs(5);
/// How long news may wait for more: what is told together wakes everybody once.
const GATHER: Duration = Duration::from_millis(5);
/// Pause before the next try when no router takes updates.
const RETRY: Duration = Duration::from_millis(500);
/// Hints that may wait for a router; the oldest goes first.
const HINTS: usize = 4096;
/// Endings that may wait for an acknowledgement.
const ENDINGS: usize = 100_000;

/// What is to be told, shared by all sessions of this proxy.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    outbox: Mutex<Outbox>,
    meters: Meters,
    letterboxes: Letterboxes,
    news: Arc<Notify>,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) held: HashMap<SessionId, NodeId>,
    pub(super) chunks: Chunks,
    /// Sessions of keys with a concurrent limit, and as what a router counts them.
    counted: HashMap<SessionId, Option<Counted>>,
    hints: VecDeque<Update>,
    endings: HashMap<String, Ended>,
    unsent: VecDeque<String>,
}

impl Reporter {
    /// Tells what is told here, and what `meters` has, which says through `news` that it has something.
    pub(crate) fn new(meters: Meters, news: Arc<Notify>) -> Self {
        let (outbox, letterboxes) = (Mutex::default(), Letterboxes::default());
        Self { inner: Arc::new(Inner { outbox, meters, letterboxes, news }) }
    }

    /// Returns what sessions are metered with.
    pub(crate) fn meters(&self) -> &Meters {
        &self.inner.meters
    }

    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.inner.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn letterboxes(&self) -> &Letterboxes {
        &self.inner.letterboxes
    }

    pub(super) fn hint(&self, update: Update) {
        let mut outbox = self.outbox();
        if outbox.hints.len() == HINTS {
            outbox.hints.pop_front();
            metrics::update_dropped();
        }
        outbox.hints.push_back(update);
        drop(outbox);
        self.inner.news.notify_one();
    }

    /// Renews the session's lease on a node from now on.
    pub(crate) fn hold(&self, session: SessionId, node: &NodeId) {
        self.outbox().held.insert(session, node.clone());
    }

    /// Notes that a session may be counted against its key's limit until it ends.
    pub(crate) fn may_count(&self, session: SessionId) {
        self.outbox().counted.insert(session, None);
    }

    /// Counts a session against its key's limit, unless it has ended meanwhile.
    pub(crate) fn counted(&self, session: SessionId, counted: Counted) {
        if let Some(entry) = self.outbox().counted.get_mut(&session) {
            *entry = Some(counted);
        }
    }

    /// Tells whether a router has counted a session.
    pub(crate) fn is_counted(&self, session: SessionId) -> bool {
        self.outbox().counted.get(&session).is_some_and(Option::is_some)
    }

    /// Tells that a leg was opened; its lease is renewed from now on.
    pub(crate) fn opened(&self, session: SessionId, node: &NodeId, epoch: u32) {
        self.hold(session, node);
        self.hint(Update::Opened(Opened { session: session.to_string(), node: node.to_string(), epoch, file: None }));
    }

    /// Tells that a node refused or lost a session.
    pub(crate) fn failed(&self, session: SessionId, node: &NodeId, cause: String) {
        self.outbox().held.remove(&session);
        self.refused(session, node, cause);
    }

    /// Tells that a stream left a node that goes away; its next node comes at once.
    pub(crate) fn moved(&self, session: SessionId, node: &NodeId) {
        self.hint(Update::Moved(Moved { session: session.to_string(), node: node.to_string() }));
    }

    /// Tells that a node refused a session that may be served elsewhere.
    pub(crate) fn refused(&self, session: SessionId, node: &NodeId, cause: String) {
        self.hint(Update::Failed(Failed { session: session.to_string(), node: node.to_string(), cause, file: None }));
    }

    /// Gives back a slot that a router promised and its session does not use.
    pub(crate) fn unused(&self, session: SessionId, node: &NodeId) {
        if self.outbox().held.get(&session) != Some(node) {
            self.released(session, node);
        }
    }

    /// Gives back a slot that a session has left.
    pub(crate) fn left(&self, session: SessionId, node: &NodeId) {
        self.outbox().held.remove(&session);
        self.released(session, node);
    }

    /// Tells that a session ended, until a router acknowledges it.
    pub(crate) fn ended(&self, session: SessionId, mut ending: Ended) {
        let mut outbox = self.outbox();
        outbox.held.remove(&session);
        ending.counted = outbox.counted.remove(&session).flatten();
        if outbox.endings.len() >= ENDINGS {
            metrics::update_dropped();
            return;
        }
        outbox.unsent.push_back(ending.session.clone());
        outbox.endings.insert(ending.session.clone(), ending);
        drop(outbox);
        self.inner.news.notify_one();
    }

    fn acknowledged(&self, sessions: &[String]) {
        let mut outbox = self.outbox();
        for session in sessions {
            outbox.endings.remove(session);
        }
    }

    /// After a reconnect everything that was not acknowledged is sent again.
    fn send_all_again(&self) {
        self.inner.meters.send_all_again();
        let mut outbox = self.outbox();
        outbox.unsent = outbox.endings.keys().cloned().collect();
    }

    /// Takes the next update to send: hints first, so that an end never overtakes its open.
    pub(crate) fn next(&self) -> Option<Update> {
        let mut outbox = self.outbox();
        if let Some(hint) = outbox.hints.pop_front() {
            return Some(hint);
        }
        while let Some(session) = outbox.unsent.pop_front() {
            if let Some(ending) = outbox.endings.get(&session) {
                return Some(Update::Ended(ending.clone()));
            }
        }
        drop(outbox);
        self.inner.meters.next().map(Update::Usage)
    }

    /// Waits for something to send, and a little longer.
    async fn gathered_news(&self) {
        self.inner.news.notified().await;
        tokio::time::sleep(GATHER).await;
    }

    fn renewal(&self) -> Option<Update> {
        let held = self.renewed();
        let counted: Vec<_> = self.outbox().counted.values().flatten().cloned().collect();
        let nothing = held.is_empty() && counted.is_empty();
        (!nothing).then_some(Update::Renewal(Renewal { held, counted }))
    }

    /// Lists the leases that are still used.
    pub(crate) fn renewed(&self) -> Vec<Held> {
        let outbox = self.outbox();
        outbox
            .held
            .iter()
            .map(|(session, node)| Held {
                session: session.to_string(),
                node: node.to_string(),
                file: outbox.chunks.file(*session),
            })
            .collect()
    }

    fn holds_nothing(&self) -> bool {
        self.inner.meters.nobody_is_open() && self.outbox().held.is_empty()
    }

    fn is_settled(&self) -> bool {
        self.inner.meters.is_settled() && self.has_told_everything()
    }

    fn has_told_everything(&self) -> bool {
        let outbox = self.outbox();
        outbox.hints.is_empty() && outbox.endings.is_empty() && outbox.held.is_empty()
    }
}

/// Keeps one stream of updates open to some router, until the drain has begun and everything was said, or no session is
/// left and no router is there to hear of it.
pub(crate) async fn report(reporter: Reporter, placer: Placer, shutdown: Shutdown) {
    let mut connected = true;
    for channel in placer.channels().iter().cycle() {
        let nobody_hears = !connected && reporter.holds_nothing();
        if shutdown.token().is_cancelled() && (reporter.is_settled() || nobody_hears) {
            return;
        }
        match talk(&reporter, channel.clone(), &shutdown).await {
            Ok(()) => connected = true,
            Err(status) => {
                if connected && !shutdown.token().is_cancelled() {
                    warn!(message = status.message(), "no router takes session updates, trying again");
                }
                connected = false;
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn talk(reporter: &Reporter, channel: Channel, shutdown: &Shutdown) -> Result<(), tonic::Status> {
    let (updates, receiver) = mpsc::channel(64);
    let mut client = PlacementClient::new(channel);
    let mut orders = client.sessions(ReceiverStream::new(receiver)).await?.into_inner();
    debug!("session updates flow");
    reporter.send_all_again();
    let mut renewals = tokio::time::interval(RENEW);
    let (mut renewal, mut next) = (None, None);
    loop {
        next = next.or_else(|| renewal.take()).or_else(|| reporter.next());
        // Orders are read while an update waits for room: a router that cannot get its acknowledgements out reads no updates.
        tokio::select! {
            room = updates.reserve(), if next.is_some() => {
                room.map_err(|_| closed())?.send(SessionUpdate { update: next.take() });
            }
            // Another branch may be taken while news gather: they are asked for at every turn.
            () = reporter.gathered_news(), if next.is_none() => {}
            _ = renewals.tick() => renewal = reporter.renewal(),
            () = shutdown.begun(), if next.is_none() && reporter.is_settled() => return Ok(()),
            order = take(&mut orders) => match order? {
                Order::Acknowledged(acknowledged) => {
                    reporter.acknowledged(&acknowledged.sessions);
                    let meters = reporter.meters();
                    meters.forget(meters.acknowledged(&acknowledged.usage)).await;
                }
                Order::Revoke(revoke) => reporter.revoke(&revoke),
                Order::Migrate(migrate) => reporter.migrate(&migrate),
            },
        }
    }
}

fn closed() -> tonic::Status {
    tonic::Status::unavailable("the router closed the stream")
}

async fn take(orders: &mut Streaming<SessionOrder>) -> Result<Order, tonic::Status> {
    loop {
        match orders.message().await? {
            Some(SessionOrder { order: Some(order) }) => return Ok(order),
            Some(SessionOrder { order: None }) => {}
            None => return Err(closed()),
        }
    }
}

#[cfg(test)]
impl Default for Reporter {
    fn default() -> Self {
        let news = Arc::new(Notify::new());
        Self::new(Meters::new(store::Journal::in_memory(), Arc::clone(&news)), news)
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::placement_server::{Placement, PlacementServer};
    use proto::v1::{Acknowledged, CostsReply, CostsRequest, PlaceReply, PlaceRequest};
    use tokio::net::TcpListener;
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::transport::Server;
    use tonic::{Request, Response, Status};

    use super::*;

    /// Acknowledges the first update, and reads no other.
    struct Deaf(Shutdown);

    #[tonic::async_trait]
    impl Placement for Deaf {
        type SessionsStream = ReceiverStream<Result<SessionOrder, Status>>;

        async fn place(&self, _: Request<PlaceRequest>) -> Result<Response<PlaceReply>, Status> {
            Err(Status::unimplemented("nothing is placed here"))
        }

        async fn costs(&self, _: Request<CostsRequest>) -> Result<Response<CostsReply>, Status> {
            Err(Status::unimplemented("nothing is charged here"))
        }

        async fn sessions(
            &self,
            request: Request<Streaming<SessionUpdate>>,
        ) -> Result<Response<Self::SessionsStream>, Status> {
            let (orders, receiver) = mpsc::channel(1);
            let mut updates = request.into_inner();
            self.0.spawn("deaf", async move {
                if let Ok(Some(SessionUpdate { update: Some(Update::Ended(ended)) })) = updates.message().await {
                    let order = Order::Acknowledged(Acknowledged { sessions: vec![ended.session], usage: vec![] });
                    let _ = orders.send(Ok(SessionOrder { order: Some(order) })).await;
                }
                std::future::pending::<()>().await;
            });
            Ok(Response::new(ReceiverStream::new(receiver)))
        }
    }

    #[tokio::test]
    async fn acknowledgements_are_heard_while_the_router_takes_no_updates() {
        let shutdown = Shutdown::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let router = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::builder().add_service(PlacementServer::new(Deaf(shutdown.clone())));
        let serving = server.serve_with_incoming(TcpListenerStream::new(listener));
        shutdown.spawn("router", async move { serving.await.unwrap() });

        let reporter = Reporter::default();
        let endings = 2_000;
        for number in 0..endings {
            let session = SessionId::from_random(number);
            let reason = "more than any window holds ".repeat(50);
            reporter.ended(session, Ended { session: session.to_string(), reason, ..Ended::default() });
        }
        let placer = Placer::new(&[router], Duration::from_secs(1)).unwrap();
        shutdown.spawn("session updates", report(reporter.clone(), placer, shutdown.clone()));
        let heard = async {
            while reporter.outbox().endings.len() == endings as usize {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), heard).await.expect("the acknowledgement is heard");
        shutdown.cut().await;
    }
}
