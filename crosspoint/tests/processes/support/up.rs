//! `crosspoint up` with the synthetic engine, and what its router says of nodes and sessions.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

use super::child::{Child, Start, is_gone, kill, signal};
use super::http::Door;
use super::until;

/// The key that opens the proxy.
pub(crate) const KEY: &str = "cp_test_key";

/// A lease that is not given back expires after 15 s; what is given back is free long before.
const LEASE: Duration = Duration::from_secs(12);

/// A node, as `up` announces it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) pool: String,
    pid: u32,
}

#[derive(Debug, Deserialize)]
struct Ready {
    pid: u32,
    address: String,
    admin: String,
    metrics: String,
    nodes: Vec<Node>,
}

/// Everything, running.
#[derive(Debug)]
pub(crate) struct Up {
    ready: Ready,
    client: reqwest::Client,
    child: Child,
}

impl Up {
    /// Starts `up` with more arguments.
    pub(crate) async fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        Self::configured("{}", arguments).await
    }

    /// Starts `up` with a configuration and more arguments.
    pub(crate) async fn configured(yaml: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let up = ["up", "--engine", "synthetic", "--port", "0", "--dev-key", KEY];
        let (child, ready) = Start::of(&up).with(arguments).config(yaml).child().await?;
        Ok(Self { ready, client: reqwest::Client::builder().no_proxy().build()?, child })
    }

    /// Returns where its router's admin API is.
    pub(crate) fn admin(&self) -> &str {
        &self.ready.admin
    }

    /// Returns the nodes of a pool.
    pub(crate) fn pool(&self, pool: &str) -> Vec<&Node> {
        self.ready.nodes.iter().filter(|node| node.pool == pool).collect()
    }

    /// Returns every node.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.ready.nodes
    }

    /// Finds a node by its name.
    pub(crate) fn node(&self, name: &str) -> anyhow::Result<&Node> {
        self.ready.nodes.iter().find(|node| node.name == name).with_context(|| format!("no node {name:?}"))
    }

    /// Kills a node.
    pub(crate) async fn kill(&self, node: &Node) -> anyhow::Result<()> {
        kill(node.pid).await
    }

    /// Stops a node as an overloaded host does: it keeps its connections and says nothing.
    pub(crate) async fn freeze(&self, node: &Node) -> anyhow::Result<()> {
        signal(node.pid, "STOP").await
    }

    /// Lets a node that was stopped go on.
    pub(crate) async fn thaw(&self, node: &Node) -> anyhow::Result<()> {
        signal(node.pid, "CONT").await
    }

    /// Returns the most memory that the proxy with its router, and that each engine has had resident, in bytes.
    pub(crate) fn peaks(&self) -> anyhow::Result<(u64, Vec<u64>)> {
        let engines = self.ready.nodes.iter().map(|node| peak(node.pid)).collect::<anyhow::Result<_>>()?;
        Ok((peak(self.ready.pid)?, engines))
    }

    /// Ends `up` by closing its standard input and tells whether it was a success; no node may be left behind.
    pub(crate) async fn close(self) -> anyhow::Result<bool> {
        let ended = self.child.close().await?;
        nobody_left(&self.ready.nodes).await?;
        Ok(ended.success())
    }

    /// Kills `up` itself; no node may be left behind.
    pub(crate) async fn crash(self) -> anyhow::Result<()> {
        kill(self.ready.pid).await?;
        nobody_left(&self.ready.nodes).await
    }

    /// Asks the router.
    pub(crate) async fn ask(&self, path: &str) -> anyhow::Result<Value> {
        let url = format!("http://{}/v1/{path}", self.ready.admin);
        Ok(self.client.get(url).send().await?.json().await?)
    }

    /// Returns the record of a session once it is over.
    pub(crate) async fn record(&self, session: &str) -> anyhow::Result<Value> {
        until("end of a session", async || {
            let record = self.ask(&format!("sessions/{session}")).await?;
            Ok((record["state"] == "ended").then_some(record))
        })
        .await
    }

    /// Returns the node that serves a live session.
    pub(crate) async fn serving(&self, session: &str) -> anyhow::Result<&Node> {
        let name = until("live session", async || {
            let record = self.ask(&format!("sessions/{session}")).await?;
            Ok(record["node"].as_str().filter(|_| record["state"] == "live").map(str::to_owned))
        })
        .await?;
        self.node(&name)
    }

    /// Waits for a node that hears something, by its own report.
    pub(crate) async fn busy(&self) -> anyhow::Result<&Node> {
        let name = until("busy node", async || {
            let answer = self.ask("nodes").await?;
            let mut nodes = answer["nodes"].as_array().context("a list of nodes")?.iter();
            let busy = nodes.find(|node| node["used_slots"] != 0);
            Ok(busy.and_then(|node| node["node"].as_str()).map(str::to_owned))
        })
        .await?;
        self.node(&name)
    }

    /// Waits until no node is held by a session, by the router's count, nor hears one, by its own last report. The
    /// last report of the dead does not count. A lease that was not given back but expired, after 15 s, is an error.
    pub(crate) async fn idle(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        until("idle fleet", async || {
            let answer = self.ask("nodes").await?;
            let mut nodes = answer["nodes"].as_array().context("a list of nodes")?.iter();
            let is_dead =
                |view: &Value| self.ready.nodes.iter().any(|node| view["node"] == node.name && is_gone(node.pid));
            let idle = nodes.all(|view| view["leases"] == 0 && (view["used_slots"] == 0 || is_dead(view)));
            Ok(idle.then_some(()))
        })
        .await?;
        anyhow::ensure!(began.elapsed() < LEASE, "idle only after {:?}", began.elapsed());
        Ok(())
    }

    /// Returns how many sessions of a kind of work ended for a reason, by the proxy's count.
    pub(crate) async fn ended(&self, work: &str, reason: &str) -> anyhow::Result<u64> {
        let page = self.client.get(format!("http://{}/metrics", self.ready.metrics)).send().await?.text().await?;
        let labels = [format!("work=\"{work}\""), format!("reason=\"{reason}\"")];
        let mut lines = page.lines().filter(|line| line.starts_with("crosspoint_proxy_sessions_total{"));
        let line = lines.find(|line| labels.iter().all(|label| line.contains(label)));
        let count = line.and_then(|line| line.rsplit(' ').next()).context("a counter of sessions")?;
        Ok(count.parse()?)
    }
}

/// Reads the most memory that a process has had resident, in bytes.
fn peak(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no peak of memory")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024)
}

impl Door for Up {
    fn address(&self) -> &str {
        &self.ready.address
    }
}

async fn nobody_left(nodes: &[Node]) -> anyhow::Result<()> {
    until("end of every node", async || Ok(nodes.iter().all(|node| is_gone(node.pid)).then_some(()))).await
}
