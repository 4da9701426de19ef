//! Leases: one of a limited number, promised to a session until a time. Renewed every 5 s, gone 15 s after the last renewal.

use std::time::Duration;

use async_trait::async_trait;
use scheduler::{KeyId, NodeId, SessionId, Timestamp};

use crate::StoreAway;

/// How long a lease lives after it was claimed or renewed.
pub const LEASE_LIFE: Duration = Duration::from_secs(15);

/// What leases are claimed on: there are only so many of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// The slots of a node.
    Slots(NodeId),
    /// The sessions that a key may have at one time; the chunks of a file count as one, under the file's session.
    Sessions(KeyId),
    /// Being a router: there may be any number of them, and each wants to know how many there are.
    Routers,
}

/// One of a resource, promised to a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lease {
    /// What it is claimed on.
    pub resource: Resource,
    /// Whose it is.
    pub session: SessionId,
}

impl Lease {
    /// Names a session's slot on a node.
    #[must_use]
    pub fn slot(node: &NodeId, session: SessionId) -> Self {
        Self { resource: Resource::Slots(node.clone()), session }
    }

    /// Names a session's share of what its key may have at one time.
    #[must_use]
    pub fn concurrency(key: &KeyId, session: SessionId) -> Self {
        Self { resource: Resource::Sessions(key.clone()), session }
    }

    /// Names a router, by a number of its own.
    #[must_use]
    pub fn router(number: SessionId) -> Self {
        Self { resource: Resource::Routers, session: number }
    }
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The session holds a lease that it did not hold before.
    Held,
    /// The session held one already, and it was renewed.
    Kept,
    /// There is none left.
    Full,
}

/// What is promised to sessions.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Claims a lease where fewer than `limit` are held, or renews the one that the session holds already. Atomic: expire,
    /// count, add, or full.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn claim(&self, lease: &Lease, limit: u32, now: Timestamp) -> Result<Claim, StoreAway>;

    /// Renews leases in one trip, writing again those that the store lost, whatever the limit.
    ///
    /// # Errors
    /// Fails when the store is away; some may have been renewed then.
    async fn renew(&self, leases: &[Lease], now: Timestamp) -> Result<(), StoreAway>;

    /// Gives a lease back, and returns whether it was held; giving back what is not held does nothing.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn release(&self, lease: &Lease) -> Result<bool, StoreAway>;

    /// Counts the live leases on a resource.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn count(&self, resource: &Resource, now: Timestamp) -> Result<u32, StoreAway>;
}
