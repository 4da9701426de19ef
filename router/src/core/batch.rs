//! Batch chunks that this router placed: where they run, and whom to tell when one must yield its slot.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::v1::session_order::Order;
use proto::v1::{Revoke, SessionOrder};
use scheduler::{BatchLease, Decision, NodeId, Request, Seat, SessionId, Timestamp, to_revoke};
use tokio::sync::mpsc;
use tonic::Status;
use tracing::debug;

use super::Core;
use crate::metrics;

/// Orders on their way to one proxy.
pub(crate) type Orders = mpsc::Sender<Result<SessionOrder, Status>>;

/// Chunks that are known at most; beyond it a chunk is placed all the same, and never revoked.
const MOST: usize = 100_000;

/// Batch chunks, by session.
#[derive(Debug, Default)]
pub(crate) struct BatchChunks(Mutex<BTreeMap<SessionId, Chunk>>);

#[derive(Debug)]
struct Chunk {
    lease: BatchLease,
    /// Its proxy, once it has spoken of the chunk.
    orders: Option<Orders>,
}

type Chunks = BTreeMap<SessionId, Chunk>;

impl BatchChunks {
    fn chunks(&self) -> MutexGuard<'_, Chunks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a chunk that was placed; returns how many its node has.
    pub(super) fn placed(&self, request: &Request, node: &NodeId, now: Timestamp) -> u32 {
        let mut chunks = self.chunks();
        if chunks.len() < MOST {
            let (session, tenant) = (request.session, request.tenant.clone());
            let lease = BatchLease { session, tenant, node: node.clone(), since: now };
            chunks.insert(session, Chunk { lease, orders: None });
        }
        on(&chunks, node)
    }

    /// Forgets a chunk that left its node; returns how many the node has left, or nothing when it was no chunk.
    pub(super) fn left(&self, session: SessionId) -> Option<u32> {
        let mut chunks = self.chunks();
        let chunk = chunks.remove(&session)?;
        Some(on(&chunks, &chunk.lease.node))
    }

    /// Notes which proxy holds a session, if it is a chunk.
    pub(crate) fn held_by(&self, session: SessionId, orders: &Orders) {
        if let Some(chunk) = self.chunks().get_mut(&session) {
            chunk.orders = Some(orders.clone());
        }
    }

    /// Tells the proxies of so many chunks on `node` to stop them.
    pub(super) fn revoke(&self, node: &NodeId, slots: u32) {
        let chunks = self.chunks();
        for session in to_revoke(chunks.values().map(|chunk| &chunk.lease), node, slots) {
            let revoke = Revoke { session: session.to_string(), node: node.to_string() };
            let order = SessionOrder { order: Some(Order::Revoke(revoke)) };
            let told = chunks[&session].orders.as_ref().is_some_and(|orders| orders.try_send(Ok(order)).is_ok());
            if told {
                metrics::revoked();
            }
            debug!(%session, %node, told, "batch chunk must yield its slot");
        }
    }
}

impl Core {
    /// Stops a chunk where a stream wants its slot. Where there is no slot above the soft ones, the chunk's lease is in the way
    /// until it has stopped: who waits, or comes again, finds the slot free.
    pub(super) fn make_way(&self, decision: &Decision) {
        if let (Some(Seat::Yielded), Some(first)) = (decision.seat, decision.placements.first()) {
            self.batch.revoke(&first.node, 1);
        }
    }
}

fn on(chunks: &Chunks, node: &NodeId) -> u32 {
    u32::try_from(chunks.values().filter(|chunk| chunk.lease.node == *node).count()).unwrap_or(u32::MAX)
}
