//! The keyring: tells who presents a key, from the index, and from memory where the index has been heard of lately.
//!
//! A record is believed for 5 s after the index was last seen not to have changed, so a revocation bites by then. While the
//! store is away it is believed for 5 min without a question, and for an hour where the question gets no answer: a key that was
//! good goes on, and one that nobody here has seen is refused.

mod memory;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use scheduler::{KeyId, TenantId};
use tokio::time::Instant;

use crate::keys::{
    Caller, Digest, Environment, KEY_BATCH, KeyError, KeyIndex, KeyRecord, Secret, Standing, generate, is_lent, key_id,
};
use crate::{StoreAway, UnixTime};
use memory::{Memory, Remembered, Trust};

/// How often [`Keyring::refresh`] shall be called.
pub const KEY_REFRESH: Duration = Duration::from_secs(1);

/// What one process knows of keys.
pub struct Keyring {
    index: Arc<dyn KeyIndex>,
    dev_key: Option<DevKey>,
    memory: Mutex<Memory>,
}

struct DevKey {
    digest: Digest,
    tenant: TenantId,
}

impl Keyring {
    /// Starts with what `index` knows.
    #[must_use]
    pub fn new(index: Arc<dyn KeyIndex>) -> Self {
        Self { index, dev_key: None, memory: Mutex::default() }
    }

    /// Accepts `key`, a literal of any form, for `tenant`, from this machine only.
    #[must_use]
    pub fn with_dev_key(self, key: &Secret, tenant: TenantId) -> Self {
        Self { dev_key: Some(DevKey { digest: Digest::of(key), tenant }), ..self }
    }

    /// Tells who presented `key` from address `peer`.
    ///
    /// # Errors
    /// Fails on a key that nobody has, on one that was revoked or has expired, on a dev key that did not come over loopback,
    /// and on a key that is not known here while the store is away.
    pub async fn check(&self, key: &Secret, peer: IpAddr) -> Result<Caller, KeyError> {
        let presented = Digest::of(key);
        if let Some(dev) = &self.dev_key
            && dev.digest.matches(&presented)
        {
            return dev.caller(peer);
        }
        let id = key_id(key).ok_or(KeyError::Unknown)?;
        if is_lent(key) {
            return self.redeem(&presented).await;
        }
        let known = self.recall(&id).await?;
        // An id that nobody has takes as long as one with another secret.
        let expected = known.as_ref().map_or(Digest::NOBODYS, |known| known.record.digest);
        let right = expected.matches(&presented);
        known.filter(|_| right).ok_or(KeyError::Unknown)?.caller(UnixTime::now())
    }

    /// Makes a token that opens what a caller's key opens, once, within `life`: for web pages, which must not hold keys.
    ///
    /// # Errors
    /// Fails when the store is away.
    pub async fn lend(&self, caller: &Caller, life: Duration) -> Result<Secret, KeyError> {
        let (_, token) = generate(&Environment::lent(), &mut rand::rng()).map_err(|_| KeyError::Unknown)?;
        self.index.lend(&Digest::of(&token), &caller.key, life).await?;
        Ok(token)
    }

    /// A token is found by its digest or not at all, so there is nothing to compare.
    async fn redeem(&self, token: &Digest) -> Result<Caller, KeyError> {
        let id = self.index.redeem(token).await?.ok_or(KeyError::Unknown)?;
        self.recall(&id).await?.ok_or(KeyError::Unknown)?.caller(UnixTime::now())
    }

    /// Looks whether keys have changed, and reads those again that are known here. The owner calls it every [`KEY_REFRESH`].
    ///
    /// # Errors
    /// Fails when the store is away; what is known stays known.
    pub async fn refresh(&self) -> Result<(), StoreAway> {
        let asked_at = Instant::now();
        let refreshed = self.catch_up(asked_at).await;
        if refreshed.is_err() {
            self.memory().lost_sight();
        }
        refreshed
    }

    async fn catch_up(&self, asked_at: Instant) -> Result<(), StoreAway> {
        let edition = self.index.edition().await?.ok_or_else(lost)?;
        if !self.memory().has_seen(edition) {
            let known = self.memory().ids();
            for ids in known.chunks(KEY_BATCH) {
                let records = self.index.find(ids).await?;
                self.memory().take(records, asked_at);
            }
        }
        self.memory().saw(edition, asked_at);
        Ok(())
    }

    /// Finds a record: in memory where that can be trusted, else in the index, else in memory where it must do.
    async fn recall(&self, id: &KeyId) -> Result<Option<Remembered>, StoreAway> {
        let asked_at = Instant::now();
        let remembered = self.memory().get(id, asked_at);
        match remembered {
            Some((known, Trust::Full)) => Ok(Some(known)),
            Some((known, Trust::UnlessAnswered)) => Ok(self.ask(id, asked_at).await.unwrap_or(Some(known))),
            Some((_, Trust::None)) | None => self.ask(id, asked_at).await,
        }
    }

    async fn ask(&self, id: &KeyId, asked_at: Instant) -> Result<Option<Remembered>, StoreAway> {
        let records: Vec<KeyRecord> = self.index.find(std::slice::from_ref(id)).await?;
        let mut memory = self.memory();
        memory.take(records, asked_at);
        // A key is never taken out of the index, so one that is known here and not there was lost, and will be back.
        Ok(memory.get(id, asked_at).filter(|(_, trust)| *trust != Trust::None).map(|(known, _)| known))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The index is empty, and an empty index knows nothing: not that a key does not exist, either.
pub(crate) fn lost() -> StoreAway {
    StoreAway("no router has written the keys yet".to_owned())
}

impl DevKey {
    fn caller(&self, peer: IpAddr) -> Result<Caller, KeyError> {
        // A socket for both families shows loopback of the old one in the clothes of the new.
        if peer.to_canonical().is_loopback() {
            Ok(Caller::unlimited(self.tenant.clone(), KeyId::dev()))
        } else {
            Err(KeyError::NotLoopback(peer))
        }
    }
}

impl Remembered {
    fn caller(self, now: UnixTime) -> Result<Caller, KeyError> {
        let KeyRecord { id, tenant, grants, expires, revoked, .. } = self.record;
        if revoked.is_some() {
            return Err(KeyError::Revoked);
        }
        let left = expires.map(|expires| expires.since(now));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(KeyError::Expired);
        }
        let until = left.map(|left| Instant::now() + left);
        Ok(Caller::granted(tenant, id, grants, Standing::unless_revoked(until, self.revoked)))
    }
}

#[cfg(test)]
mod tests;
