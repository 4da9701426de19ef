//! A real Redis for one test, and what only a Redis can do wrong.

pub(crate) mod cluster;
mod failover;
mod process;
mod tls;

use std::process::Command;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use crosspoint_store::{
    Admission, Affinity, Claim, Cursor, Digest, KeyIndex, LastLeg, Leases, Limits, Quotas, Redis, RedisUrl, Reports,
    Secret, StoreAway, Token, Turn,
};
use redis::{Script, Value};
use scheduler::Timestamp;

use super::{
    Bench, LEASE_LIFE, Store, TODAY, add, aged, audio, charge, find, key, lead, publish, published, read, revoked, row,
    session, slot, slots,
};
use process::{PATIENCE, Process, free_address};

/// A `redis-server` of this test's own, and a store on it.
pub(crate) struct Server {
    store: Redis,
    process: Process,
}

impl Server {
    /// Starts an empty one; none where there is no `redis-server`.
    pub(crate) async fn start() -> Option<Self> {
        let process = Process::start(free_address(), &["--enable-debug-command", "yes"])?;
        process.answers().await;
        let store = store(&process.url(), PATIENCE);
        Some(Self { store, process })
    }

    async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.process.ask(words).await
    }
}

/// Prepares a store on one server.
fn store(url: &str, timeout: Duration) -> Redis {
    Redis::new(&RedisUrl::try_from(url.to_owned()).unwrap().into(), timeout).unwrap()
}

/// Time passes in Redis when everything that was written there becomes older.
const AGE: &str = "
for _, pattern in ipairs({ 'crosspoint:*:leases', 'crosspoint:*:sessions', 'crosspoint:*:times' }) do
  for _, key in ipairs(redis.call('KEYS', pattern)) do
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do redis.call('ZINCRBY', key, -ARGV[1], member) end
  end
end
for _, key in ipairs(redis.call('KEYS', 'crosspoint:*:rate:*')) do
  redis.call('SET', key, string.format('%.0f', redis.call('GET', key) - ARGV[1] * 1000), 'KEEPTTL')
end
for _, key in ipairs(redis.call('KEYS', 'crosspoint:*:audio')) do
  redis.call('HINCRBY', key, 'day', -math.floor(ARGV[1] / 86400000))
end
for _, key in ipairs(redis.call('KEYS', 'crosspoint:*:affinity')) do
  redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1])
end
for _, key in ipairs(redis.call('KEYS', 'crosspoint:*:lock')) do
  for _, field in ipairs({ 'until', 'at' }) do
    if redis.call('HEXISTS', key, field) == 1 then redis.call('HINCRBY', key, field, -ARGV[1]) end
  end
end";

/// Lets time pass in one server.
async fn age(process: &Process, time: Duration) {
    let mut connection = process.connection().await.unwrap();
    let milliseconds = u64::try_from(time.as_millis()).unwrap();
    Script::new(AGE).arg(milliseconds).invoke_async::<()>(&mut connection).await.unwrap();
}

#[async_trait]
impl Bench for Server {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO
    }

    async fn pass(&mut self, time: Duration) {
        age(&self.process, time).await;
    }
}

