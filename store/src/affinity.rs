//! Affinity: which node a session was on last, so that it finds back there, by whichever router.

use std::time::Duration;

use async_trait::async_trait;
use scheduler::{NodeId, SessionId, Timestamp};

use crate::StoreAway;

/// How long a session's node is remembered after its end.
pub const AFFINITY_LIFE: Duration = Duration::from_secs(30);
/// How long it is remembered after a leg opened whose end is never told.
pub const LONGEST_SESSION: Duration = Duration::from_secs(24 * 3600);

/// A session's last leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastLeg {
    /// The node.
    pub node: NodeId,
    /// The leg's number.
    pub epoch: u32,
}

/// Which nodes sessions were on last. A hint: without it a session is placed as a new one is.
#[async_trait]
pub trait Affinity: Send + Sync {
    /// Remembers a leg that opened.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn remember(&self, session: SessionId, leg: &LastLeg, now: Timestamp) -> Result<(), StoreAway>;

    /// Remembers an ended session for [`AFFINITY_LIFE`] more.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn let_go(&self, session: SessionId, now: Timestamp) -> Result<(), StoreAway>;

    /// Finds a session's last leg.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn last_leg(&self, session: SessionId, now: Timestamp) -> Result<Option<LastLeg>, StoreAway>;
}
