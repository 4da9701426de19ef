//! Tells the router how sessions go: renewals every 5 s, outcomes at once, endings until they are acknowledged.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use process::Shutdown;
use proto::v1::placement_client::PlacementClient;
use proto::v1::session_order::Order;
use proto::v1::session_update::Update;
use proto::v1::{Ended, Failed, Held, Opened, Renewal, SessionOrder, SessionUpdate};
use scheduler::{NodeId, SessionId};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;
use tracing::{debug, warn};

use super::Placer;
use crate::metrics;

/// How often leases are renewed.
const RENEW: Duration = Duration::from_secs(5);
/// Pause before the next try when no router takes updates.
const RETRY: Duration = Duration::from_millis(500);
/// Hints that may wait for a router; the oldest goes first.
const HINTS: usize = 4096;
/// Endings that may wait for an acknowledgement.
const ENDINGS: usize = 100_000;

/// What is to be told, shared by all sessions of this proxy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reporter {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    outbox: Mutex<Outbox>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Outbox {
    held: HashMap<SessionId, NodeId>,
    hints: VecDeque<Update>,
    endings: HashMap<String, Ended>,
    unsent: VecDeque<String>,
}

impl Reporter {
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.inner.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hint(&self, update: Update) {
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

    /// Tells that a leg was opened; its lease is renewed from now on.
    pub(crate) fn opened(&self, session: SessionId, node: &NodeId, epoch: u32) {
        self.hold(session, node);
        self.hint(Update::Opened(Opened { session: session.to_string(), node: node.to_string(), epoch }));
    }

    /// Tells that a node refused or lost a session.
    pub(crate) fn failed(&self, session: SessionId, node: &NodeId, cause: String) {
        self.outbox().held.remove(&session);
        self.hint(Update::Failed(Failed { session: session.to_string(), node: node.to_string(), cause }));
    }

    /// Tells that a session ended, until a router acknowledges it.
    pub(crate) fn ended(&self, session: SessionId, ending: Ended) {
        let mut outbox = self.outbox();
        outbox.held.remove(&session);
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
        None
    }

    fn renewal(&self) -> Option<Update> {
        let outbox = self.outbox();
        let held: Vec<_> = outbox
            .held
            .iter()
            .map(|(session, node)| Held { session: session.to_string(), node: node.to_string() })
            .collect();
        (!held.is_empty()).then_some(Update::Renewal(Renewal { held }))
    }

    fn is_settled(&self) -> bool {
        let outbox = self.outbox();
        outbox.hints.is_empty() && outbox.endings.is_empty() && outbox.held.is_empty()
    }
}

/// Keeps one stream of updates open to some router, until the drain has begun and everything was said.
pub(crate) async fn report(reporter: Reporter, placer: Placer, shutdown: Shutdown) {
    let mut connected = true;
    for channel in placer.channels().iter().cycle() {
        if shutdown.token().is_cancelled() && (reporter.is_settled() || !connected) {
            return;
        }
        match talk(&reporter, channel.clone(), &shutdown).await {
            Ok(()) => connected = true,
            Err(status) => {
                if connected {
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
    loop {
        tokio::select! {
            () = reporter.inner.news.notified() => {}
            _ = renewals.tick() => if let Some(update) = reporter.renewal() {
                send(&updates, update).await?;
            },
            () = shutdown.begun(), if reporter.is_settled() => return Ok(()),
            order = take(&mut orders) => match order? {
                Order::Acknowledged(acknowledged) => reporter.acknowledged(&acknowledged.sessions),
            },
        }
        while let Some(update) = reporter.next() {
            send(&updates, update).await?;
        }
    }
}

async fn send(updates: &mpsc::Sender<SessionUpdate>, update: Update) -> Result<(), tonic::Status> {
    let update = SessionUpdate { update: Some(update) };
    updates.send(update).await.map_err(|_| tonic::Status::unavailable("the router closed the stream"))
}

async fn take(orders: &mut Streaming<SessionOrder>) -> Result<Order, tonic::Status> {
    loop {
        match orders.message().await? {
            Some(SessionOrder { order: Some(order) }) => return Ok(order),
            Some(SessionOrder { order: None }) => {}
            None => return Err(tonic::Status::unavailable("the router closed the stream")),
        }
    }
}
