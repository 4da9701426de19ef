//! The embedded backend: leases, quotas, reports, locks and the index of keys in this process's memory, and the ledger beside them.

mod hints;
mod ledger;
mod lock;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use scheduler::{KeyId, NodeId, Report, SessionId, Timestamp};
use tokio::time::Instant;

use crate::journal::{Journal, Kept};
use crate::keys::{Digest, Edition, KeyIndex, KeyRecord};
use crate::leases::{Claim, LEASE_LIFE, Lease, Leases, Resource};
use crate::quotas::{Admitting, Quotas, Used};
use crate::reports::{Aged, Changes, Cursor, REPORT_BATCH, REPORT_LIFE, Reports, Rest};
use crate::tallies::Tallies;
use crate::{Limits, StoreAway};

pub use ledger::Page;

type Held = HashMap<SessionId, Timestamp>;

/// Everything in memory, for one process.
#[derive(Debug)]
pub struct Embedded {
    keys: Mutex<Keys>,
    leases: Mutex<HashMap<Resource, Held>>,
    reports: Mutex<Written>,
    quotas: Tallies,
    hints: hints::Hints,
    books: ledger::Shared,
    locks: Mutex<lock::Holdings>,
}

/// Each node's last report, in the order they were written.
#[derive(Debug, Default)]
struct Written {
    last: u64,
    reports: BTreeMap<u64, (Report, Timestamp)>,
}

/// Every key, and how often they changed.
#[derive(Debug, Default)]
struct Keys {
    changed: u64,
    records: HashMap<KeyId, KeyRecord>,
    lent: HashMap<Digest, (KeyId, Instant)>,
}

/// Tokens that may be lent at one time.
const TOKENS: usize = 10_000;

impl Embedded {
    /// Starts empty: no leases, and no key opens anything.
    #[must_use]
    pub fn new() -> Self {
        Self {
            keys: Mutex::default(),
            leases: Mutex::default(),
            reports: Mutex::default(),
            locks: Mutex::default(),
            quotas: Tallies::default(),
            hints: hints::Hints::default(),
            books: ledger::Books::open(Journal::in_memory(), Vec::new()).into(),
        }
    }

    /// Goes on with the ledger that a journal holds, and writes it there.
    #[must_use]
    pub fn with_ledger(mut self, journal: Journal<Page>, pages: Vec<Kept<Page>>) -> Self {
        self.books = ledger::Books::open(journal, pages).into();
        self
    }

    fn leases(&self) -> MutexGuard<'_, HashMap<Resource, Held>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Embedded {
    fn default() -> Self {
        Self::new()
    }
}

fn alive(expiry: Timestamp, now: Timestamp) -> bool {
    expiry > now
}

#[async_trait]
impl Leases for Embedded {
    async fn claim(&self, lease: &Lease, limit: u32, now: Timestamp) -> Result<Claim, StoreAway> {
        let mut leases = self.leases();
        let held = leases.entry(lease.resource.clone()).or_default();
        held.retain(|_, expiry| alive(*expiry, now));
        if !held.contains_key(&lease.session) && held.len() >= limit as usize {
            return Ok(Claim::Full);
        }
        Ok(held.insert(lease.session, now + LEASE_LIFE).map_or(Claim::Held, |_| Claim::Kept))
    }

    async fn renew(&self, leases: &[Lease], now: Timestamp) -> Result<(), StoreAway> {
        let mut known = self.leases();
        for lease in leases {
            known.entry(lease.resource.clone()).or_default().insert(lease.session, now + LEASE_LIFE);
        }
        Ok(())
    }

    async fn release(&self, lease: &Lease) -> Result<bool, StoreAway> {
        let mut leases = self.leases();
        let Some(held) = leases.get_mut(&lease.resource) else { return Ok(false) };
        let was_held = held.remove(&lease.session).is_some();
        if held.is_empty() {
            leases.remove(&lease.resource);
        }
        Ok(was_held)
    }

    async fn count(&self, resource: &Resource, now: Timestamp) -> Result<u32, StoreAway> {
        let leases = self.leases();
        let live = leases.get(resource).map_or(0, |held| held.values().filter(|expiry| alive(**expiry, now)).count());
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

impl Keys {
    /// The memory of a process is lost only with the process.
    fn edition(&self) -> Edition {
        Edition { begun: 1, changed: self.changed }
    }
}

impl Embedded {
    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Quotas for Embedded {
    async fn admit(
        &self,
        key: &KeyId,
        limits: &Limits,
        upload_bytes: u64,
        now: Timestamp,
    ) -> Result<Admitting, StoreAway> {
        Ok(self.quotas.admit(key, limits, upload_bytes, now))
    }

    async fn charge(&self, key: &KeyId, limits: &Limits, used: Used, now: Timestamp) -> Result<(), StoreAway> {
        self.quotas.charge(key, limits, used, now);
        Ok(())
    }
}

#[async_trait]
impl KeyIndex for Embedded {
    async fn edition(&self) -> Result<Option<Edition>, StoreAway> {
        Ok(Some(self.keys().edition()))
    }

    async fn find(&self, ids: &[KeyId]) -> Result<Vec<KeyRecord>, StoreAway> {
        let keys = self.keys();
        Ok(ids.iter().filter_map(|id| keys.records.get(id).cloned()).collect())
    }

    async fn all(&self) -> Result<Vec<KeyRecord>, StoreAway> {
        Ok(self.keys().records.values().cloned().collect())
    }

    async fn write(&self, records: &[KeyRecord]) -> Result<Edition, StoreAway> {
        let mut keys = self.keys();
        for record in records {
            let kept = keys.records.entry(record.id.clone()).or_insert_with(|| record.clone());
            kept.merge(record);
        }
        keys.changed += 1;
        Ok(keys.edition())
    }

    async fn lend(&self, token: &Digest, key: &KeyId, life: Duration) -> Result<(), StoreAway> {
        let (mut keys, now) = (self.keys(), Instant::now());
        keys.lent.retain(|_, (_, end)| *end > now);
        if keys.lent.len() >= TOKENS {
            return Err(StoreAway(format!("{TOKENS} tokens are lent already, and no more")));
        }
        keys.lent.insert(*token, (key.clone(), now + life));
        Ok(())
    }

    async fn redeem(&self, token: &Digest) -> Result<Option<KeyId>, StoreAway> {
        let lent = self.keys().lent.remove(token);
        Ok(lent.filter(|(_, end)| *end > Instant::now()).map(|(key, _)| key))
    }
}
