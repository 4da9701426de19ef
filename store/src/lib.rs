//! The memory: what must outlive a process or be shared between processes, behind small traits.
//!
//! * [`Leases`]: slots promised to sessions until a time.
//! * [`Reports`]: what nodes said last, for routers that did not hear it themselves.
//! * [`KeyIndex`]: what is known of each key. [`Keyring`]: who a caller is, by that index and from memory.
//! * [`Embedded`]: all of them in this process's memory, for one router and one proxy in one process.
//! * [`Ledger`]: what sessions used and what it cost, by day, key, pool and model.
//! * [`Journal`]: records that are on disk before anybody is told that they are safe.
//! * [`Redis`]: what several routers and proxies share. [`StoreConfig`] says which it is.
//!
//! Leases and reports are hints: their owner writes them again within seconds, so the store may lose them. Nothing here is
//! asked per audio chunk.

mod config;
mod embedded;
mod journal;
mod keyring;
mod keys;
mod leases;
mod redis;
mod reports;
mod usage;
mod wall;

pub use config::{BadRedisUrl, RedisUrl, StoreConfig};
pub use embedded::{Embedded, Page};
pub use journal::{Damage, Journal, JournalError, Kept, RecordNumber, Replay};
pub use keyring::{KEY_REFRESH, Keyring};
pub use keys::{
    BadDigest, BadEnvironment, Caller, Digest, Edition, End, Environment, Grants, KEY_BATCH, KeyError, KeyIndex,
    KeyOrder, KeyRecord, Limits, Scope, Secret, Standing, is_lent, key_id,
};
pub use leases::{Claim, LEASE_LIFE, Leases};
pub use redis::Redis;
pub use reports::{Aged, Changes, Cursor, REPORT_BATCH, REPORT_LIFE, Reports, Rest};
pub use usage::{Amounts, BadDay, CHARGE_BATCH, Charge, DAYS_KEPT, Day, Ledger, Period, Total};
pub use wall::UnixTime;

/// Says that the store could not answer; the caller goes on with what it knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store is away: {0}")]
pub struct StoreAway(pub String);
