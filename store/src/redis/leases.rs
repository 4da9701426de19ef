//! Leases in Redis: one sorted set per resource, `crosspoint:{node}:leases`, `crosspoint:{key:id}:sessions` or
//! `crosspoint:{routers}:present`, and one script for everything.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::future::join_all;
use redis::{Script, ScriptInvocation};
use scheduler::{SessionId, Timestamp};

use super::{Redis, milliseconds};
use crate::StoreAway;
use crate::leases::{Claim, LEASE_LIFE, Lease, Leases, Resource};

/// Leases that one script renews: more would keep claims waiting for longer than a millisecond or two.
const RENEWALS: usize = 500;

#[derive(Debug)]
pub(super) struct Scripts {
    leases: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self { leases: Script::new(include_str!("leases.lua")) }
    }

    fn invoke(&self, resource: &Resource, verb: &str, limit: u32, sessions: &[SessionId]) -> ScriptInvocation<'_> {
        let mut script = self.leases.key(match resource {
            Resource::Slots(node) => format!("crosspoint:{{{node}}}:leases"),
            Resource::Sessions(key) => format!("crosspoint:{{key:{key}}}:sessions"),
            Resource::Routers => "crosspoint:{routers}:present".to_owned(),
        });
        script.arg(verb).arg(milliseconds(LEASE_LIFE)).arg(limit);
        for session in sessions {
            script.arg(session.to_string());
        }
        script
    }
}

/// The time is Redis' own, so that all routers share it.
#[async_trait]
impl Leases for Redis {
    async fn claim(&self, lease: &Lease, limit: u32, _now: Timestamp) -> Result<Claim, StoreAway> {
        let claimed: u32 = self.run(&self.leases.invoke(&lease.resource, "claim", limit, &[lease.session])).await?;
        match claimed {
            0 => Ok(Claim::Full),
            1 => Ok(Claim::Held),
            _ => Ok(Claim::Kept),
        }
    }

    /// One script per resource, all of them on their way before the first answer.
    async fn renew(&self, leases: &[Lease], _now: Timestamp) -> Result<(), StoreAway> {
        let mut held: BTreeMap<&Resource, Vec<SessionId>> = BTreeMap::new();
        for lease in leases {
            held.entry(&lease.resource).or_default().push(lease.session);
        }
        let mut scripts = Vec::with_capacity(held.len());
        for (resource, sessions) in &held {
            scripts.extend(sessions.chunks(RENEWALS).map(|part| self.leases.invoke(resource, "renew", 0, part)));
        }
        join_all(scripts.iter().map(|script| self.run::<()>(script))).await.into_iter().collect()
    }

    async fn release(&self, lease: &Lease) -> Result<bool, StoreAway> {
        self.run(&self.leases.invoke(&lease.resource, "release", 0, &[lease.session])).await
    }

    async fn count(&self, resource: &Resource, _now: Timestamp) -> Result<u32, StoreAway> {
        self.run(&self.leases.invoke(resource, "count", 0, &[])).await
    }
}
