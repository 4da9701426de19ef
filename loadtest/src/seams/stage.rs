//! The processes: a router, a proxy, and two nodes with the real engine, of which one is killed now and then.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::SeamsError;
use crate::children::{Child, ChildError, Children, NodeReady, ProxyReady, RouterReady};

/// The key that callers show the proxy.
pub(super) const KEY: &str = "seams";
/// The pool of the default configuration that the nodes join.
const POOL: &str = "on-prem";
const NODES: usize = 2;
/// How long nodes may take to be known, a session to be known, and how often that is looked at.
const KNOWN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
const FAREWELL: Duration = Duration::from_secs(10);

/// Everything that runs.
pub(super) struct Stage {
    router: Child<RouterReady>,
    proxy: Child<ProxyReady>,
    nodes: Vec<Option<Child<NodeReady>>>,
    client: reqwest::Client,
    config: String,
    /// Last, so that the processes are gone before their folder is.
    children: Children,
}

#[derive(Deserialize)]
struct Nodes {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    node: String,
    address: String,
    state: String,
    silent: bool,
}

#[derive(Deserialize)]
struct Session {
    node: Option<String>,
    state: String,
    epoch: u32,
}

impl Stage {
    /// Starts everything and waits until the nodes are known.
    pub(super) async fn start(binary: &Path) -> Result<Self, SeamsError> {
        let children = Children::of(binary)?;
        let config = write_config(&children, "router.yaml", "http://127.0.0.1:0")?;
        let router: Child<RouterReady> =
            children.start("router", &["router", "--config", &config, "--json", "--child"]).await?;
        let config = write_config(&children, "crosspoint.yaml", &format!("http://{}", router.ready().grpc))?;
        let proxy = ["proxy", "--config", &config, "--dev-key", KEY, "--json", "--child"];
        let proxy = children.start("proxy", &proxy).await?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let nodes = (0..NODES).map(|_| None).collect();
        let mut stage = Self { router, proxy, nodes, client, config, children };
        stage.mend().await?;
        Ok(stage)
    }

    /// Returns where callers call.
    pub(super) fn door(&self) -> &str {
        &self.proxy.ready().address
    }

    /// Returns where the engine of a node listens.
    pub(super) fn engine(&self) -> &str {
        let first = self.nodes.iter().flatten().next();
        first.map_or("", |node| &node.ready().engine)
    }

    /// Returns the node that serves a session.
    pub(super) async fn serving(&self, session: &str) -> Result<usize, SeamsError> {
        let url = format!("http://{}/v1/sessions/{session}", self.router.ready().admin);
        let deadline = Instant::now() + KNOWN;
        while Instant::now() < deadline {
            if let Ok(Session { node: Some(node), state, .. }) = self.client.get(&url).send().await?.json().await
                && state == "live"
            {
                let serves =
                    |child: &Option<Child<NodeReady>>| child.as_ref().is_some_and(|child| child.ready().name == node);
                return self.nodes.iter().position(serves).ok_or(SeamsError::Unknown(KNOWN));
            }
            sleep(LOOK).await;
        }
        Err(SeamsError::Unknown(KNOWN))
    }

    /// Returns how many nodes a session has had.
    pub(super) async fn legs(&self, session: &str) -> Result<u32, SeamsError> {
        let url = format!("http://{}/v1/sessions/{session}", self.router.ready().admin);
        let Session { epoch, .. } = self.client.get(&url).send().await?.json().await?;
        Ok(epoch)
    }

    /// Kills a node.
    pub(super) async fn kill(&mut self, node: usize) -> Result<(), SeamsError> {
        if let Some(child) = self.nodes.get_mut(node).and_then(Option::take) {
            child.kill().await?;
        }
        Ok(())
    }

    /// Starts nodes that do not run, and waits until all are known.
    pub(super) async fn mend(&mut self) -> Result<(), SeamsError> {
        let url = format!("http://{}", self.router.ready().grpc);
        for (number, node) in self.nodes.iter_mut().enumerate() {
            if node.is_none() {
                let name = format!("seams-{number}");
                let arguments = ["node", "--json", "--child", "--config", &self.config, "--router", &url, "--engine"];
                let arguments = [&arguments[..], &["sphinx", "--slots", "2", "--pool", POOL, "--name", &name]].concat();
                *node = Some(self.children.start(&name, &arguments).await?);
            }
        }
        self.known().await
    }

    async fn known(&self) -> Result<(), SeamsError> {
        let deadline = Instant::now() + KNOWN;
        let url = format!("http://{}/v1/nodes", self.router.ready().admin);
        while Instant::now() < deadline {
            let Nodes { nodes } = self.client.get(&url).send().await?.json().await?;
            if self.nodes.iter().flatten().all(|child| nodes.iter().any(|node| node.is(child.ready()))) {
                return Ok(());
            }
            sleep(LOOK).await;
        }
        Err(SeamsError::Unknown(KNOWN))
    }

    /// Adds to an error what the proxy has logged.
    pub(super) fn explain(&self, error: SeamsError) -> SeamsError {
        match error {
            SeamsError::Broken { what, .. } => SeamsError::Broken { what, log: self.proxy.log_tail() },
            other => other,
        }
    }

    /// Ends the processes, callers' side first.
    pub(super) async fn stop(self) -> Result<(), ChildError> {
        self.proxy.stop(FAREWELL).await?;
        for node in self.nodes.into_iter().flatten() {
            node.stop(FAREWELL).await?;
        }
        self.router.stop(FAREWELL).await.map(drop)
    }
}

impl Node {
    /// Tells whether this is what a node that has just been started says of itself.
    fn is(&self, ready: &NodeReady) -> bool {
        let serves = self.state == "serving" && !self.silent;
        self.node == ready.name && self.address == ready.engine && serves
    }
}

/// Writes the configuration of all roles.
fn write_config(children: &Children, name: &str, router: &str) -> Result<String, SeamsError> {
    let text = format!(
        "router: {{ listen: 127.0.0.1:0, admin: 127.0.0.1:0, metrics: 127.0.0.1:0 }}\n\
         proxy: {{ listen: 127.0.0.1:0, metrics: 127.0.0.1:0, routers: [{router}], latency_limit: 5s }}\n\
         placement: {{ slow_start: 1ms }} # a node is started again for every cut\n\
         logs: {{ filter: warn }}\n"
    );
    Ok(children.write(name, &text)?.display().to_string())
}
