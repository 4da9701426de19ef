//! How long a caller's key holds: until it is revoked, or until its time is over.

use std::future::pending;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Why a key no longer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Somebody revoked it.
    Revoked,
    /// Its time is over.
    Expired,
}

/// How long a key holds; without more, for ever.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    until: Option<Instant>,
    revoked: Option<watch::Receiver<bool>>,
}

impl Standing {
    /// Holds until a time.
    #[must_use]
    pub fn until(end: Instant) -> Self {
        Self { until: Some(end), revoked: None }
    }

    /// Holds until a time, if there is one, and no longer than nobody revokes it.
    pub(crate) fn unless_revoked(until: Option<Instant>, revoked: watch::Receiver<bool>) -> Self {
        Self { until, revoked: Some(revoked) }
    }

    /// Resolves when the key no longer holds.
    pub async fn ended(self) -> End {
        let until = self.until;
        tokio::select! {
            () = self.revoked() => End::Revoked,
            () = expired(until) => End::Expired,
        }
    }

    /// Resolves when the key is revoked.
    pub async fn revoked(self) {
        if let Some(mut revoked) = self.revoked
            && revoked.wait_for(|revoked| *revoked).await.is_ok()
        {
            return;
        }
        // Whoever could revoke it is gone only when the process ends.
        pending().await
    }
}

async fn expired(until: Option<Instant>) {
    match until {
        Some(end) => sleep_until(end).await,
        None => pending().await,
    }
}

impl PartialEq for Standing {
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.revoked, &other.revoked) {
            (Some(mine), Some(other)) => mine.same_channel(other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        self.until == other.until && same
    }
}

impl Eq for Standing {}
