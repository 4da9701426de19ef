//! The index of keys that proxies read. It may be lost: routers hold the records and write them again.

use std::time::Duration;

use async_trait::async_trait;
use scheduler::KeyId;

use super::{Digest, KeyRecord};
use crate::StoreAway;

/// Keys that one call may read or write.
pub const KEY_BATCH: usize = 200;

/// Which index this is, and what state it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edition {
    /// Differs when the index was lost and begun anew.
    pub begun: u64,
    /// Differs when a key was made or revoked.
    pub changed: u64,
}

/// Records of keys by their ids.
#[async_trait]
pub trait KeyIndex: Send + Sync {
    /// Tells what state the index is in; none when it was lost and no router has begun it anew yet.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn edition(&self) -> Result<Option<Edition>, StoreAway>;

    /// Finds at most [`KEY_BATCH`] keys, in no order; those that nobody has are missing.
    ///
    /// # Errors
    /// Fails when the store is away, and while the index is lost.
    async fn find(&self, ids: &[KeyId]) -> Result<Vec<KeyRecord>, StoreAway>;

    /// Reads every key, in no order.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn all(&self) -> Result<Vec<KeyRecord>, StoreAway>;

    /// Writes at most [`KEY_BATCH`] keys, and begins the index where it was lost. A revocation that it knows of stays.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn write(&self, records: &[KeyRecord]) -> Result<Edition, StoreAway>;

    /// Lends a key to whoever presents the token of this digest first, within `life`.
    ///
    /// # Errors
    /// Fails when the store is away, or holds as many tokens as it may.
    async fn lend(&self, token: &Digest, key: &KeyId, life: Duration) -> Result<(), StoreAway>;

    /// Takes a token and returns the key that it was for; it is good once.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn redeem(&self, token: &Digest) -> Result<Option<KeyId>, StoreAway>;
}
