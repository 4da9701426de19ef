//! Leases in Redis: one sorted set per node, `crosspoint:{node}:leases`, and one script for everything.

use async_trait::async_trait;
use deadpool_redis::redis::{FromRedisValue, Script};
use scheduler::{NodeId, SessionId, Timestamp};

use super::{Redis, milliseconds};
use crate::StoreAway;
use crate::leases::{Claim, LEASE_LIFE, Leases};

#[derive(Debug)]
pub(super) struct Scripts {
    leases: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self { leases: Script::new(include_str!("leases.lua")) }
    }
}

/// What the script shall do.
enum Verb {
    Claim { session: SessionId, slots: u32 },
    Renew(SessionId),
    Release(SessionId),
    Count,
}

impl Redis {
    async fn lease<T: FromRedisValue>(&self, node: &NodeId, verb: Verb) -> Result<T, StoreAway> {
        let (word, session, slots) = match verb {
            Verb::Claim { session, slots } => ("claim", session.to_string(), slots),
            Verb::Renew(session) => ("renew", session.to_string(), 0),
            Verb::Release(session) => ("release", session.to_string(), 0),
            Verb::Count => ("count", String::new(), 0),
        };
        let mut script = self.leases.leases.key(format!("crosspoint:{{{node}}}:leases"));
        self.run(script.arg(word).arg(session).arg(milliseconds(LEASE_LIFE)).arg(slots)).await
    }
}

/// The time is Redis' own, so that all routers share it.
#[async_trait]
impl Leases for Redis {
    async fn claim(&self, node: &NodeId, session: SessionId, slots: u32, _now: Timestamp) -> Result<Claim, StoreAway> {
        let held: bool = self.lease(node, Verb::Claim { session, slots }).await?;
        Ok(if held { Claim::Held } else { Claim::Full })
    }

    async fn renew(&self, node: &NodeId, session: SessionId, _now: Timestamp) -> Result<(), StoreAway> {
        self.lease(node, Verb::Renew(session)).await
    }

    async fn release(&self, node: &NodeId, session: SessionId) -> Result<(), StoreAway> {
        self.lease(node, Verb::Release(session)).await
    }

    async fn count(&self, node: &NodeId, _now: Timestamp) -> Result<u32, StoreAway> {
        self.lease(node, Verb::Count).await
    }
}
