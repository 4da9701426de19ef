//! The memory: what must outlive a process or be shared between processes, behind small traits.
//!
//! * [`Leases`]: slots promised to sessions until a time.
//! * [`Keys`]: who a caller is.
//! * [`Embedded`]: both, in this process's memory, for one router and one proxy in one process.
//!
//! Leases are hints: their owner renews them within seconds, so the store may lose them. Nothing here is asked per audio chunk.

mod embedded;
mod keys;
mod leases;

pub use embedded::Embedded;
pub use keys::{Caller, KeyError, Keys, Secret};
pub use leases::{Claim, LEASE_LIFE, Leases};

/// Says that the store could not answer; the caller goes on with what it knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store is away: {0}")]
pub struct StoreAway(pub String);
