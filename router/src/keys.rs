//! The keys that were made or revoked here: journalled before anybody is told, and written to the index that proxies read
//! whenever that has lost them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use process::Shutdown;
use scheduler::{BadName, KeyId};
use store::{
    Edition, Journal, JournalError, KEY_BATCH, Kept, KeyIndex, KeyOrder, KeyRecord, RecordNumber, Secret, StoreAway,
    UnixTime,
};
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use crate::metrics;

/// How often it is looked whether the index still has everything.
const LOOK: Duration = Duration::from_secs(1);
/// Keys that one router keeps: they fit its journal and its memory.
const KEYS: usize = 100_000;

/// Why a key cannot be made, revoked or listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    /// Nobody has it.
    #[error("no key has the id {0}: `crosspoint keys list` shows every id")]
    Unknown(KeyId),
    /// The bound is reached.
    #[error("this router keeps {KEYS} keys already, and no more")]
    TooMany,
    /// It cannot be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Another router has it, and nobody can say.
    #[error("{0}, and this router did not make the key: ask the router that did, or try again")]
    Away(#[from] StoreAway),
    /// It got no name.
    #[error(transparent)]
    Name(#[from] BadName),
}

/// Whether proxies can know of a change by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// They can.
    Done,
    /// They will when the store is back.
    Later,
}

/// Whether a list is all there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// It is.
    Every,
    /// The store is away: only this router's own are in it.
    Own,
}

/// The keys of this router.
pub struct Registry {
    index: Arc<dyn KeyIndex>,
    journal: Journal<KeyRecord>,
    /// Held while a change is made: they are rare, and come one after the other.
    own: Mutex<Own>,
}

#[derive(Default)]
struct Own {
    keys: BTreeMap<KeyId, Kept<KeyRecord>>,
    /// When the index was begun that has all of them.
    written: Option<u64>,
    /// The edition up to which other routers' revocations are known.
    heard: Option<Edition>,
}

impl Registry {
    /// Begins with what its journal kept.
    #[must_use]
    pub fn new(index: Arc<dyn KeyIndex>, journal: Journal<KeyRecord>, kept: Vec<Kept<KeyRecord>>) -> Self {
        let mut own = Own::default();
        for record in kept {
            own.keep(record);
        }
        Self { index, journal, own: Mutex::new(own) }
    }

    /// Makes a key; its text is nowhere else than in the answer.
    pub(crate) async fn create(&self, order: KeyOrder) -> Result<(KeyRecord, Secret, Spread), KeysError> {
        let mut own = self.own.lock().await;
        if own.keys.len() >= KEYS {
            return Err(KeysError::TooMany);
        }
        let (record, key) = order.fill(UnixTime::now())?;
        self.append(&mut own, &record).await?;
        info!(key = %record.id, tenant = %record.tenant, "key created");
        let spread = self.spread(&mut own, &record).await;
        Ok((record, key, spread))
    }

    /// Revokes a key, whichever router made it. One that was revoked before stays as it is.
    pub(crate) async fn revoke(&self, id: &KeyId) -> Result<(KeyRecord, Spread), KeysError> {
        let mut own = self.own.lock().await;
        let known = own.keys.get(id).map(|kept| (kept.record.clone(), Some(kept.number)));
        let (mut record, number) = match known {
            Some(known) => known,
            None => (
                self.index.find(std::slice::from_ref(id)).await?.pop().ok_or_else(|| KeysError::Unknown(id.clone()))?,
                None,
            ),
        };
        if record.revoked.is_none() {
            record.revoked = Some(UnixTime::now());
            match number {
                Some(number) => self.replace(&mut own, number, &record).await?,
                None => self.append(&mut own, &record).await?,
            }
            info!(key = %record.id, tenant = %record.tenant, "key revoked");
        }
        let spread = self.spread(&mut own, &record).await;
        Ok((record, spread))
    }

    /// Lists every key that is known, oldest first.
    pub(crate) async fn list(&self) -> (Vec<KeyRecord>, Extent) {
        let (others, extent) = match self.index.all().await {
            Ok(records) => (records, Extent::Every),
            Err(away) => {
                failed(&away);
                (Vec::new(), Extent::Own)
            }
        };
        let mut listed: BTreeMap<KeyId, KeyRecord> =
            others.into_iter().map(|record| (record.id.clone(), record)).collect();
        for Kept { record, .. } in self.own.lock().await.keys.values() {
            listed.entry(record.id.clone()).or_insert_with(|| record.clone()).merge(record);
        }
        let mut listed: Vec<_> = listed.into_values().collect();
        listed.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        (listed, extent)
    }

    async fn append(&self, own: &mut Own, record: &KeyRecord) -> Result<(), KeysError> {
        for number in self.journal.append(std::slice::from_ref(record)).await? {
            own.keep(Kept { number, record: record.clone() });
        }
        Ok(())
    }

