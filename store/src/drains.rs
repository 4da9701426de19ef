//! Drains: which nodes operators have closed to new sessions, so that every router knows, also one that starts later.
//!
//! An order is a hint: every router keeps all of them and gives the store again what it has lost. Of two for one node the one
//! with the higher number counts, so they may be merged in any order and as often as one likes.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use scheduler::{NodeId, Timestamp};

use crate::StoreAway;

/// How long the store keeps orders after it last heard of one.
pub const DRAIN_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// Nodes that orders are kept for at most; orders for more are not taken.
pub const DRAINS: usize = 10_000;

/// What an operator wants of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It takes no new sessions.
    Drained,
    /// It serves again.
    Serving,
}

/// An operator's last word on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainOrder {
    /// Milliseconds since 1970 when it was given, or one more than the order before it.
    pub number: u64,
    /// What is wanted.
    pub wanted: Wanted,
}

/// The last word on every node that there was one on.
pub type DrainOrders = BTreeMap<NodeId, DrainOrder>;

/// What operators said of nodes.
#[async_trait]
pub trait Drains: Send + Sync {
    /// Gives orders, where no later ones are known, and returns all that are known then.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn exchange(&self, orders: &DrainOrders, now: Timestamp) -> Result<DrainOrders, StoreAway>;
}

/// Takes later orders into `known`.
pub fn merge_drains(known: &mut DrainOrders, orders: &DrainOrders) {
    for (node, order) in orders {
        let full = known.len() >= DRAINS;
        match known.get_mut(node) {
            Some(older) if older.number < order.number => *older = *order,
            None if !full => {
                known.insert(node.clone(), *order);
            }
            Some(_) | None => {}
        }
    }
}
