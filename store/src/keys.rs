//! Keys: who a caller is. Only digests are kept, and they are compared as a whole.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use async_trait::async_trait;
use scheduler::{KeyId, PoolName, Residency, TenantId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::StoreAway;

/// A text that must not be seen: it has no `Display`, and `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Gives the text to the one place that must send or show it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0.len())
    }
}

/// Who presented a key, and what it grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose key it is.
    pub tenant: TenantId,
    /// The key's public name: it may be shown, logged and billed to.
    pub key: KeyId,
    /// The only pools that may serve it; every pool when absent.
    pub pools: Option<BTreeSet<PoolName>>,
    /// Where its audio must stay, whatever a request says.
    pub residency: Option<Residency>,
    /// How much it may use.
    pub limits: Limits,
}

impl Caller {
    /// Grants `key` everything without limits.
    #[must_use]
    pub fn unlimited(tenant: TenantId, key: KeyId) -> Self {
        Self { tenant, key, pools: None, residency: None, limits: Limits::default() }
    }
}

/// How much a key may use; what is absent is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Streams and files at one time.
    pub concurrent: Option<u32>,
    /// New streams and files per minute.
    pub sessions_per_minute: Option<u32>,
    /// Minutes of audio per day, in UTC.
    pub audio_minutes_per_day: Option<u32>,
    /// Bytes of uploads per minute.
    pub upload_bytes_per_minute: Option<u64>,
}

/// Why a key opens nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nobody has this key.
    #[error("invalid credentials")]
    Unknown,
    /// A dev key came from another machine.
    #[error("a dev key is accepted on loopback only, got it from {0}")]
    NotLoopback(IpAddr),
    /// The store is away and has not seen this key lately: refuse rather than guess.
    #[error(transparent)]
    Away(#[from] StoreAway),
}

/// What keys open.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Tells who presented `key` from address `peer`.
    ///
    /// # Errors
    /// Fails on a key that nobody has, on a dev key that did not come over loopback, and when the store is away.
    async fn check(&self, key: &Secret, peer: IpAddr) -> Result<Caller, KeyError>;
}
