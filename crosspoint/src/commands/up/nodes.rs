//! The nodes that `crosspoint up` starts: one child process each.

use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroU16};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use process::Shutdown;
use scheduler::Pool;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::admin::{Admin, AdminError, Nodes};
use crate::commands::engine::Voice;
use crate::terminal::note;

/// A node must say that it is ready within this time.
const START: Duration = Duration::from_secs(20);
/// How often the router is asked which nodes report.
const ASK: Duration = Duration::from_millis(50);

/// What is to be started.
pub(super) struct Plan {
    pub(super) pools: Vec<Pool>,
    pub(super) nodes: NonZeroU8,
    pub(super) slots: NonZeroU16,
    pub(super) engine: Voice,
    pub(super) router: String,
    pub(super) config: Option<PathBuf>,
    pub(super) log: String,
}

/// What a node says when it is ready.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) pool: String,
    pub(super) pid: u32,
    pub(super) engine: SocketAddr,
}

/// The nodes that were started. Dropping it closes their standard inputs, and they end.
pub(super) struct Fleet {
    nodes: Vec<Node>,
    children: Vec<Child>,
}

impl Fleet {
    /// Starts every node and waits until each says that it is ready.
    pub(super) async fn start(plan: &Plan) -> anyhow::Result<Self> {
        let mut children = Vec::new();
        for pool in &plan.pools {
            for number in 1..=plan.nodes.get() {
                children.push(plan.spawn(pool, number)?);
            }
        }
        let mut nodes = Vec::new();
        for child in &mut children {
            nodes.push(ready(child).await?);
        }
        Ok(Self { nodes, children })
    }

    /// Returns the nodes, pool by pool.
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Waits until the router counts every node as serving.
    pub(super) async fn reporting(&self, admin: SocketAddr, deadline: Duration) -> anyhow::Result<()> {
        let admin = Admin::at(&format!("http://{admin}"))?;
        let waiting = async {
            let mut ticks = tokio::time::interval(ASK);
            while serving(&admin).await.unwrap_or(0) < self.nodes.len() {
                ticks.tick().await;
            }
        };
        let late = || format!("not every node reported within {} s", deadline.as_secs());
        tokio::time::timeout(deadline, waiting).await.with_context(late)
    }

    /// Says so when a node dies before the drain. The nodes live as long as this process: open streams may end on them.
    pub(super) fn watch(self, shutdown: &Shutdown, nodes: &Shutdown) {
        for (node, mut child) in self.nodes.into_iter().zip(self.children) {
            let draining = shutdown.token();
            // Waiting for a child closes its standard input, which would end it: so the input is kept here.
            let input = child.stdin.take();
            nodes.spawn("node process", async move {
                let _input = input;
                let ended = child.wait().await;
                if !draining.is_cancelled() {
                    let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                    note(&format!("node {} (pid {}) is gone: {how}", node.name, node.pid));
                }
            });
        }
    }
}

impl Plan {
    fn spawn(&self, pool: &Pool, number: u8) -> anyhow::Result<Child> {
        let engine = match self.engine {
            Voice::Sphinx => "sphinx",
            Voice::Synthetic => "synthetic",
        };
        let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
        command
            .args(["node", "--json", "--child", "--engine", engine, "--router", &self.router])
            .args(["--pool", pool.name.as_str(), "--name", &format!("{}-{number}", pool.name)])
            .args(["--slots", &self.slots.to_string()])
            .args(["--link-round-trip", &humantime::format_duration(pool.link.round_trip).to_string()])
            .env("CROSSPOINT__LOGS__FILTER", &self.log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        command.spawn().context("cannot start a node")
    }
}

async fn ready(child: &mut Child) -> anyhow::Result<Node> {
    let Some(stdout) = child.stdout.take() else { bail!("a node has no standard output") };
    let mut line = String::new();
    let mut reader = BufReader::new(stdout);
    let read = tokio::time::timeout(START, reader.read_line(&mut line)).await;
    read.with_context(|| format!("a node was not ready within {} s", START.as_secs()))??;
    if line.is_empty() {
        bail!("a node could not start; its own words are above");
    }
    serde_json::from_str(&line).with_context(|| format!("a node said {line:?}"))
}

async fn serving(admin: &Admin) -> Result<usize, AdminError> {
    let Nodes { nodes } = admin.read(admin.get("/v1/nodes").await?)?;
    Ok(nodes.iter().filter(|node| node.state == "serving").count())
}
