//! Time and outages, in memory.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;

use super::*;
use crate::Embedded;
use crate::keys::{Edition, End, Grants, KeyOrder};

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ABROAD: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// An index that can be away, or lose everything, and counts how often it was asked for keys.
#[derive(Default)]
struct Shelf {
    store: Mutex<Arc<Embedded>>,
    away: AtomicBool,
    asked: AtomicU32,
}

impl Shelf {
    fn store(&self) -> Result<Arc<Embedded>, StoreAway> {
        if self.away.load(Ordering::Relaxed) {
            return Err(StoreAway("gone fishing".to_owned()));
        }
        Ok(Arc::clone(&self.store.lock().unwrap()))
    }

    fn leave(&self) {
        self.away.store(true, Ordering::Relaxed);
    }

    fn come_back(&self) {
        self.away.store(false, Ordering::Relaxed);
    }
}

#[async_trait]
impl KeyIndex for Shelf {
    async fn edition(&self) -> Result<Option<Edition>, StoreAway> {
        self.store()?.edition().await
    }

    async fn find(&self, ids: &[KeyId]) -> Result<Vec<KeyRecord>, StoreAway> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.store()?.find(ids).await
    }

    async fn all(&self) -> Result<Vec<KeyRecord>, StoreAway> {
        self.store()?.all().await
    }

    async fn write(&self, records: &[KeyRecord]) -> Result<Edition, StoreAway> {
        self.store()?.write(records).await
    }

    async fn lend(&self, token: &Digest, key: &KeyId, life: Duration) -> Result<(), StoreAway> {
        self.store()?.lend(token, key, life).await
    }

    async fn redeem(&self, token: &Digest) -> Result<Option<KeyId>, StoreAway> {
        self.store()?.redeem(token).await
    }
}

struct Bench {
    shelf: Arc<Shelf>,
    keyring: Keyring,
}

impl Bench {
    fn new() -> Self {
        let shelf = Arc::new(Shelf::default());
        Self { keyring: Keyring::new(shelf.clone()), shelf }
    }

    async fn key(&self, expires: Option<UnixTime>) -> (KeyRecord, Secret) {
        let order = KeyOrder {
            environment: "test".parse().unwrap(),
            tenant: "acme".parse().unwrap(),
            label: String::new(),
            grants: Grants::everything(),
            expires,
        };
        let (record, key) = order.fill(UnixTime::now()).unwrap();
        self.shelf.write(std::slice::from_ref(&record)).await.unwrap();
        (record, key)
    }

    async fn check(&self, key: &Secret) -> Result<Caller, KeyError> {
        self.keyring.check(key, ABROAD).await
    }

    async fn revoke(&self, record: &KeyRecord) {
        let revoked = KeyRecord { revoked: Some(UnixTime::now()), ..record.clone() };
        self.shelf.write(&[revoked]).await.unwrap();
    }

    fn asked(&self) -> u32 {
        self.shelf.asked.load(Ordering::Relaxed)
    }

    /// Lets time pass, second by second, as the owner does.
    async fn pass(&self, time: Duration) {
        for _ in 0..time.as_secs() {
            tokio::time::advance(KEY_REFRESH).await;
            let _ = self.keyring.refresh().await;
        }
    }
}

fn is_away(checked: &Result<Caller, KeyError>) -> bool {
    matches!(checked, Err(KeyError::Away(_)))
}

