//! The router as a proxy sees it: it is asked where to go, and told how it went.

mod chunks;
mod counting;
mod moves;
mod placer;
mod reporter;

pub(crate) use chunks::{ChunkId, Hold};
pub(crate) use counting::Counting;
pub(crate) use moves::{MoveOrder, MoveOrders};
pub(crate) use placer::{CostsError, Placer, RouterAddressError};
pub(crate) use reporter::{Reporter, report};
