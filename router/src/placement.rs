//! The door for proxies: where a session shall be served, and how it went.

use std::sync::Arc;
use std::time::Duration;

use proto::convert::{reply_from_decision, request_from_wire};
use proto::v1::placement_server::Placement;
use proto::v1::session_order::Order;
use proto::v1::session_update::Update;
use proto::v1::{
    Acknowledged, CostsReply, CostsRequest, Ended, Opened, PlaceReply, PlaceRequest, Renewal, SessionOrder,
    SessionUpdate,
};
use scheduler::{NodeId, SessionId};
use store::{LastLeg, Lease};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, warn};

use crate::billing::Billing;
use crate::concurrency::counted;
use crate::core::{Core, Orders};
use crate::ledger::Ending;
use crate::{costs, metrics};

/// Orders that may wait for a proxy.
const ORDERS: usize = 64;

pub(crate) struct PlacementDoor {
    pub(crate) core: Arc<Core>,
    pub(crate) billing: Arc<Billing>,
    pub(crate) shutdown: process::Shutdown,
}

#[tonic::async_trait]
impl Placement for PlacementDoor {
    type SessionsStream = ReceiverStream<Result<SessionOrder, Status>>;

    async fn place(&self, request: Request<PlaceRequest>) -> Result<Response<PlaceReply>, Status> {
        let wire = request.into_inner();
        let (dry_run, concurrent_limit) = (wire.dry_run, wire.concurrent_limit);
        let patience = Duration::from_millis(wire.patience_milliseconds.into());
        let request = request_from_wire(wire)?;
        if dry_run {
            let decision = self.core.consider(&request);
            return Ok(Response::new(reply_from_decision(&decision, "", self.core.retry_after())));
        }
        let decision = match concurrent_limit {
            Some(limit) => self.core.place_within(limit, &request, patience).await,
            None => self.core.place(&request, patience).await,
        };
        metrics::placed(&decision);
        self.core.outcomes.note(&decision);
        self.core.ledger().decided(&request, &decision, self.core.now());
        let lease = request.session.to_string();
        Ok(Response::new(reply_from_decision(&decision, &lease, self.core.retry_after())))
    }

