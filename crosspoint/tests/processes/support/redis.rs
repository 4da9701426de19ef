//! A Redis of a test's own, to kill and to start again at the same address.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::child::kill;
use super::{until, within};

const PORT: u16 = 6379;

/// A running `redis-server`; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Redis {
    address: Ipv4Addr,
    process: std::process::Child,
    folder: TempDir,
}

impl Redis {
    /// Starts an empty one; none where there is no `redis-server`, which it says.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    pub(crate) async fn start() -> anyhow::Result<Option<Self>> {
        let address = free_address();
        let folder = tempfile::tempdir()?;
        match spawn(address, &folder, &[]) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("skipped: there is no redis-server here");
                Ok(None)
            }
            started => {
                let redis = Self { address, process: started.context("cannot start redis-server")?, folder };
                redis.answers().await?;
                Ok(Some(redis))
            }
        }
    }

    /// Returns where it is, as the configuration names it.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}:{PORT}", self.address)
    }

    /// Kills it; what it knew is gone.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        kill(self.process.id()).await?;
        self.process.wait()?;
        Ok(())
    }

    /// Starts an empty one in the place of the one that was killed.
    pub(crate) async fn start_again(&mut self) -> anyhow::Result<()> {
        self.process = spawn(self.address, &self.folder, &[])?;
        self.answers().await
    }

    /// Starts one in the place of the one that was killed, with more options, and does not wait for its answer.
    pub(crate) fn start_with(&mut self, options: &[&str]) -> anyhow::Result<()> {
        self.process = spawn(self.address, &self.folder, options)?;
        Ok(())
    }

    /// Returns where it keeps its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Gives it a command and returns its answer as text.
    pub(crate) async fn command(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut socket = within("connection to redis-server", TcpStream::connect((self.address, PORT))).await??;
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        socket.write_all(&command).await?;
        let mut answer = vec![0; 4096];
        let read = within("answer of redis-server", socket.read(&mut answer)).await??;
        Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
    }

    /// Gives it a command that must succeed.
    pub(crate) async fn order(&self, words: &[&str]) -> anyhow::Result<()> {
        let answer = self.command(words).await?;
        anyhow::ensure!(!answer.starts_with('-'), "{words:?}: {answer}");
        Ok(())
    }

    async fn answers(&self) -> anyhow::Result<()> {
        until("answer of redis-server", async || Ok(TcpStream::connect((self.address, PORT)).await.ok().map(drop)))
            .await
    }
}

/// Every test has a loopback address of its own, so that the port cannot be taken, nor while Redis is away.
pub(crate) fn free_address() -> Ipv4Addr {
    static TESTS: AtomicU8 = AtomicU8::new(32);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, TESTS.fetch_add(1, Ordering::Relaxed), high, low)
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(address: Ipv4Addr, folder: &TempDir, options: &[&str]) -> std::io::Result<std::process::Child> {
    Command::new("redis-server")
        .args([
            "--bind",
            &address.to_string(),
            "--port",
            &PORT.to_string(),
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
        ])
        .arg(folder.path())
        .args(options)
        .stdout(Stdio::null())
        .spawn()
}
