//! The memory: what must outlive a process or be shared between processes, behind small traits.
//!
//! * [`Leases`]: slots promised to sessions until a time.
//! * [`Reports`]: what nodes said last, for routers that did not hear it themselves.
//! * [`Keys`]: who a caller is.
//! * [`Lock`]: work that one process at a time does for all, and what it last published.
//! * [`Embedded`]: all of them in this process's memory, for one router and one proxy in one process.
//! * [`Redis`]: leases, reports and locks that several routers share. [`StoreConfig`] says which it is.
//!
//! Leases and reports are hints: their owner writes them again within seconds, so the store may lose them. Nothing here is
//! asked per audio chunk.

mod config;
mod embedded;
mod keys;
mod leases;
mod lock;
mod redis;
mod reports;

pub use config::{BadRedisUrl, RedisUrl, StoreConfig};
pub use embedded::Embedded;
pub use keys::{Caller, KeyError, Keys, Limits, Secret};
pub use leases::{Claim, LEASE_LIFE, Leases};
pub use lock::{LOCK_LIFE, Lock, PUBLISHED_LIFE, PUBLISHED_LONGEST, Publication, Published, Task, Token, Turn};
pub use redis::Redis;
pub use reports::{Aged, Changes, Cursor, REPORT_BATCH, REPORT_LIFE, Reports, Rest};

/// Says that the store could not answer; the caller goes on with what it knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store is away: {0}")]
pub struct StoreAway(pub String);
