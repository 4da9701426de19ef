//! A real Redis for one test, and what only a Redis can do wrong.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use crosspoint_store::{Claim, Cursor, Leases, Lock, Redis, RedisUrl, Reports, StoreAway, Token, Turn};
use deadpool_redis::redis::{Client, Cmd, FromRedisValue, Script, Value, cmd};
use scheduler::Timestamp;
use tempfile::TempDir;

use super::{Bench, LEASE_LIFE, aged, lead, node, publish, published, read, session};

/// Patience for a machine that builds beside the tests.
const PATIENCE: Duration = Duration::from_secs(20);

/// A `redis-server` of this test's own; dropping it kills it.
pub(crate) struct Server {
    store: Redis,
    url: String,
    process: Child,
    _folder: TempDir,
}

impl Server {
    /// Starts an empty one, or says why there is none.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    pub(crate) async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let started = Command::new("redis-server")
            .args(["--bind", &address.to_string(), "--port", "6379", "--save", "", "--appendonly", "no"])
            .args(["--enable-debug-command", "yes", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn();
        let process = match started {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("skipped: there is no redis-server here");
                return None;
            }
            started => started.unwrap(),
        };
        let url = format!("redis://{address}:6379");
        let store = Redis::new(&RedisUrl::try_from(url.clone()).unwrap(), PATIENCE).unwrap();
        let server = Self { store, url, process, _folder: folder };
        server.answers().await;
        Some(server)
    }

    async fn answers(&self) {
        let end = Instant::now() + PATIENCE;
        while self.try_ask::<Value>(&cmd("PING")).await.is_err() {
            assert!(Instant::now() < end, "redis-server does not answer");
            tokio::task::yield_now().await;
        }
    }

    async fn try_ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, deadpool_redis::redis::RedisError> {
        let mut connection = Client::open(self.url.as_str())?.get_multiplexed_async_connection().await?;
        command.query_async(&mut connection).await
    }

    async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = Cmd::new();
        words.iter().for_each(|word| {
            command.arg(*word);
        });
        self.try_ask(&command).await.unwrap()
    }

    /// Prepares a store that gives up soon.
    fn impatient(&self) -> Redis {
        Redis::new(&RedisUrl::try_from(self.url.clone()).unwrap(), Duration::from_millis(50)).unwrap()
    }
}

/// Every test has a loopback address of its own, so that ports cannot be taken.
fn free_address() -> Ipv4Addr {
    static TESTS: AtomicU8 = AtomicU8::new(64);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, TESTS.fetch_add(1, Ordering::Relaxed), high, low)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Time passes in Redis when everything that was written there becomes older.
const AGE: &str = "
for _, pattern in ipairs({ 'crosspoint:*:leases', 'crosspoint:*:times' }) do
  for _, key in ipairs(redis.call('KEYS', pattern)) do
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do redis.call('ZINCRBY', key, -ARGV[1], member) end
  end
end
for _, key in ipairs(redis.call('KEYS', 'crosspoint:*:lock')) do
  for _, field in ipairs({ 'until', 'at' }) do
    if redis.call('HEXISTS', key, field) == 1 then redis.call('HINCRBY', key, field, -ARGV[1]) end
  end
end";

#[async_trait]
impl Bench for Server {
    fn leases(&self) -> &dyn Leases {
        &self.store
    }

    fn reports(&self) -> &dyn Reports {
        &self.store
    }

    fn locks(&self) -> &dyn Lock {
        &self.store
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO
    }

    async fn pass(&mut self, time: Duration) {
        let client = Client::open(self.url.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let milliseconds = u64::try_from(time.as_millis()).unwrap();
        Script::new(AGE).arg(milliseconds).invoke_async::<()>(&mut connection).await.unwrap();
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
        assert_eq!(store.count(&node(), now).await, Ok(0));
        server.ask::<Value>(&garbage).await;
        assert_eq!(store.claim(&node(), session(1), 1, now).await, Ok(Claim::Held));
    }
    server.ask::<Value>(&["ZADD", "crosspoint:{aws-1}:leases", "inf", "nobody", "1e300", "no one"]).await;
    assert_eq!(store.count(&node(), now).await, Ok(1));

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
        let StoreAway(cause) = server.store.claim(&node(), session(1), 1, server.now()).await.unwrap_err();
        assert!(cause.to_uppercase().contains(word), "{cause:?} instead of {word}");
        server.ask::<Value>(&split(end)).await;
        assert_eq!(server.store.claim(&node(), session(1), 1, server.now()).await, Ok(Claim::Held));
    }
}

#[tokio::test]
async fn a_redis_out_of_memory_still_keeps_leases_and_reports() {
    let Some(server) = Server::start().await else { return };
    let (store, now) = (&server.store, server.now());
    server.ask::<Value>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    // Scripts that free before they write are let through, and what they write is bounded by nodes and slots.
    assert_eq!(store.claim(&node(), session(1), 1, now).await, Ok(Claim::Held));
    assert_eq!(store.claim(&node(), session(2), 1, now).await, Ok(Claim::Full));
    store.put(&[aged("aws-1", 1, Duration::ZERO)], now).await.unwrap();
    assert_eq!(read(&server, Cursor::default()).await.0.len(), 1);
}

#[tokio::test]
async fn a_redis_that_hangs_costs_five_short_waits_and_then_none() {
    let Some(server) = Server::start().await else { return };
    let store = server.impatient();
    let stopped = Command::new("/bin/sh").args(["-c", &format!("kill -STOP {}", server.process.id())]).status();
    assert!(stopped.unwrap().success());
    let mut causes = Vec::new();
    let began = Instant::now();
    for _ in 0..100 {
        causes.push(store.renew(&node(), session(1), server.now()).await.unwrap_err().0);
    }
    let waited = causes.iter().filter(|cause| *cause != "redis did not answer lately").count();
    assert!(waited >= 5 && waited <= 5 + usize::try_from(began.elapsed().as_secs()).unwrap(), "{causes:?}");
    assert!(LEASE_LIFE > began.elapsed());
}