#[tokio::test(start_paused = true)]
async fn a_key_opens_and_any_other_text_does_not() {
    let bench = Bench::new();
    let (record, key) = bench.key(None).await;
    let caller = bench.check(&key).await.unwrap();
    assert_eq!((caller.tenant.as_str(), &caller.key), ("acme", &record.id));
    let (_, stranger) = bench.key(None).await;
    let other_secret = key.expose().replace(&key.expose()[22..52], &stranger.expose()[22..52]);
    for wrong in ["", "cp_test_key", &key.expose()[1..], &other_secret] {
        assert_eq!(bench.check(&Secret::new(wrong)).await, Err(KeyError::Unknown), "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_secret_of_one_key_does_not_open_another() {
    let bench = Bench::new();
    let ((one, _), (two, key)) = (bench.key(None).await, bench.key(None).await);
    // As if two were written with the id of one: whoever can write the checksum has no more.
    let swapped = KeyRecord { digest: one.digest, ..two };
    bench.shelf.store.lock().unwrap().clone_from(&Arc::new(Embedded::new()));
    bench.shelf.write(&[swapped]).await.unwrap();
    assert_eq!(bench.check(&key).await, Err(KeyError::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_known_key_is_not_looked_up_again_while_the_index_is_watched() {
    let bench = Bench::new();
    let (_, key) = bench.key(None).await;
    bench.keyring.refresh().await.unwrap();
    for _ in 0..100 {
        assert!(bench.check(&key).await.is_ok());
        bench.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(bench.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_bites_within_five_seconds_and_ends_who_is_in() {
    let bench = Bench::new();
    let (record, key) = bench.key(None).await;
    let caller = bench.check(&key).await.unwrap();
    bench.revoke(&record).await;
    bench.pass(Duration::from_secs(2)).await;
    assert_eq!(bench.check(&key).await, Err(KeyError::Revoked));
    assert_eq!(caller.standing.ended().await, End::Revoked);
    // An index that was lost is written again by a router that has not heard of it.
    bench.shelf.store.lock().unwrap().clone_from(&Arc::new(Embedded::new()));
    bench.shelf.write(&[record]).await.unwrap();
    bench.pass(Duration::from_secs(2)).await;
    assert_eq!(bench.check(&key).await, Err(KeyError::Revoked));
}

#[tokio::test(start_paused = true)]
async fn without_its_owner_a_keyring_asks_again_after_five_seconds() {
    let bench = Bench::new();
    let (record, key) = bench.key(None).await;
    assert!(bench.check(&key).await.is_ok());
    bench.revoke(&record).await;
    tokio::time::advance(Duration::from_millis(5_001)).await;
    assert_eq!(bench.check(&key).await, Err(KeyError::Revoked));
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_known_keys_hold_for_an_hour_and_unknown_ones_not_at_all() {
    let bench = Bench::new();
    let ((_, warm), (_, cold)) = (bench.key(None).await, bench.key(None).await);
    assert!(bench.check(&warm).await.is_ok());
    bench.keyring.refresh().await.unwrap();
    bench.shelf.leave();
    bench.pass(Duration::from_secs(5 * 60)).await;
    let before = bench.asked();
    assert!(bench.check(&warm).await.is_ok());
    assert_eq!(bench.asked(), before, "for five minutes nobody waits for a store that is away");
    assert!(is_away(&bench.check(&cold).await), "fails closed");
    bench.pass(Duration::from_secs(55 * 60)).await;
    assert!(bench.check(&warm).await.is_ok());
    assert_eq!(bench.asked(), before + 2, "then each asks for itself");
    bench.pass(Duration::from_secs(1)).await;
    assert!(is_away(&bench.check(&warm).await), "an hour is the end");
    bench.shelf.come_back();
    assert!(bench.check(&warm).await.is_ok());
    assert!(bench.check(&cold).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_index_lost_still_opens() {
    let bench = Bench::new();
    let (_, key) = bench.key(None).await;
    assert!(bench.check(&key).await.is_ok());
    bench.shelf.store.lock().unwrap().clone_from(&Arc::new(Embedded::new()));
    bench.pass(Duration::from_secs(60)).await;
    assert!(bench.check(&key).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_key_expires_when_it_says_so_and_ends_who_is_in() {
    let bench = Bench::new();
    let (_, key) = bench.key(Some(UnixTime::now().after(Duration::from_secs(600)))).await;
    let caller = bench.check(&key).await.unwrap();
    let began = Instant::now();
    assert_eq!(caller.standing.ended().await, End::Expired);
    let lasted = began.elapsed();
    assert!(lasted > Duration::from_secs(590) && lasted <= Duration::from_secs(601), "{lasted:?}");
    let (_, old) = bench.key(Some(UnixTime::now())).await;
    assert_eq!(bench.check(&old).await, Err(KeyError::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_token_opens_what_its_key_opens_once_and_not_for_long() {
    let bench = Bench::new();
    let (record, key) = bench.key(None).await;
    let caller = bench.check(&key).await.unwrap();
    let life = Duration::from_secs(30);
    let token = bench.keyring.lend(&caller, life).await.unwrap();
    assert_eq!(bench.check(&token).await.unwrap().key, record.id);
    assert_eq!(bench.check(&token).await, Err(KeyError::Unknown), "it was good once");
    let late = bench.keyring.lend(&caller, life).await.unwrap();
    tokio::time::advance(life).await;
    assert_eq!(bench.check(&late).await, Err(KeyError::Unknown));
    let revoked = bench.keyring.lend(&caller, life).await.unwrap();
    bench.revoke(&record).await;
    bench.pass(Duration::from_secs(2)).await;
    assert_eq!(bench.check(&revoked).await, Err(KeyError::Revoked));
    bench.shelf.leave();
    assert!(is_away(&bench.check(&late).await), "nobody can say");
}

#[tokio::test(start_paused = true)]
async fn a_dev_key_opens_on_loopback_only() {
    let keyring = Keyring::new(Arc::new(Embedded::new())).with_dev_key(&Secret::new("right"), "dev".parse().unwrap());
    assert_eq!(keyring.check(&Secret::new("right"), HOME).await.unwrap().tenant.as_str(), "dev");
    let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
    assert!(keyring.check(&Secret::new("right"), mapped).await.is_ok(), "as a socket on [::] shows it");
    assert_eq!(keyring.check(&Secret::new("wrong"), HOME).await, Err(KeyError::Unknown));
    assert_eq!(keyring.check(&Secret::new("right"), ABROAD).await, Err(KeyError::NotLoopback(ABROAD)));
    let closed = Keyring::new(Arc::new(Embedded::new()));
    assert_eq!(closed.check(&Secret::new("right"), HOME).await, Err(KeyError::Unknown));
}
