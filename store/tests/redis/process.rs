//! One `redis-server` process.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, FromRedisValue, RedisResult, Value};
use tempfile::TempDir;

/// Patience for a machine that builds beside the tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A process at an address of its own; dropping it kills it.
pub(crate) struct Process {
    pub(crate) address: Ipv4Addr,
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl Process {
    /// Starts an empty server with more options, or says that there is no `redis-server`.
    pub(crate) fn start(address: Ipv4Addr, options: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let here = address.to_string();
        let mut command = Command::new("redis-server");
        command.args(["--bind", &here, "--port", "6379", "--save", "", "--appendonly", "no", "--dir"]);
        let child = spawn(command.arg(folder.path()).args(options))?;
        Some(Self { address, port: 6379, child, _folder: folder })
    }

    /// Starts a sentinel with these lines of configuration.
    pub(crate) fn sentinel(address: Ipv4Addr, lines: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.conf");
        std::fs::write(&file, format!("bind {address}\nport 26379\n{lines}")).unwrap();
        let child = spawn(Command::new("redis-server").arg(file).arg("--sentinel"))?;
        Some(Self { address, port: 26379, child, _folder: folder })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}:{}", self.address, self.port)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) async fn answers(&self) {
        until("answer", async || self.try_ask::<Value>(&["PING"]).await.is_ok()).await;
    }

    pub(crate) async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        Client::open(self.url())?.get_multiplexed_async_connection().await
    }

    pub(crate) async fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let mut command = Cmd::new();
        words.iter().for_each(|word| {
            command.arg(*word);
        });
        command.query_async(&mut self.connection().await?).await
    }

    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).await.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn spawn(command: &mut Command) -> Option<Child> {
    match command.stdout(Stdio::null()).spawn() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: there is no redis-server here");
            None
        }
        started => Some(started.unwrap()),
    }
}

/// Every process has a loopback address of its own, so that ports cannot be taken.
pub(crate) fn free_address() -> Ipv4Addr {
    static TAKEN: AtomicU8 = AtomicU8::new(64);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, TAKEN.fetch_add(1, Ordering::Relaxed), high, low)
}

/// Looks until it is so.
pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    while !so().await {
        assert!(Instant::now() < end, "no {what} within {PATIENCE:?}");
        looks.tick().await;
    }
}
