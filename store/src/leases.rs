//! Leases: a slot on a node, promised to a session until a time. Renewed every 5 s, gone 15 s after the last renewal.

use std::time::Duration;

use async_trait::async_trait;
use scheduler::{NodeId, SessionId, Timestamp};

use crate::StoreAway;

/// How long a lease lives after it was claimed or renewed.
pub const LEASE_LIFE: Duration = Duration::from_secs(15);

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The session holds a slot.
    Held,
    /// The node has no slot left.
    Full,
}

/// Slots promised to sessions.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Claims a slot, or renews the one that the session already holds there. Atomic: expire, count, add, or full.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn claim(&self, node: &NodeId, session: SessionId, slots: u32, now: Timestamp) -> Result<Claim, StoreAway>;

    /// Renews a lease, writing it again if the store lost it.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn renew(&self, node: &NodeId, session: SessionId, now: Timestamp) -> Result<(), StoreAway>;

    /// Gives a slot back; giving back what is not held does nothing.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn release(&self, node: &NodeId, session: SessionId) -> Result<(), StoreAway>;

    /// Counts the live leases on a node.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn count(&self, node: &NodeId, now: Timestamp) -> Result<u32, StoreAway>;
}