    async fn replace(&self, own: &mut Own, old: RecordNumber, record: &KeyRecord) -> Result<(), KeysError> {
        let number = self.journal.replace(vec![old], record).await?;
        own.keep(Kept { number, record: record.clone() });
        Ok(())
    }

    /// Writes one key to the index; where that fails, everything is written later.
    async fn spread(&self, own: &mut Own, record: &KeyRecord) -> Spread {
        match self.index.write(std::slice::from_ref(record)).await {
            Ok(_edition) => Spread::Done,
            Err(away) => {
                failed(&away);
                own.written = None;
                Spread::Later
            }
        }
    }

    /// Writes everything to an index that does not have it.
    async fn look(&self) -> Result<(), StoreAway> {
        let mut own = self.own.lock().await;
        let edition = self.index.edition().await?;
        if let Some(edition) = edition.filter(|edition| own.written == Some(edition.begun)) {
            return self.hear(&mut own, edition).await;
        }
        let records: Vec<_> = own.keys.values().map(|kept| kept.record.clone()).collect();
        let Edition { begun, .. } = self.index.write(&[]).await?;
        for batch in records.chunks(KEY_BATCH) {
            if self.index.write(batch).await?.begun != begun {
                // It was lost once more; the next look begins again.
                return Ok(());
            }
        }
        own.written = Some(begun);
        own.heard = None;
        info!(keys = records.len(), "keys written to the store");
        Ok(())
    }

    /// Takes to its own journal what other routers revoked of its keys: it must not bring them back when the index is lost.
    async fn hear(&self, own: &mut Own, edition: Edition) -> Result<(), StoreAway> {
        if own.heard.as_ref() == Some(&edition) {
            return Ok(());
        }
        let open = |kept: &&Kept<KeyRecord>| kept.record.revoked.is_none();
        let open: Vec<KeyId> = own.keys.values().filter(open).map(|kept| kept.record.id.clone()).collect();
        for batch in open.chunks(KEY_BATCH) {
            for record in self.index.find(batch).await?.into_iter().filter(|record| record.revoked.is_some()) {
                let Some(known) = own.keys.get(&record.id) else { continue };
                let merged = KeyRecord { revoked: record.revoked, ..known.record.clone() };
                if let Err(error) = self.replace(own, known.number, &merged).await {
                    warn!(key = %record.id, %error, "a revocation by another router is not journalled, trying again");
                    return Ok(());
                }
            }
        }
        own.heard = Some(edition);
        Ok(())
    }
}

impl Own {
    /// A crash can leave the record that was replaced beside the one in its place.
    fn keep(&mut self, kept: Kept<KeyRecord>) {
        match self.keys.get_mut(&kept.record.id) {
            Some(known) => {
                known.number = kept.number;
                known.record.merge(&kept.record);
            }
            None => {
                self.keys.insert(kept.record.id.clone(), kept);
            }
        }
    }
}

fn failed(away: &StoreAway) {
    metrics::store_failed("keys");
    debug!(%away, "keys not shared now");
}

/// Keeps the index complete until the drain begins.
pub(crate) async fn keep_index(registry: Arc<Registry>, shutdown: Shutdown) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            _ = ticks.tick() => {}
        }
        if let Err(away) = registry.look().await {
            failed(&away);
        }
    }
}

#[cfg(test)]
mod tests {
    use store::{Embedded, Environment, Grants};

    use super::*;

    const ROOM: u64 = 1 << 20;

    #[tokio::test]
    async fn a_key_that_another_router_revoked_does_not_come_back_with_a_lost_index() {
        let folder = tempfile::tempdir().unwrap();
        let journal = || Journal::open(&folder.path().join("keys.journal"), ROOM).unwrap();
        let id = {
            let index = Arc::new(Embedded::new());
            let (own, kept) = journal();
            let maker = Registry::new(index.clone(), own, kept.records);
            let other = Registry::new(index, Journal::in_memory(), Vec::new());
            let order = KeyOrder {
                environment: Environment::default(),
                tenant: "acme".parse().unwrap(),
                label: String::new(),
                grants: Grants::everything(),
                expires: None,
            };
            let (record, _key, _spread) = maker.create(order).await.unwrap();
            maker.look().await.unwrap();
            other.revoke(&record.id).await.unwrap();
            maker.look().await.unwrap();
            record.id
        };
        let index = Arc::new(Embedded::new());
        let (own, kept) = journal();
        Registry::new(index.clone(), own, kept.records).look().await.unwrap();
        let found = index.find(&[id]).await.unwrap();
        assert!(found[0].revoked.is_some(), "{found:?}");
    }
}
