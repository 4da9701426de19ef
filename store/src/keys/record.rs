//! What is kept of a key: everything but the key.

use std::collections::BTreeSet;
use std::fmt;

use scheduler::{BadName, KeyId, PoolName, Residency, TenantId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use super::text::{Environment, generate};
use super::{Limits, Scope, Secret};
use crate::UnixTime;

/// The SHA-256 of a whole key. A key is random, so that slow hashing would protect nothing and be a lever to overload us.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// Says that a text is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a digest of 64 hexadecimal digits")]
pub struct BadDigest;

impl Digest {
    /// The digest of no key that anybody knows, to compare with where there is nothing to compare with.
    pub(crate) const NOBODYS: Self = Self([0; 32]);

    /// Computes a secret's digest.
    #[must_use]
    pub fn of(secret: &Secret) -> Self {
        Self(Sha256::digest(secret.expose()).into())
    }

    /// Compares in a time that does not depend on where the two differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl TryFrom<String> for Digest {
    type Error = BadDigest;

    fn try_from(text: String) -> Result<Self, BadDigest> {
        let byte = |at| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
        Ok(Self(bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(BadDigest)?))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[digest]")
    }
}

/// What a key grants: nothing that a request says can add to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// The only pools that may serve it; every pool when absent.
    pub pools: Option<BTreeSet<PoolName>>,
    /// Where its audio must stay.
    pub residency: Option<Residency>,
    /// How much it may use.
    pub limits: Limits,
}

impl Grants {
    /// Grants everything without limits.
    #[must_use]
    pub fn everything() -> Self {
        Self { scopes: Scope::ALL.into(), pools: None, residency: None, limits: Limits::default() }
    }
}

/// A key as it is kept. It changes once at most: when it is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Its public name.
    pub id: KeyId,
    /// What a presented key is compared with.
    pub digest: Digest,
    /// Whose it is.
    pub tenant: TenantId,
    /// What people call it.
    pub label: String,
    /// What it grants.
    pub grants: Grants,
    /// When it was made.
    pub created: UnixTime,
    /// From when on it opens nothing; never, when absent.
    pub expires: Option<UnixTime>,
    /// Since when it opens nothing.
    pub revoked: Option<UnixTime>,
}

/// What somebody wants of a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOrder {
    /// What stands in the key.
    pub environment: Environment,
    /// Whose it is.
    pub tenant: TenantId,
    /// What people call it.
    pub label: String,
    /// What it grants.
    pub grants: Grants,
    /// From when on it opens nothing; never, when absent.
    pub expires: Option<UnixTime>,
}

impl KeyOrder {
    /// Makes the key. Its text is in no other place than the one returned.
    ///
    /// # Errors
    /// Fails on an id that cannot be a name, which none is that is made here.
    pub fn fill(self, now: UnixTime) -> Result<(KeyRecord, Secret), BadName> {
        let (id, key) = generate(&self.environment, &mut rand::rng())?;
        let Self { tenant, label, grants, expires, .. } = self;
        let digest = Digest::of(&key);
        Ok((KeyRecord { id, digest, tenant, label, grants, created: now, expires, revoked: None }, key))
    }
}

impl KeyRecord {
    /// Takes what another copy of this record knows: a revocation, if there was one, and the first where there were two.
    pub fn merge(&mut self, other: &Self) {
        self.revoked = [self.revoked, other.revoked].into_iter().flatten().min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> (KeyRecord, Secret) {
        let order = KeyOrder {
            environment: Environment::default(),
            tenant: "acme".parse().unwrap(),
            label: "test".to_owned(),
            grants: Grants::everything(),
            expires: None,
        };
        order.fill(UnixTime(1_000)).unwrap()
    }

    #[test]
    fn nothing_of_the_secret_is_kept_or_shown() {
        let (record, key) = record();
        let secret = key.expose().split('_').nth(3).unwrap();
        let kept = serde_json::to_string(&record).unwrap();
        for text in [kept.clone(), format!("{record:?} {key:?}")] {
            assert!(!text.contains(secret), "{text}");
        }
        assert_eq!(serde_json::from_str::<KeyRecord>(&kept).unwrap(), record);
    }

    #[test]
    fn a_digest_matches_its_own_key_only() {
        let ((one, key), (two, _)) = (record(), record());
        assert!(one.digest.matches(&Digest::of(&key)));
        assert!(!two.digest.matches(&Digest::of(&key)));
        for wrong in ["", "ab", &"g".repeat(64), &"é".repeat(32), &"0".repeat(63)] {
            assert_eq!(Digest::try_from(wrong.to_owned()), Err(BadDigest));
        }
    }

    #[test]
    fn a_revocation_stays_and_the_first_one_counts() {
        let (record, _) = record();
        let revoked = |at: Option<u64>| KeyRecord { revoked: at.map(UnixTime), ..record.clone() };
        for (mine, other, merged) in
            [(None, Some(5), 5), (Some(5), None, 5), (Some(7), Some(5), 5), (Some(5), Some(7), 5)]
        {
            let mut key = revoked(mine);
            key.merge(&revoked(other));
            assert_eq!(key, revoked(Some(merged)));
        }
    }
}
