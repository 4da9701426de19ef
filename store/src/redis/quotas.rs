//! Quotas in Redis: three keys with one tag for each API key, and one script that checks and charges them all.

use std::time::Duration;

use async_trait::async_trait;
use redis::{Script, ScriptInvocation};
use scheduler::{KeyId, Timestamp};

use super::{Redis, milliseconds};
use crate::gcra::{LONGEST, Rate};
use crate::quotas::{Admission, Admitting, Allowance, Exceeded, Quotas, Used};
use crate::{Limits, StoreAway};

#[derive(Debug)]
pub(super) struct Scripts {
    quotas: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self { quotas: Script::new(include_str!("quotas.lua")) }
    }

    fn invoke(&self, verb: &str, key: &KeyId, limits: &Limits, used: Used) -> ScriptInvocation<'_> {
        let mut script = self.quotas.prepare_invoke();
        for part in ["rate:new", "rate:bytes", "audio"] {
            script.key(format!("crosspoint:{{key:{key}}}:{part}"));
        }
        script.arg(verb).arg(microseconds(Rate::per_minute(0).period)).arg(microseconds(LONGEST));
        let audio = limits.audio_minutes_per_day.map(|minutes| u64::from(minutes) * 60_000);
        for limit in [limits.sessions_per_minute.map(u64::from), limits.upload_bytes_per_minute, audio] {
            script.arg(limit.map_or_else(String::new, |limit| limit.to_string()));
        }
        script.arg(used.upload_bytes).arg(milliseconds(used.audio));
        script
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The time is Redis' own, so that all proxies share it.
#[async_trait]
impl Quotas for Redis {
    async fn admit(
        &self,
        key: &KeyId,
        limits: &Limits,
        upload_bytes: u64,
        _now: Timestamp,
    ) -> Result<Admitting, StoreAway> {
        let used = Used { upload_bytes, ..Used::default() };
        let (refused, wait, unpaid): (u32, u64, u64) =
            self.run(&self.quotas.invoke("admit", key, limits, used)).await?;
        let by = match refused {
            1 => Some(Exceeded::Sessions),
            2 => Some(Exceeded::Uploads),
            3 => Some(Exceeded::Audio),
            _ => None,
        };
        let wait = Duration::from_micros(wait);
        let admission = by.map_or(Admission::Admitted, |by| Admission::Refused { by, wait });
        Ok(Admitting { admission, allowance: Allowance::of(limits, Duration::from_micros(unpaid)) })
    }

    async fn charge(&self, key: &KeyId, limits: &Limits, used: Used, _now: Timestamp) -> Result<(), StoreAway> {
        self.run::<(u32, u64, u64)>(&self.quotas.invoke("charge", key, limits, used)).await.map(drop)
    }
}
