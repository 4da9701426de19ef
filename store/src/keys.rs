//! Keys: who a caller is. Only digests are kept, and they are compared as a whole.

use std::fmt;
use std::net::IpAddr;

use async_trait::async_trait;
use scheduler::TenantId;

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

/// Who presented a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose key it is.
    pub tenant: TenantId,
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
