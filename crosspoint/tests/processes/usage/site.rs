//! A proxy, a router, a node and a Redis, each of which can die and come back where it was, with what it had on disk.

use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use super::{figure, total};
use crate::support::child::{Child, Start, kill};
use crate::support::redis::Redis;
use crate::support::until;
use crate::support::up::KEY;

#[derive(Debug, Deserialize)]
struct Ready {
    pid: u32,
}

#[derive(Debug, Deserialize)]
struct Node {}

/// Everything, at an address of its own, so that what dies comes back at the same ports.
pub(super) struct Site {
    pub(super) redis: Redis,
    address: Ipv4Addr,
    folder: TempDir,
    router: (Child, Ready),
    proxy: (Child, Ready),
    _node: Child,
    client: reqwest::Client,
}

fn free_address() -> Ipv4Addr {
    static TESTS: AtomicU8 = AtomicU8::new(160);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, TESTS.fetch_add(1, Ordering::Relaxed), high, low)
}

async fn router(address: Ipv4Addr, folder: &Path, redis: &str) -> anyhow::Result<(Child, Ready)> {
    let yaml = format!(
        "store: {{ redis: \"{redis}\", timeout: 5s, directory: \"{}\" }}\n\
         placement: {{ slow_start: 1ms }}\n\
         router: {{ listen: \"{address}:7400\", admin: \"{address}:7401\", metrics: \"{address}:7481\" }}\n",
        folder.display()
    );
    Start::of(&["router"]).config(yaml).child().await
}

async fn proxy(address: Ipv4Addr, folder: &Path) -> anyhow::Result<(Child, Ready)> {
    let yaml = format!(
        "store: {{ directory: \"{}\" }}\n\
         proxy:\n\
         \x20 listen: \"{address}:8080\"\n\
         \x20 metrics: \"{address}:7480\"\n\
         \x20 routers: [\"http://{address}:7400\"]\n\
         \x20 stream: {{ silence: 5min, stall: 5min }}\n",
        folder.display()
    );
    Start::of(&["proxy", "--dev-key", KEY]).config(yaml).child().await
}

impl Site {
    /// Starts everything; nothing where there is no Redis.
    pub(super) async fn start() -> anyhow::Result<Option<Self>> {
        let Some(redis) = Redis::start().await? else { return Ok(None) };
        let (address, folder) = (free_address(), TempDir::new()?);
        let router = router(address, folder.path(), &redis.url()).await?;
        let url = format!("http://{address}:7400");
        let arguments = ["--name", "only", "--pool", "aws-us-west-2", "--slots", "8", "--router", &url];
        let (node, Node {}) = Start::of(&["node", "--engine", "synthetic"])
            .with(&arguments)
            .config("engine: { idle: 5min }")
            .child()
            .await?;
        let proxy = proxy(address, folder.path()).await?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let site = Self { redis, address, folder, router, proxy, _node: node, client };
        site.serving().await?;
        Ok(Some(site))
    }

    async fn serving(&self) -> anyhow::Result<()> {
        until("serving node", async || {
            let nodes = self.ask("nodes").await?;
            Ok((nodes["nodes"][0]["state"] == "serving" && nodes["nodes"][0]["silent"] == false).then_some(()))
        })
        .await
    }

    /// Returns where callers call.
    pub(super) fn callers(&self) -> String {
        format!("{}:8080", self.address)
    }

    pub(super) async fn kill_router(&self) -> anyhow::Result<()> {
        kill(self.router.1.pid).await
    }

    pub(super) async fn kill_proxy(&self) -> anyhow::Result<()> {
        kill(self.proxy.1.pid).await
    }

    pub(super) async fn start_router(&mut self) -> anyhow::Result<()> {
        self.router = router(self.address, self.folder.path(), &self.redis.url()).await?;
        Ok(())
    }

    pub(super) async fn start_proxy(&mut self) -> anyhow::Result<()> {
        self.proxy = proxy(self.address, self.folder.path()).await?;
        Ok(())
    }

    /// Starts the proxy with its journal on another disk.
    pub(super) async fn start_proxy_on(&mut self, disk: &Disk) -> anyhow::Result<()> {
        self.proxy = proxy(self.address, &disk.path).await?;
        Ok(())
    }

