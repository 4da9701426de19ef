//! Keys: who a caller is, and what it may do. Only digests are kept.
//!
//! * `text`: how a key is written. `record`: what is kept of it. `index`: where proxies find the records.
//! * [`Keyring`](crate::Keyring) tells by them who a caller is. `standing`: how long that holds.

mod index;
mod record;
mod standing;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use scheduler::{KeyId, PoolName, Residency, TenantId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::StoreAway;

pub use index::{Edition, KEY_BATCH, KeyIndex};
pub use record::{BadDigest, Digest, Grants, KeyOrder, KeyRecord};
pub use standing::{End, Standing};
pub(crate) use text::generate;
pub use text::{BadEnvironment, Environment, is_lent, key_id};

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

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Streams.
    Listen,
    /// Files.
    Transcribe,
    /// The list of models.
    Models,
    /// What the key itself has used.
    Usage,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 4] = [Self::Listen, Self::Transcribe, Self::Models, Self::Usage];

    /// Returns the scope as one word.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Transcribe => "transcribe",
            Self::Models => "models",
            Self::Usage => "usage",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// Who presented a key, and what it grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose key it is.
    pub tenant: TenantId,
    /// The key's public name: it may be shown, logged and billed to.
    pub key: KeyId,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// The only pools that may serve it; every pool when absent.
    pub pools: Option<BTreeSet<PoolName>>,
    /// Where its audio must stay, whatever a request says.
    pub residency: Option<Residency>,
    /// How much it may use.
    pub limits: Limits,
    /// How long it may go on.
    pub standing: Standing,
    /// What its token says that rules may look at; keys say nothing.
    pub claims: BTreeMap<String, String>,
}

impl Caller {
    /// Grants `key` everything without limits.
    #[must_use]
    pub fn unlimited(tenant: TenantId, key: KeyId) -> Self {
        Self::granted(tenant, key, Grants::everything(), Standing::default())
    }

    /// Grants `key` what its record says.
    #[must_use]
    pub fn granted(tenant: TenantId, key: KeyId, grants: Grants, standing: Standing) -> Self {
        let Grants { scopes, pools, residency, limits } = grants;
        Self { tenant, key, scopes, pools, residency, limits, standing, claims: BTreeMap::new() }
    }

    /// Passes a caller on who may do `scope`.
    ///
    /// # Errors
    /// Fails where its key does not say so.
    pub fn allowed(self, scope: Scope) -> Result<Self, KeyError> {
        if self.scopes.contains(&scope) { Ok(self) } else { Err(KeyError::OutOfScope(scope)) }
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
    /// The key was good once.
    #[error("the key was revoked")]
    Revoked,
    /// The key was good until lately.
    #[error("the key has expired")]
    Expired,
    /// The key is good, and not for this.
    #[error("the key does not have the scope {0}")]
    OutOfScope(Scope),
    /// What was presented is no key of ours, and only on those tokens are lent.
    #[error("tokens are lent on keys of `crosspoint keys` only")]
    NotLendable,
    /// A dev key came from another machine.
    #[error("a dev key is accepted on loopback only, got it from {0}")]
    NotLoopback(IpAddr),
    /// The store is away and has not seen this key lately: refuse rather than guess.
    #[error(transparent)]
    Away(#[from] StoreAway),
}
