//! The memory: what must outlive a process or be shared between processes, behind small traits.
//!
//! * [`Leases`]: nodes' slots and keys' sessions, promised until a time.
//! * [`Quotas`]: what keys have used of their limits; [`Tallies`] keeps them in memory, where the store is away too.
//! * [`Reports`]: what nodes said last, for routers that did not hear it themselves.
//! * [`Affinity`]: which node a session was on last. [`Verdicts`]: how legs to nodes went, for the other routers.
//! * [`Keys`]: who a caller is.
//! * [`Embedded`]: all of them in this process's memory, for one router and one proxy in one process.
//! * [`Redis`]: the same for several routers and proxies. [`StoreConfig`] says which it is.
//!
//! Leases, quotas and reports are hints: their owner writes them again within seconds, so the store may lose them. Nothing here is
//! asked per audio chunk.

mod affinity;
mod config;
mod embedded;
mod gcra;
mod keys;
mod leases;
mod quotas;
mod redis;
mod reports;
mod servers;
mod tallies;
mod verdicts;

pub use affinity::{AFFINITY_LIFE, Affinity, LONGEST_SESSION, LastLeg};
pub use config::StoreConfig;
pub use embedded::Embedded;
pub use keys::{Caller, KeyError, Keys, Limits, Secret};
pub use leases::{Claim, LEASE_LIFE, Lease, Leases, Resource};
pub use quotas::{Admission, Admitting, Exceeded, Quotas, Standing, Used};
pub use redis::{BadRedis, Redis};
pub use reports::{Aged, Changes, Cursor, REPORT_BATCH, REPORT_LIFE, Reports, Rest};
pub use servers::{BadRedisUrl, BadServers, Password, RedisServers, RedisUrl, Sentinel, Topology};
pub use tallies::Tallies;
pub use verdicts::{Place, Teller, VERDICT_LIFE, VERDICTS, Verdict, Verdicts};

/// Says that the store could not answer; the caller goes on with what it knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store is away: {0}")]
pub struct StoreAway(pub String);
