//! A Redis of the run's own, to kill and to start again at the same address.

use std::io;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::super::ChaosError;
use super::broken;
use crate::kernel::Process;

const PORT: u16 = 6379;
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(20);
const TRY: Duration = Duration::from_millis(50);
/// Keys that a Redis has to load, at half a millisecond each, when it shall answer `LOADING` for a second or more.
const FILLER: &str = "for i = 1, 4000 do redis.call('SET', 'ballast' .. i, i) end";
const SLOW_LOAD: [&str; 4] = ["--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024"];

/// A running `redis-server`; dropping it kills it.
#[derive(Debug)]
pub(in crate::chaos) struct Redis {
    address: Ipv4Addr,
    process: Child,
    folder: TempDir,
}

impl Redis {
    pub(super) async fn start() -> Result<Self, ChaosError> {
        // A loopback address of the run's own: its port cannot be taken, nor while Redis is away.
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 28, high, low);
        let folder = tempfile::tempdir().map_err(broken("a folder for Redis"))?;
        let process = spawn(address, &folder, &[]).map_err(broken("redis-server"))?;
        let redis = Self { address, process, folder };
        redis.answers().await?;
        Ok(redis)
    }

    pub(super) fn url(&self) -> String {
        format!("redis://{}:{PORT}", self.address)
    }

    /// Returns its process, while it runs.
    pub(in crate::chaos) fn process(&self) -> Option<Process> {
        self.process.id().map(Process::new)
    }

    /// Kills it; what it knew is gone, unless it was saved.
    pub(in crate::chaos) async fn kill(&mut self) -> Result<(), ChaosError> {
        self.process.kill().await.map_err(broken("redis-server"))
    }

    /// Starts one in its place that knows nothing.
    pub(in crate::chaos) async fn start_empty(&mut self) -> Result<(), ChaosError> {
        let _ = std::fs::remove_file(self.folder.path().join("dump.rdb"));
        self.process = spawn(self.address, &self.folder, &[]).map_err(broken("redis-server"))?;
        self.answers().await
    }

    /// Saves what it knows, kills it, starts one in its place that takes two seconds to load that, and waits until it has.
    pub(in crate::chaos) async fn load_slowly(&mut self) -> Result<(), ChaosError> {
        self.order(&["EVAL", FILLER, "0"]).await?;
        self.order(&["SAVE"]).await?;
        self.kill().await?;
        self.process = spawn(self.address, &self.folder, &SLOW_LOAD).map_err(broken("redis-server"))?;
        self.answers().await?;
        let deadline = Instant::now() + ANSWER;
        while let Err(error) = self.order(&["FLUSHALL"]).await {
            if Instant::now() > deadline {
                return Err(error);
            }
            sleep(TRY).await;
        }
        Ok(())
    }

    /// Gives it a command and waits for its answer.
    pub(in crate::chaos) async fn order(&self, words: &[&str]) -> Result<(), ChaosError> {
        let told = timeout(ANSWER, self.tell(words)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        told.map_err(broken("redis-server"))
    }

    async fn tell(&self, words: &[&str]) -> io::Result<()> {
        let mut socket = TcpStream::connect((self.address, PORT)).await?;
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        socket.write_all(command.as_bytes()).await?;
        let mut answer = [0; 256];
        let len = socket.read(&mut answer).await?;
        let refused = || io::Error::other(String::from_utf8_lossy(&answer[..len]).trim().to_owned());
        if answer.starts_with(b"-") { Err(refused()) } else { Ok(()) }
    }

    async fn answers(&self) -> Result<(), ChaosError> {
        let deadline = Instant::now() + ANSWER;
        while let Err(source) = TcpStream::connect((self.address, PORT)).await {
            if Instant::now() > deadline {
                return Err(broken("redis-server")(source));
            }
            sleep(TRY).await;
        }
        Ok(())
    }
}

fn spawn(address: Ipv4Addr, folder: &TempDir, options: &[&str]) -> io::Result<Child> {
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
        .kill_on_drop(true)
        .spawn()
}
