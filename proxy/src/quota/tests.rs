//! A store that comes and goes.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use scheduler::KeyId;
use store::{Embedded, Limits, StoreAway};

use super::*;

/// A store that is there or away.
#[derive(Default)]
struct Store {
    inner: Embedded,
    away: Mutex<bool>,
    charged: Mutex<Vec<(KeyId, Used)>>,
}

impl Store {
    fn answers(&self) -> Result<(), StoreAway> {
        if *self.away.lock().unwrap() { Err(StoreAway("away".to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl Quotas for Store {
    async fn admit(
        &self,
        key: &KeyId,
        limits: &Limits,
        upload_bytes: u64,
        now: Timestamp,
    ) -> Result<Admitting, StoreAway> {
        self.answers()?;
        self.inner.admit(key, limits, upload_bytes, now).await
    }

    async fn charge(&self, key: &KeyId, _: &Limits, used: Used, _: Timestamp) -> Result<(), StoreAway> {
        self.answers()?;
        self.charged.lock().unwrap().push((key.clone(), used));
        Ok(())
    }
}

fn now() -> Timestamp {
    Timestamp::at(Duration::from_secs(1))
}

fn caller(limits: Limits) -> Caller {
    Caller { limits, ..Caller::unlimited("dev".parse().unwrap(), KeyId::dev()) }
}

async fn admitted(quota: &Quota, caller: &Caller, times: u32) -> u32 {
    let mut admitted = 0;
    for _ in 0..times {
        admitted += u32::from(quota.admit(caller, 0, now()).await.is_ok());
    }
    admitted
}

#[tokio::test]
async fn without_the_store_a_proxy_admits_one_and_a_half_times_its_share() {
    let store = Arc::new(Store::default());
    let quota = Quota::new(store.clone(), NonZeroU32::new(3).unwrap());
    let caller = caller(Limits { sessions_per_minute: Some(12), ..Limits::default() });
    *store.away.lock().unwrap() = true;
    assert_eq!(admitted(&quota, &caller, 50).await, 6);
}

#[tokio::test]
async fn who_has_used_the_limit_has_no_other_when_the_store_goes_away() {
    let store = Arc::new(Store::default());
    let quota = Quota::new(store.clone(), NonZeroU32::MIN);
    let caller = caller(Limits { sessions_per_minute: Some(12), ..Limits::default() });
    assert_eq!(admitted(&quota, &caller, 50).await, 12);
    *store.away.lock().unwrap() = true;
    assert_eq!(admitted(&quota, &caller, 50).await, 6, "the half that one and a half is more");
}

#[tokio::test]
async fn what_was_used_is_charged_once_even_if_the_store_was_away() {
    let store = Arc::new(Store::default());
    let quota = Arc::new(Quota::new(store.clone(), NonZeroU32::MIN));
    let caller = caller(Limits { audio_minutes_per_day: Some(1), ..Limits::default() });
    let half = Used { upload_bytes: 7, audio: Duration::from_secs(30) };
    Bill::of(&quota).charge(&caller, half);
    *store.away.lock().unwrap() = true;
    quota.charge_all(now()).await;
    Bill::of(&quota).charge(&caller, half);
    *store.away.lock().unwrap() = false;
    quota.charge_all(now()).await;
    quota.charge_all(now()).await;
    let whole = Used { upload_bytes: 14, audio: Duration::from_secs(60) };
    assert_eq!(*store.charged.lock().unwrap(), [(caller.key, whole)]);
}
