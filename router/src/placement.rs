//! The door for proxies: where a session shall be served, and how it went.

use std::sync::Arc;
use std::time::Duration;

use proto::convert::{reply_from_decision, request_from_wire};
use proto::v1::placement_server::Placement;
use proto::v1::session_order::Order;
use proto::v1::session_update::Update;
use proto::v1::{Acknowledged, Ended, PlaceReply, PlaceRequest, SessionOrder, SessionUpdate};
use scheduler::{NodeId, SessionId};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, warn};

use crate::core::{Core, Orders};
use crate::ledger::Ending;
use crate::metrics;

/// Orders that may wait for a proxy.
const ORDERS: usize = 64;

pub(crate) struct PlacementDoor {
    pub(crate) core: Arc<Core>,
    pub(crate) shutdown: process::Shutdown,
}

#[tonic::async_trait]
impl Placement for PlacementDoor {
    type SessionsStream = ReceiverStream<Result<SessionOrder, Status>>;

    async fn place(&self, request: Request<PlaceRequest>) -> Result<Response<PlaceReply>, Status> {
        let wire = request.into_inner();
        let dry_run = wire.dry_run;
        let patience = Duration::from_millis(wire.patience_milliseconds.into());
        let request = request_from_wire(wire)?;
        if dry_run {
            let decision = self.core.consider(&request);
            return Ok(Response::new(reply_from_decision(&decision, "", self.core.retry_after())));
        }
        let decision = self.core.place(&request, patience).await;
        metrics::placed(&decision);
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
        let core = Arc::clone(&self.core);
        let shutdown = self.shutdown.clone();
        self.shutdown.spawn("session updates", async move {
            loop {
                let update = tokio::select! {
                    () = shutdown.begun() => return,
                    update = updates.message() => update,
                };
                let Ok(Some(SessionUpdate { update: Some(update) })) = update else { return };
                let Some(order) = apply(&core, update, &orders).await else { continue };
                if orders.send(Ok(SessionOrder { order: Some(order) })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Applies one update. What cannot be understood is logged and skipped: one bad line must not cost the others.
async fn apply(core: &Core, update: Update, orders: &Orders) -> Option<Order> {
    match update {
        Update::Renewal(renewal) => {
            for held in renewal.held {
                if let Some((session, node)) = names(&held.session, &held.node) {
                    core.renew(&node, session).await;
                    core.ledger().renewed(session, core.now());
                    core.batch().held_by(session, orders);
                    core.fleet_mut().note_alive(&node, core.now());
                }
            }
            None
        }
        Update::Opened(opened) => {
            let (session, node) = names(&opened.session, &opened.node)?;
            core.fleet_mut().note_opened(&node, core.now());
            core.batch().held_by(session, orders);
            core.renew(&node, session).await;
            core.ledger().renewed(session, core.now());
            let left = core.ledger().opened(session, node.clone(), opened.epoch);
            if let Some(left) = left.filter(|left| *left != node) {
                core.release(&left, session).await;
            }
            None
        }
        Update::Failed(failed) => {
            let (session, node) = names(&failed.session, &failed.node)?;
            core.fleet_mut().note_failed(&node, core.now());
            core.release(&node, session).await;
            core.freed();
            core.ledger().renewed(session, core.now());
            core.ledger().failed(session, node, failed.cause);
            None
        }
        Update::Ended(ended) => end(core, ended).await,
    }
}

async fn end(core: &Core, ended: Ended) -> Option<Order> {
    let session: SessionId = ended.session.parse().ok()?;
    let node: Option<NodeId> = ended.node.and_then(|node| node.parse().ok());
    let promised = core.ledger().nodes(session);
    for node in promised.iter().chain(&node) {
        core.release(node, session).await;
    }
    core.freed();
    debug!(%session, reason = ended.reason, "session ended");
    let ending = Ending {
        node,
        reason: ended.reason,
        audio: Duration::from_millis(ended.audio_milliseconds),
        slot: Duration::from_millis(ended.wall_milliseconds),
        bytes_in: ended.bytes_in,
        bytes_out: ended.bytes_out,
    };
    let view = core.view();
    core.ledger().ended(session, ending, |pool| view.pool(pool).map(|pool| pool.price));
    Some(Order::Acknowledged(Acknowledged { sessions: vec![ended.session] }))
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
