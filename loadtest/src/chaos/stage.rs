//! The processes of a run: routers on one Redis, proxies, and nodes, each an engine and its agent behind a link of its own.

mod metadata;
mod node;
mod redis;
mod service;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

pub(super) use metadata::Word;
pub(super) use node::{Node, Part};
pub(super) use redis::Redis;
pub(super) use service::{Proxy, Router};

use super::ChaosError;
use super::link::Link;
use super::scenario::Scenario;
use crate::children::Children;
use crate::kernel::Process;

/// The key that callers show the proxies.
pub(super) const KEY: &str = "chaos";
/// The pools that nodes join in turn; both are in the default configuration.
const POOLS: [&str; 2] = ["on-prem", "coreweave-us-east"];
/// How long nodes may take to be known to every router, and how often that is looked at.
const KNOWN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// Everything that runs. What is locked is being broken or mended.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) redis: Option<Arc<Mutex<Redis>>>,
    pub(super) routers: Vec<Arc<Mutex<Router>>>,
    pub(super) proxies: Vec<Arc<Mutex<Proxy>>>,
    pub(super) nodes: Vec<Arc<Mutex<Node>>>,
    /// Where callers call, in the order of the proxies.
    pub(super) doors: Vec<String>,
    /// One for each node, in their order.
    pub(super) links: Vec<Arc<Link>>,
    client: reqwest::Client,
    /// Last, so that the processes are gone before their folder is.
    _children: Arc<Children>,
}

/// What the routers know of the nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Nodes that serve and are heard of.
    pub(super) serving: usize,
    /// Slots that are promised.
    pub(super) leases: u64,
    /// Slots that engines say are in use.
    pub(super) used: u64,
}

#[derive(Deserialize)]
struct NodesReply {
    nodes: Vec<NodeReply>,
}

#[derive(Deserialize)]
struct NodeReply {
    state: String,
    silent: bool,
    leases: u64,
    used_slots: u64,
}

impl Stage {
    /// Starts everything and waits until every router knows every node.
    pub(super) async fn start(binary: &Path, scenario: &Scenario, seed: u64) -> Result<Self, ChaosError> {
        let children = Arc::new(Children::of(binary)?);
        let redis = if scenario.wants_redis() { Some(Redis::start().await?) } else { None };
        let url = redis.as_ref().map(Redis::url);
        let mut routers = Vec::new();
        for number in 0..scenario.routers.get() {
            routers.push(Router::start(&children, number, url.as_deref()).await?);
        }
        let addresses: Vec<String> = routers.iter().map(Router::url).collect();
        let admins: Vec<String> = routers.iter().map(|router| router.admin().to_owned()).collect();
        let mut proxies = Vec::new();
        for number in 0..scenario.proxies.get() {
            proxies.push(Proxy::start(&children, number, (&addresses, url.as_deref())).await?);
        }
        let mut nodes = Vec::new();
        for number in 0..scenario.nodes.get() {
            let link = Arc::new(Link::open(scenario.links, seed ^ u64::from(number)).await.map_err(ChaosError::Link)?);
            let pool = POOLS[usize::from(number) % POOLS.len()];
            nodes.push(Node::start((&children, pool, number), link, (&addresses, &admins, scenario)).await?);
        }
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build();
        let stage = Self {
            redis: redis.map(|redis| Arc::new(Mutex::new(redis))),
            doors: proxies.iter().map(|proxy| proxy.address().to_owned()).collect(),
            links: nodes.iter().map(Node::link).collect(),
            routers: routers.into_iter().map(|router| Arc::new(Mutex::new(router))).collect(),
            proxies: proxies.into_iter().map(|proxy| Arc::new(Mutex::new(proxy))).collect(),
            nodes: nodes.into_iter().map(|node| Arc::new(Mutex::new(node))).collect(),
            client: client.map_err(ChaosError::Client)?,
            _children: children,
        };
        stage.known().await?;
        Ok(stage)
    }

    async fn known(&self) -> Result<(), ChaosError> {
        let deadline = Instant::now() + KNOWN;
        for router in &self.routers {
            let admin = router.lock().await.admin().to_owned();
            while self.count(&admin).await.is_none_or(|count| count.serving < self.nodes.len()) {
                if Instant::now() > deadline {
                    return Err(ChaosError::Unknown { seconds: KNOWN.as_secs() });
                }
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// Asks the first router that answers.
    pub(super) async fn leases(&self) -> Option<Count> {
        for router in &self.routers {
            let admin = router.lock().await.admin().to_owned();
            if let Some(count) = self.count(&admin).await {
                return Some(count);
            }
        }
        None
    }

    async fn count(&self, admin: &str) -> Option<Count> {
        let reply = self.client.get(format!("http://{admin}/v1/nodes")).send().await.ok()?;
        let NodesReply { nodes } = reply.json().await.ok()?;
        Some(nodes.iter().fold(Count::default(), |count, node| Count {
            serving: count.serving + usize::from(node.state == "serving" && !node.silent),
            leases: count.leases + node.leases,
            used: count.used + node.used_slots,
        }))
    }

    /// Lists the processes whose share of the processor counts: proxies and engines.
    pub(super) async fn throttled(&self) -> Vec<Process> {
        let mut processes = Vec::new();
        for proxy in &self.proxies {
            processes.extend(proxy.lock().await.process());
        }
        for node in &self.nodes {
            processes.extend(node.lock().await.engine());
        }
        processes
    }

    /// Counts the legs that sessions had beyond their first.
    pub(super) fn moves(&self) -> u64 {
        let mut sessions = HashMap::<String, u64>::new();
        for (session, legs) in self.links.iter().flat_map(|link| link.legs()) {
            *sessions.entry(session).or_default() += u64::from(legs);
        }
        sessions.values().map(|legs| legs - 1).sum()
    }
}

/// Why something of the stage cannot be started, stopped or spoken to.
pub(super) fn broken(what: &'static str) -> impl FnOnce(io::Error) -> ChaosError {
    move |source| ChaosError::Broken { what, source }
}