    pub(super) fn proxy_log(&self) -> String {
        self.proxy.0.log()
    }

    async fn ask(&self, path: &str) -> anyhow::Result<Value> {
        let url = format!("http://{}:7401/v1/{path}", self.address);
        Ok(self.client.get(url).send().await?.json().await?)
    }

    pub(super) async fn costs(&self, by: &str) -> anyhow::Result<Value> {
        self.ask(&format!("costs?by={by}")).await
    }

    pub(super) async fn total(&self) -> anyhow::Result<Value> {
        Ok(total(&self.costs("pool").await?))
    }

    /// Waits until the store has charged so many bytes.
    pub(super) async fn charged(&self, bytes: usize) -> anyhow::Result<()> {
        until("charge", async || Ok((self.total().await?["bytes_in"] == bytes).then_some(()))).await
    }

    /// Waits until the router has heard that a session sent so many bytes.
    pub(super) async fn heard(&self, session: &str, bytes: usize) -> anyhow::Result<()> {
        until("usage of a session", async || {
            Ok((self.ask(&format!("sessions/{session}")).await?["bytes_in"] == bytes).then_some(()))
        })
        .await
    }

    /// Waits until the router holds charges that the store does not take.
    pub(super) async fn held(&self) -> anyhow::Result<()> {
        until("charges that are held", async || {
            let page = self.page(7481).await?;
            Ok((figure(&page, "crosspoint_router_charges_held ")? > 0.0).then_some(()))
        })
        .await
    }

    /// Waits until the proxy's journal says that some part of a session sent so many bytes.
    pub(super) async fn journalled(&self, bytes: usize) -> anyhow::Result<()> {
        let (journal, said) = (self.folder.path().join("proxy-usage.journal"), format!("\"bytes_in\":{bytes},"));
        until("record in the journal", async || Ok(fs::read_to_string(&journal)?.contains(&said).then_some(()))).await
    }

    /// Waits until a session is over, and checks why.
    pub(super) async fn ended(&self, session: &str, reason: &str) -> anyhow::Result<()> {
        let told = until("end of a session", async || {
            let told = self.ask(&format!("sessions/{session}")).await?;
            Ok((told["state"] == "ended").then_some(told))
        })
        .await?;
        anyhow::ensure!(told["reason"] == reason, "{told}");
        Ok(())
    }

    /// Waits until the proxy and the router have told the store everything.
    pub(super) async fn settled(&self) -> anyhow::Result<()> {
        until("settled books", async || {
            let waiting = figure(&self.page(7480).await?, "crosspoint_proxy_usage_records_waiting ")?;
            let held = figure(&self.page(7481).await?, "crosspoint_router_charges_held ")?;
            Ok((waiting == 0.0 && held == 0.0).then_some(()))
        })
        .await
    }

    /// Returns how many records met with something in the proxy's journal.
    pub(super) async fn records(&self, outcome: &str) -> anyhow::Result<u64> {
        let name = format!("crosspoint_proxy_usage_records_total{{outcome=\"{outcome}\"}} ");
        let page = self.page(7480).await?;
        let line = page.lines().find(|line| line.starts_with(&name)).context("a counter of records")?;
        Ok(line[name.len()..].parse()?)
    }

    async fn page(&self, port: u16) -> anyhow::Result<String> {
        Ok(self.client.get(format!("http://{}:{port}/metrics", self.address)).send().await?.text().await?)
    }
}

/// A disk of 256 KiB.
pub(super) struct Disk {
    path: PathBuf,
    _folder: TempDir,
}

impl Disk {
    /// Mounts one; nothing where that is not allowed, which it says.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    pub(super) fn small() -> anyhow::Result<Option<Self>> {
        let folder = TempDir::new()?;
        let path = folder.path().join("disk");
        fs::create_dir(&path)?;
        let disk = Self { path, _folder: folder };
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(&disk.path).output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Some(disk)),
            Ok(_) => {
                eprintln!("skipped: disks cannot be mounted here");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Leaves no room.
    pub(super) fn fill(&self) -> anyhow::Result<()> {
        match fs::write(self.path.join("filler"), vec![0; 1 << 20]) {
            Err(error) if error.kind() == ErrorKind::StorageFull => Ok(()),
            other => anyhow::bail!("expected a full disk, got {other:?}"),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