#[tokio::test]
async fn garbage_under_our_keys_is_ignored_and_written_over() {
    let Some(server) = Server::start().await else { return };
    let store = &server.store;
    let now = server.now();
    for garbage in [["SET", "crosspoint:{aws-1}:leases", "\u{1}"], ["SADD", "crosspoint:{aws-1}:leases", "1"]] {
        server.ask::<Value>(&["DEL", garbage[1]]).await;
        server.ask::<Value>(&garbage).await;
        assert_eq!(store.count(&slots(), now).await, Ok(0));
        server.ask::<Value>(&garbage).await;
        assert_eq!(store.claim(&slot(1), 1, now).await, Ok(Claim::Held));
    }
    for (key, garbage) in [("rate:new", "nan"), ("rate:bytes", "1e300"), ("audio", "\u{1}")] {
        server.ask::<Value>(&["SET", &format!("crosspoint:{{key:k1}}:{key}"), garbage]).await;
    }
    let limits = Limits {
        sessions_per_minute: Some(1),
        audio_minutes_per_day: Some(1),
        upload_bytes_per_minute: Some(1),
        ..Limits::default()
    };
    let admitting = store.admit(&"k1".parse().unwrap(), &limits, 1, now).await.unwrap();
    assert_eq!(admitting.admission, Admission::Admitted);

    server.ask::<Value>(&["ZADD", "crosspoint:{aws-1}:leases", "inf", "nobody", "1e300", "no one"]).await;
    assert_eq!(store.count(&slots(), now).await, Ok(1));

    for key in ["order", "times", "bodies"].map(|part| format!("crosspoint:{{reports}}:{part}")) {
        server.ask::<Value>(&["SET", &key, "\u{1}"]).await;
        assert_eq!(read(&server, Cursor::default()).await.0, []);
        store.put(&[aged("aws-1", 1, Duration::ZERO)], now).await.unwrap();
        assert_eq!(read(&server, Cursor::default()).await.0.len(), 1);
    }
    server.ask::<Value>(&["ZADD", "crosspoint:{reports}:order", "inf", "a", "1e300", "b", "-inf", "c"]).await;
    server.ask::<Value>(&["HSET", "crosspoint:{reports}:bodies", "aws-1", r#"{"version":2,"report":{}}"#]).await;
    let changes = store.changed_since(Cursor::default(), now).await.unwrap();
    assert_eq!((changes.reports.len(), changes.ignored), (0, 1));
    store.put(&[aged("aws-1", 2, Duration::ZERO)], now).await.unwrap();
    assert_eq!(read(&server, Cursor::default()).await.0, [("aws-1".to_owned(), 2, 0)]);
}

#[tokio::test]
async fn garbage_under_a_lock_is_ignored_and_written_over() {
    let Some(server) = Server::start().await else { return };
    let key = "crosspoint:{planner}:lock";
    server.ask::<Value>(&["SET", key, "\u{1}"]).await;
    assert_eq!(published(&server).await, None);
    assert_eq!(lead(&server, "a").await, Turn::Leading(Token(1)));
    server.ask::<Value>(&["HSET", key, "until", "inf", "token", "-7", "at", "nan", "text", "\u{1}"]).await;
    assert_eq!(published(&server).await, None);
    assert_eq!(lead(&server, "b").await, Turn::Leading(Token(1)), "a lock for ever is none");
    publish(&server, 1, "text").await;
    assert_eq!(published(&server).await, Some(("text".to_owned(), 0)));
}

#[tokio::test]
async fn a_reader_of_an_emptied_redis_starts_again() {
    let Some(server) = Server::start().await else { return };
    for sequence in 1..5 {
        server.store.put(&[aged("aws-1", sequence, Duration::ZERO)], server.now()).await.unwrap();
    }
    let (_, cursor) = read(&server, Cursor::default()).await;
    server.ask::<Value>(&["FLUSHALL"]).await;
    server.store.put(&[aged("aws-1", 5, Duration::ZERO)], server.now()).await.unwrap();
    assert_eq!(read(&server, cursor).await.0, [("aws-1".to_owned(), 5, 0)]);
}

#[tokio::test]
async fn a_redis_that_cannot_write_is_away() {
    let Some(server) = Server::start().await else { return };
    let refusals = [
        (["REPLICAOF", "127.0.0.1", "1"], "READONLY", ["REPLICAOF", "NO", "ONE"]),
        (["CONFIG SET", "min-replicas-to-write", "1"], "NOREPLICAS", ["CONFIG SET", "min-replicas-to-write", "0"]),
    ];
    for (begin, word, end) in refusals {
        let split = |words: [&'static str; 3]| words.into_iter().flat_map(str::split_whitespace).collect::<Vec<_>>();
        server.ask::<Value>(&split(begin)).await;
        let StoreAway(cause) = server.store.claim(&slot(1), 1, server.now()).await.unwrap_err();
        assert!(cause.to_uppercase().contains(word), "{cause:?} instead of {word}");
        server.ask::<Value>(&split(end)).await;
        assert!(server.store.claim(&slot(1), 1, server.now()).await.is_ok());
    }
}

#[tokio::test]
async fn a_redis_out_of_memory_still_keeps_hints() {
    let Some(server) = Server::start().await else { return };
    let (store, now) = (&server.store, server.now());
    server.ask::<Value>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    // What hints take is bounded by nodes, slots and keys.
    assert_eq!(store.claim(&slot(1), 1, now).await, Ok(Claim::Held));
    assert_eq!(store.claim(&slot(2), 1, now).await, Ok(Claim::Full));
    store.renew(&[slot(1), slot(2)], now).await.unwrap();
    store.release(&slot(1)).await.unwrap();
    assert_eq!(store.count(&slots(), now).await, Ok(1));
    let limits = Limits { sessions_per_minute: Some(1), ..Limits::default() };
    assert!(store.admit(&"k1".parse().unwrap(), &limits, 0, now).await.is_ok());
    let leg = LastLeg { node: "aws-1".parse().unwrap(), epoch: 1 };
    store.remember(session(1), &leg, now).await.unwrap();
    assert_eq!(store.last_leg(session(1), now).await, Ok(Some(leg)));
    store.put(&[aged("aws-1", 1, Duration::ZERO)], now).await.unwrap();
    assert_eq!(read(&server, Cursor::default()).await.0.len(), 1);
}

#[tokio::test]
async fn a_redis_that_hangs_costs_five_short_waits_and_then_none() {
    let Some(server) = Server::start().await else { return };
    let store = store(&server.process.url(), Duration::from_millis(50));
    let stopped = Command::new("/bin/sh").args(["-c", &format!("kill -STOP {}", server.process.id())]).status();
    assert!(stopped.unwrap().success());
    let mut causes = Vec::new();
    let began = Instant::now();
    for _ in 0..100 {
        causes.push(store.renew(&[slot(1)], server.now()).await.unwrap_err().0);
    }
    let waited = causes.iter().filter(|cause| *cause != "redis did not answer lately").count();
    assert!(waited >= 5 && waited <= 5 + usize::try_from(began.elapsed().as_secs()).unwrap(), "{causes:?}");
    assert!(LEASE_LIFE > began.elapsed());
}

#[tokio::test]
async fn garbage_in_the_ledger_is_ignored_and_written_over() {
    let Some(server) = Server::start().await else { return };
    let prefix = "crosspoint:{usage}";
    let names = [format!(":session:{}", session(1)), format!(":keys:{TODAY}"), format!(":day:{TODAY}:k")];
    for key in names.map(|name| format!("{prefix}{name}")) {
        server.ask::<Value>(&["SET", &key, "\u{1}"]).await;
    }
    assert_eq!(audio(&server, TODAY, None).await, []);
    assert_eq!(audio(&server, TODAY, Some("k")).await, []);
    add(&server, &[charge(1, "k", TODAY, 2)]).await;
    server.ask::<Value>(&["HSET", &format!("{prefix}:day:{TODAY}:k"), "two words|m", "1", "aws|m|n", "1 2 x"]).await;
    server.ask::<Value>(&["SADD", &format!("{prefix}:keys:{TODAY}"), "a key", ""]).await;
    assert_eq!(audio(&server, TODAY, None).await, [row(TODAY, "k", "aws", 2, 1)]);
}

#[tokio::test]
async fn what_the_ledger_keeps_goes_in_time() {
    let Some(server) = Server::start().await else { return };
    add(&server, &[charge(1, "k", TODAY, 2)]).await;
    let lives =
        [(format!(":session:{}", session(1)), 2), (format!(":keys:{TODAY}"), 400), (format!(":day:{TODAY}:k"), 400)];
    for (name, days) in lives {
        let life: u64 = server.ask(&["TTL", &format!("crosspoint:{{usage}}{name}")]).await;
        assert_eq!(life.div_ceil(86_400), days, "{name}");
    }
}

const RECORDS: &str = "crosspoint:{keys}:records";

#[tokio::test]
async fn an_index_of_keys_that_was_lost_says_so_until_it_is_begun_again() {
    let Some(server) = Server::start().await else { return };
    let (store, record) = (&server.store, key("one"));
    assert_eq!(store.edition().await, Ok(None));
    let ids = [record.id.clone()];
    let StoreAway(cause) = store.find(&ids).await.unwrap_err();
    assert_eq!(cause, "no router has written the keys yet");
    let before = store.write(std::slice::from_ref(&record)).await.unwrap();
    server.ask::<Value>(&["FLUSHALL"]).await;
    assert!(store.find(&ids).await.is_err());
    let after = store.write(&[]).await.unwrap();
    assert_ne!(before.begun, after.begun);
    assert_eq!(store.find(&ids).await, Ok(Vec::new()));
}

#[tokio::test]
async fn garbage_among_the_keys_opens_nothing_and_is_written_over() {
    let Some(server) = Server::start().await else { return };
    let (store, record, other) = (&server.store, key("one"), key("two"));
    for garbage in [["SET", RECORDS, "x"], ["SADD", RECORDS, "x"]] {
        server.ask::<Value>(&["DEL", RECORDS]).await;
        server.ask::<Value>(&garbage).await;
        assert_eq!((store.edition().await, store.all().await), (Ok(None), Ok(Vec::new())));
        store.write(std::slice::from_ref(&record)).await.unwrap();
        assert_eq!(find(&server, &[&record]).await, std::slice::from_ref(&record));
    }
    let stolen = serde_json::to_string(&serde_json::json!({ "version": 1, "key": other })).unwrap();
    let longer = "x".repeat(65 << 10);
    for garbage in ["\u{1}", "[]", r#"{"version":1}"#, r#"{"version":2,"key":{"revoked":1}}"#, &stolen, &longer] {
        server.ask::<Value>(&["HSET", RECORDS, record.id.as_str(), garbage]).await;
        assert_eq!(find(&server, &[&record]).await, [], "{garbage}");
        store.write(std::slice::from_ref(&record)).await.unwrap();
        assert_eq!(find(&server, &[&record]).await, std::slice::from_ref(&record), "{garbage}");
    }
    server.ask::<Value>(&["HSET", RECORDS, "#begun", "soon", "#changed", "never"]).await;
    assert_eq!(store.edition().await, Ok(None));
    store.write(&[revoked(&record, 5)]).await.unwrap();
    assert_eq!(find(&server, &[&record]).await, [revoked(&record, 5)]);
}

#[tokio::test]
async fn a_token_is_kept_by_its_digest_and_not_for_longer_than_it_lives() {
    let Some(server) = Server::start().await else { return };
    let token = Digest::of(&Secret::new("token"));
    server.store.lend(&token, &key("one").id, Duration::from_secs(60)).await.unwrap();
    let left: i64 = server.ask(&["PTTL", &format!("crosspoint:token:{}", String::from(token))]).await;
    assert!((1..=60_000).contains(&left), "{left} ms");
}
