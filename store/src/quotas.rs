//! Quotas: how much of what its limits allow a key has used. New sessions and bytes of uploads have a rate, audio a sum per day
//! in UTC. Sessions at one time are leases.

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use scheduler::{KeyId, Timestamp};

use crate::gcra::Rate;
use crate::{Limits, StoreAway};

/// Where a key stands with its new sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// New sessions per minute.
    pub limit: u32,
    /// New sessions that may come at once.
    pub remaining: u32,
    /// Time until the whole limit may come at once.
    pub reset: Duration,
}

impl Allowance {
    pub(crate) fn of(limits: &Limits, unpaid: Duration) -> Option<Self> {
        let limit = limits.sessions_per_minute?;
        let left = Rate::per_minute(limit.into()).left(unpaid);
        Some(Self { limit, remaining: u32::try_from(left).unwrap_or(limit), reset: unpaid })
    }
}

/// The limit that stopped a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// New sessions per minute.
    Sessions,
    /// Bytes of uploads per minute.
    Uploads,
    /// Minutes of audio per day.
    Audio,
}

/// Whether a session may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may, and was charged.
    Admitted,
    /// It may not, and nothing was charged.
    Refused {
        /// What stopped it.
        by: Exceeded,
        /// How long it would have to wait.
        wait: Duration,
    },
}

/// An admission, and where the key stands with its new sessions then, where they are limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitting {
    /// Whether the session may begin.
    pub admission: Admission,
    /// Where the key stands.
    pub allowance: Option<Allowance>,
}

/// What was used beyond what was charged on admission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Bytes of an upload.
    pub upload_bytes: u64,
    /// Audio heard.
    pub audio: Duration,
}

impl Limits {
    /// Takes what is not limited here from `defaults`.
    #[must_use]
    pub fn or(self, defaults: Self) -> Self {
        Self {
            concurrent: self.concurrent.or(defaults.concurrent),
            sessions_per_minute: self.sessions_per_minute.or(defaults.sessions_per_minute),
            audio_minutes_per_day: self.audio_minutes_per_day.or(defaults.audio_minutes_per_day),
            upload_bytes_per_minute: self.upload_bytes_per_minute.or(defaults.upload_bytes_per_minute),
        }
    }

    /// Tells whether [`Quotas`] has anything to count.
    #[must_use]
    pub fn are_counted(&self) -> bool {
        self.sessions_per_minute.is_some()
            || self.audio_minutes_per_day.is_some()
            || self.upload_bytes_per_minute.is_some()
    }

    /// Returns what one of `proxies` may admit by itself: one and a half times its share, and one at least, so that callers
    /// who are not spread evenly lose little, and all together admit at most half as much again.
    #[must_use]
    pub fn share(self, proxies: NonZeroU32) -> Self {
        let share = |limit: u64| (limit.saturating_mul(3) / (2 * u64::from(proxies.get()))).max(limit.min(1));
        let small = |limit: u32| u32::try_from(share(limit.into())).unwrap_or(u32::MAX);
        Self {
            concurrent: self.concurrent,
            sessions_per_minute: self.sessions_per_minute.map(small),
            audio_minutes_per_day: self.audio_minutes_per_day.map(small),
            upload_bytes_per_minute: self.upload_bytes_per_minute.map(share),
        }
    }
}

/// What keys have used.
#[async_trait]
pub trait Quotas: Send + Sync {
    /// Admits a session with an upload of `upload_bytes`, so far as known, and charges both; or refuses it and charges nothing.
    /// Atomic across proxies.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn admit(
        &self,
        key: &KeyId,
        limits: &Limits,
        upload_bytes: u64,
        now: Timestamp,
    ) -> Result<Admitting, StoreAway>;

    /// Charges what was used beyond that. What is charged twice because an answer was lost is charged twice.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn charge(&self, key: &KeyId, limits: &Limits, used: Used, now: Timestamp) -> Result<(), StoreAway>;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn proxies_alone_admit_at_most_half_as_much_again(limit in 0_u32..100_000, proxies in 1_u32..100) {
            let proxies = NonZeroU32::new(proxies).unwrap();
            let limits = Limits { sessions_per_minute: Some(limit), ..Limits::default() };
            let share = limits.share(proxies).sessions_per_minute.unwrap();
            let together = u64::from(share) * u64::from(proxies.get());
            prop_assert!(together * 2 <= u64::from(limit) * 3 || share == 1, "{share} each of {limit}");
            prop_assert_eq!(share == 0, limit == 0);
        }
    }
}
