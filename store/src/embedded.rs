//! The embedded backend: leases, reports, locks and the dev key in this process's memory.

mod lock;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use scheduler::{KeyId, NodeId, Report, SessionId, TenantId, Timestamp};
use sha2::{Digest, Sha256};

use crate::StoreAway;
use crate::keys::{Caller, KeyError, Keys, Secret};
use crate::leases::{Claim, LEASE_LIFE, Leases};
use crate::reports::{Aged, Changes, Cursor, REPORT_BATCH, REPORT_LIFE, Reports, Rest};

type Held = HashMap<SessionId, Timestamp>;

/// Everything in memory, for one process.
#[derive(Debug)]
pub struct Embedded {
    dev_key: Option<DevKey>,
    leases: Mutex<HashMap<NodeId, Held>>,
    reports: Mutex<Written>,
    locks: Mutex<lock::Holdings>,
}

/// Each node's last report, in the order they were written.
#[derive(Debug, Default)]
struct Written {
    last: u64,
    reports: BTreeMap<u64, (Report, Timestamp)>,
}

#[derive(Debug)]
struct DevKey {
    digest: [u8; 32],
    tenant: TenantId,
    key: KeyId,
}

impl Embedded {
    /// Starts empty: no leases, and no key opens anything.
    #[must_use]
    pub fn new() -> Self {
        Self { dev_key: None, leases: Mutex::default(), reports: Mutex::default(), locks: Mutex::default() }
    }

    /// Accepts `key` for `tenant`, from this machine only.
    #[must_use]
    pub fn with_dev_key(mut self, key: &Secret, tenant: TenantId) -> Self {
        self.dev_key = Some(DevKey { digest: digest(key), tenant, key: KeyId::dev() });
        self
    }

    fn leases(&self) -> MutexGuard<'_, HashMap<NodeId, Held>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Embedded {
    fn default() -> Self {
        Self::new()
    }
}

fn digest(key: &Secret) -> [u8; 32] {
    Sha256::digest(key.expose()).into()
}

fn alive(expiry: Timestamp, now: Timestamp) -> bool {
    expiry > now
}

#[async_trait]
impl Leases for Embedded {
    async fn claim(&self, node: &NodeId, session: SessionId, slots: u32, now: Timestamp) -> Result<Claim, StoreAway> {
        let mut leases = self.leases();
        let held = leases.entry(node.clone()).or_default();
        held.retain(|_, expiry| alive(*expiry, now));
        if !held.contains_key(&session) && held.len() >= slots as usize {
            return Ok(Claim::Full);
        }
        held.insert(session, now + LEASE_LIFE);
        Ok(Claim::Held)
    }

    async fn renew(&self, node: &NodeId, session: SessionId, now: Timestamp) -> Result<(), StoreAway> {
        self.leases().entry(node.clone()).or_default().insert(session, now + LEASE_LIFE);
        Ok(())
    }

    async fn release(&self, node: &NodeId, session: SessionId) -> Result<(), StoreAway> {
        let mut leases = self.leases();
        if let Some(held) = leases.get_mut(node) {
            held.remove(&session);
            if held.is_empty() {
                leases.remove(node);
            }
        }
        Ok(())
    }

    async fn count(&self, node: &NodeId, now: Timestamp) -> Result<u32, StoreAway> {
        let leases = self.leases();
        let live = leases.get(node).map_or(0, |held| held.values().filter(|expiry| alive(**expiry, now)).count());
        Ok(u32::try_from(live).unwrap_or(u32::MAX))
    }
}

impl Embedded {
    fn written(&self) -> MutexGuard<'_, Written> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Reports for Embedded {
    async fn put(&self, reports: &[Aged], now: Timestamp) -> Result<(), StoreAway> {
        let mut written = self.written();
        let renewed: HashSet<&NodeId> = reports.iter().map(|aged| &aged.report.node).collect();
        written.reports.retain(|_, (report, at)| now.since(*at) < REPORT_LIFE && !renewed.contains(&report.node));
        for Aged { report, age } in reports {
            written.last += 1;
            let number = written.last;
            written.reports.insert(number, (report.clone(), now - *age));
        }
        Ok(())
    }

    async fn changed_since(&self, cursor: Cursor, now: Timestamp) -> Result<Changes, StoreAway> {
        let written = self.written();
        let found: Vec<_> = written.reports.range(cursor.0 + 1..).take(REPORT_BATCH).collect();
        let next = Cursor(found.last().map_or(cursor.0, |(number, _)| **number));
        let rest = if found.len() < REPORT_BATCH { Rest::Nothing } else { Rest::More };
        let aged = found.into_iter().map(|(_, (report, at))| Aged { report: report.clone(), age: now.since(*at) });
        let reports = aged.filter(|aged| aged.age < REPORT_LIFE).collect();
        Ok(Changes { reports, ignored: 0, next, rest })
    }
}

#[async_trait]
impl Keys for Embedded {
    async fn check(&self, key: &Secret, peer: IpAddr) -> Result<Caller, KeyError> {
        // A socket for both families shows loopback of the old one in the clothes of the new.
        let here = peer.to_canonical().is_loopback();
        // Digests are compared, so the time taken says nothing about the key.
        match &self.dev_key {
            Some(dev) if dev.digest == digest(key) && here => {
                Ok(Caller::unlimited(dev.tenant.clone(), dev.key.clone()))
            }
            Some(dev) if dev.digest == digest(key) => Err(KeyError::NotLoopback(peer)),
            Some(_) | None => Err(KeyError::Unknown),
        }
    }
}
