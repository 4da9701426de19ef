//! The memory: what must outlive a process or be shared between processes, behind small traits.
//!
//! * [`Leases`]: nodes' slots and keys' sessions, promised until a time.
//! * [`Quotas`]: what keys have used of their limits; [`Tallies`] keeps them in memory, where the store is away too.
//! * [`Reports`]: what nodes said last, for routers that did not hear it themselves.
//! * [`Affinity`]: which node a session was on last. [`Verdicts`]: how legs to nodes went, for the other routers.
//! * [`Drains`]: which nodes operators closed to new sessions.
//! * [`KeyIndex`]: what is known of each key. [`Keyring`]: who a caller is, by that index and from memory.
//! * [`Lock`]: work that one process at a time does for all, and what it last published.
//! * [`Embedded`]: all of them in this process's memory, for one router and one proxy in one process.
//! * [`Ledger`]: what sessions used and what it cost, by day, key, pool and model.
//! * [`Journal`]: records that are on disk before anybody is told that they are safe.
//! * [`Redis`]: what several routers and proxies share. [`StoreConfig`] says which it is.
//!
//! Leases, quotas and reports are hints: their owner writes them again within seconds, so the store may lose them. Nothing here is
//! asked per audio chunk.

mod affinity;
mod config;
mod drains;
mod embedded;
mod gcra;
mod journal;
mod keyring;
mod keys;
mod leases;
mod lock;
mod quotas;
mod redis;
mod reports;
mod servers;
mod tallies;
mod usage;
mod verdicts;
mod wall;

pub use affinity::{AFFINITY_LIFE, Affinity, LONGEST_SESSION, LastLeg};
pub use config::StoreConfig;
pub use drains::{DRAIN_LIFE, DRAINS, DrainOrder, DrainOrders, Drains, Wanted, merge_drains};
pub use embedded::{Embedded, Page};
pub use journal::{Damage, Journal, JournalError, Kept, RecordNumber, Replay};
pub use keyring::{KEY_REFRESH, Keyring};
pub use keys::{
    BadDigest, BadEnvironment, Caller, Digest, Edition, End, Environment, Grants, KEY_BATCH, KeyError, KeyIndex,
    KeyOrder, KeyRecord, Limits, Scope, Secret, Standing, is_lent, key_id,
};
pub use leases::{Claim, LEASE_LIFE, Lease, Leases, Resource};
pub use lock::{LOCK_LIFE, Lock, PUBLISHED_LIFE, PUBLISHED_LONGEST, Publication, Published, Task, Token, Turn};
pub use quotas::{Admission, Admitting, Allowance, Exceeded, Quotas, Used};
pub use redis::{BadRedis, Redis};
pub use reports::{Aged, Changes, Cursor, REPORT_BATCH, REPORT_LIFE, Reports, Rest};
pub use servers::{BadRedisUrl, BadServers, Password, RedisServers, RedisUrl, Sentinel, Topology};
pub use tallies::Tallies;
pub use usage::{Amounts, BadDay, CHARGE_BATCH, Charge, DAYS_KEPT, Day, Ledger, Period, Total};
pub use verdicts::{Place, Teller, VERDICT_LIFE, VERDICTS, Verdict, Verdicts};
pub use wall::UnixTime;

/// Says that the store could not answer; the caller goes on with what it knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store is away: {0}")]
pub struct StoreAway(pub String);
