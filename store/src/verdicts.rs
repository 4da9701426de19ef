//! Verdicts: how legs to nodes went lately, as the routers heard it, so that what one learned all avoid.

use std::time::Duration;

use async_trait::async_trait;
use scheduler::{NodeId, Timestamp};

use crate::StoreAway;

/// How long a verdict is news.
pub const VERDICT_LIFE: Duration = Duration::from_secs(30);
/// Verdicts that are kept and read at most; the oldest go first.
pub const VERDICTS: usize = 1_000;

/// How legs to one node went, at one router, since it spoke of that node last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The node.
    pub node: NodeId,
    /// Legs that opened.
    pub opened: u32,
    /// Legs that did not, or were lost.
    pub failed: u32,
}

/// Who tells: a number of one router's own, drawn when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Teller(pub u64);

/// How far a reader of verdicts has come. It starts at the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(pub(crate) String);

/// How nodes did.
#[async_trait]
pub trait Verdicts: Send + Sync {
    /// Tells the others.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn tell(&self, teller: Teller, verdicts: &[Verdict], now: Timestamp) -> Result<(), StoreAway>;

    /// Returns what others than `listener` have told since `place`, no older than [`VERDICT_LIFE`], and where to go on.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn told_since(
        &self,
        place: &Place,
        listener: Teller,
        now: Timestamp,
    ) -> Result<(Vec<Verdict>, Place), StoreAway>;
}