    async fn sessions(
        &self,
        request: Request<Streaming<SessionUpdate>>,
    ) -> Result<Response<Self::SessionsStream>, Status> {
        let mut updates = request.into_inner();
        let (orders, receiver) = mpsc::channel(ORDERS);
        let (core, billing) = (Arc::clone(&self.core), Arc::clone(&self.billing));
        let shutdown = self.shutdown.clone();
        self.shutdown.spawn("session updates", async move {
            loop {
                let update = tokio::select! {
                    () = shutdown.begun() => return,
                    update = updates.message() => update,
                };
                let Ok(Some(SessionUpdate { update })) = update else { return };
                // An update that this version does not know costs nothing but itself.
                let Some(update) = update else { continue };
                let Some(order) = apply(&core, &billing, update, &orders).await else { continue };
                if orders.send(Ok(SessionOrder { order: Some(order) })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn costs(&self, request: Request<CostsRequest>) -> Result<Response<CostsReply>, Status> {
        costs::of_key(&self.billing, &request.into_inner()).await.map(Response::new)
    }
}

/// Bills records, and acknowledges those that are safe.
async fn billed(core: &Core, billing: &Billing, records: Vec<proto::v1::UsageRecord>) -> Option<Order> {
    let usage = billing.bill(core, records).await;
    (!usage.is_empty()).then_some(Order::Acknowledged(Acknowledged { sessions: Vec::new(), usage }))
}

/// Applies one update. What cannot be understood is logged and skipped: one bad line must not cost the others.
async fn apply(core: &Core, billing: &Billing, update: Update, orders: &Orders) -> Option<Order> {
    match update {
        Update::Renewal(renewal) => {
            renew(core, &renewal, orders).await;
            None
        }
        Update::Opened(opened) => {
            open(core, &opened, orders).await;
            None
        }
        Update::Failed(failed) => {
            let (session, node) = names(&failed.session, &failed.node)?;
            core.leg_failed(&node);
            core.release(Lease::slot(&node, session)).await;
            core.freed();
            let entry = whole(failed.file.as_deref(), session);
            core.ledger().renewed(entry, core.now());
            core.ledger().failed(entry, node, failed.cause);
            None
        }
        Update::Released(released) => {
            let (session, node) = names(&released.session, &released.node)?;
            core.release(Lease::slot(&node, session)).await;
            core.freed();
            None
        }
        Update::Moved(moved) => {
            let (session, node) = names(&moved.session, &moved.node)?;
            core.release(Lease::slot(&node, session)).await;
            core.freed();
            core.ledger().renewed(session, core.now());
            core.ledger().moved(session, node);
            None
        }
        Update::Ended(ended) => end(core, ended).await,
        Update::Usage(usage) => billed(core, billing, usage.records).await,
    }
}

async fn renew(core: &Core, renewal: &Renewal, orders: &Orders) {
    let (mut leases, mut heard, mut live) = (Vec::new(), Vec::new(), Vec::new());
    for held in &renewal.held {
        if let Some((session, node)) = names(&held.session, &held.node) {
            leases.push(Lease::slot(&node, session));
            heard.push(whole(held.file.as_deref(), session));
            live.push((session, node));
        }
    }
    core.live(&live, orders);
    for lease in renewal.counted.iter().filter_map(counted) {
        heard.push(lease.session);
        leases.push(lease);
    }
    core.renew(&leases).await;
    let (mut ledger, now) = (core.ledger(), core.now());
    heard.into_iter().for_each(|session| ledger.renewed(session, now));
}

async fn open(core: &Core, opened: &Opened, orders: &Orders) {
    let Some((session, node)) = names(&opened.session, &opened.node) else { return };
    core.leg_opened(&node);
    core.opened_on(session, &node, orders);
    core.renew(&[Lease::slot(&node, session)]).await;
    let entry = whole(opened.file.as_deref(), session);
    core.ledger().renewed(entry, core.now());
    let left = core.ledger().opened(entry, node.clone(), opened.epoch);
    // Chunks of one file are on many nodes at once, and none of them comes back.
    if entry != session {
        return;
    }
    core.remember(session, &LastLeg { node: node.clone(), epoch: opened.epoch }).await;
    if let Some(left) = left.filter(|left| *left != node) {
        core.release(Lease::slot(&left, session)).await;
    }
}

async fn end(core: &Core, ended: Ended) -> Option<Order> {
    let session: SessionId = ended.session.parse().ok()?;
    let node: Option<NodeId> = ended.node.and_then(|node| node.parse().ok());
    let promised = core.ledger().nodes(session);
    for node in promised.iter().chain(&node) {
        core.release(Lease::slot(node, session)).await;
    }
    if let Some(lease) = ended.counted.as_ref().and_then(counted) {
        core.release(lease).await;
    }
    core.freed();
    core.over(session);
    core.let_go(session).await;
    debug!(%session, reason = ended.reason, "session ended");
    let ending = Ending {
        node,
        reason: ended.reason,
        audio: Duration::from_millis(ended.audio_milliseconds),
        slot: Duration::from_millis(ended.wall_milliseconds),
        bytes_in: ended.bytes_in,
        bytes_out: ended.bytes_out,
        failover: ended.failover,
    };
    core.ledger().ended(session, ending);
    Some(Order::Acknowledged(Acknowledged { sessions: vec![ended.session], usage: Vec::new() }))
}

/// Names the session that the ledger knows: of a chunk, its file's.
fn whole(file: Option<&str>, session: SessionId) -> SessionId {
    file.and_then(|file| file.parse().ok()).unwrap_or(session)
}

fn names(session: &str, node: &str) -> Option<(SessionId, NodeId)> {
    match (session.parse(), node.parse()) {
        (Ok(session), Ok(node)) => Some((session, node)),
        (_, _) => {
            warn!(session, node, "session update names no session or no node, skipped");
            None
        }
    }
}
