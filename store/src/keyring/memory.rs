//! What a keyring remembers, and how far that is to be trusted.

use std::collections::HashMap;
use std::time::Duration;

use scheduler::KeyId;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::keys::{Edition, KeyRecord};

/// A revocation bites within this time.
const FRESH: Duration = Duration::from_secs(5);
/// For so long nobody asks a store that is away.
const SOFT: Duration = Duration::from_secs(5 * 60);
/// For so long a store that is away may not answer.
const HARD: Duration = Duration::from_secs(60 * 60);
/// Keys that are remembered, beside those of live sessions; beyond that the one is forgotten that was read first.
const KEYS: usize = 10_000;

/// A key as it was last read.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    pub(super) record: KeyRecord,
    pub(super) revoked: watch::Receiver<bool>,
}

/// Whether the index must be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// It need not.
    Full,
    /// It should, and without an answer what is remembered holds.
    UnlessAnswered,
    /// It must.
    None,
}

#[derive(Debug)]
struct Entry {
    record: KeyRecord,
    read_at: Instant,
    revoked: watch::Sender<bool>,
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    entries: HashMap<KeyId, Entry>,
    edition: Option<Edition>,
    seen_at: Option<Instant>,
    away: bool,
}

impl Memory {
    /// Returns a key and how far it is to be trusted now.
    pub(super) fn get(&self, id: &KeyId, now: Instant) -> Option<(Remembered, Trust)> {
        let entry = self.entries.get(id)?;
        let confirmed = self.seen_at.map_or(entry.read_at, |seen| seen.max(entry.read_at));
        let trust = match now.saturating_duration_since(confirmed) {
            age if age <= FRESH => Trust::Full,
            age if age <= SOFT && self.away => Trust::Full,
            age if age <= HARD => Trust::UnlessAnswered,
            _ => Trust::None,
        };
        Some((Remembered { record: entry.record.clone(), revoked: entry.revoked.subscribe() }, trust))
    }

    /// Returns the ids of every key that is remembered.
    pub(super) fn ids(&self) -> Vec<KeyId> {
        self.entries.keys().cloned().collect()
    }

    /// Takes what was read of keys at a time.
    pub(super) fn take(&mut self, records: Vec<KeyRecord>, read_at: Instant) {
        for record in records {
            match self.entries.get_mut(&record.id) {
                Some(entry) => entry.renew(record, read_at),
                None => self.add(record, read_at),
            }
        }
    }

    fn add(&mut self, record: KeyRecord, read_at: Instant) {
        if self.entries.len() >= KEYS {
            let idle = self.entries.iter().filter(|(_, entry)| entry.revoked.receiver_count() == 0);
            let oldest = idle.min_by_key(|(_, entry)| entry.read_at).map(|(id, _)| id.clone());
            oldest.and_then(|id| self.entries.remove(&id));
        }
        let (revoked, _) = watch::channel(record.revoked.is_some());
        self.entries.insert(record.id.clone(), Entry { record, read_at, revoked });
    }

    /// Tells whether nothing has changed since the index was last seen.
    pub(super) fn has_seen(&self, edition: Edition) -> bool {
        self.edition == Some(edition)
    }

    /// Notes that everything remembered was true when the index was in this state.
    pub(super) fn saw(&mut self, edition: Edition, at: Instant) {
        self.edition = Some(edition);
        self.seen_at = Some(at);
        self.away = false;
    }

    /// Notes that the store is away.
    pub(super) fn lost_sight(&mut self) {
        self.away = true;
    }
}

impl Entry {
    fn renew(&mut self, mut record: KeyRecord, read_at: Instant) {
        // An index that was lost may be written again before it hears of a revocation.
        record.merge(&self.record);
        let revoked = record.revoked.is_some();
        self.record = record;
        self.read_at = read_at;
        self.revoked.send_if_modified(|before| revoked && !std::mem::replace(before, true));
    }
}
