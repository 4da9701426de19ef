//! A node: an engine and its agent, as two processes, and the link that proxies go by.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::super::ChaosError;
use super::super::fault::Fault;
use super::super::link::Link;
use super::super::scenario::Scenario;
use super::broken;
use super::metadata::Metadata;
use super::service::start;
use crate::children::{Child, Children};
use crate::kernel::{Process, Signal};

/// How long an engine may go on with what it has.
const FAREWELL: Duration = Duration::from_secs(40);
/// How long before its end a host's cloud says so, where it never does.
const NOTICE: Duration = Duration::from_secs(30);
/// How long a router may take to obey.
const ORDERED: Duration = Duration::from_secs(5);
/// The fewest slots of a node.
const SLOTS: usize = 4;

/// What an engine says when it is ready.
#[derive(Clone, Debug, Deserialize)]
struct EngineReady {
    address: std::net::SocketAddr,
}

/// What an agent says when it is ready.
#[derive(Clone, Debug, Deserialize)]
struct AgentReady {}

/// Which processes of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::chaos) enum Part {
    Whole,
    Agent,
}

/// A running node.
#[derive(Debug)]
pub(in crate::chaos) struct Node {
    name: String,
    pool: &'static str,
    link: Arc<Link>,
    routers: String,
    /// Where routers take an operator's orders.
    admins: Vec<String>,
    metadata: Metadata,
    /// How long before its end the cloud says so.
    notice: Duration,
    engine_config: String,
    engine: Option<Child<EngineReady>>,
    agent: Option<Child<AgentReady>>,
    children: Arc<Children>,
}

impl Node {
    pub(super) async fn start(
        (children, pool, number): (&Arc<Children>, &'static str, u8),
        link: Arc<Link>,
        (routers, admins, scenario): (&[String], &[String], &Scenario),
    ) -> Result<Self, ChaosError> {
        let mut node = Self {
            name: format!("node-{number}"),
            pool,
            link,
            routers: routers.join(", "),
            admins: admins.to_vec(),
            metadata: Metadata::open().await.map_err(broken("a metadata server"))?,
            notice: scenario.faults.get(&Fault::SpotNotice).map_or(NOTICE, |dose| dose.lasts),
            engine_config: engine_config(scenario),
            engine: None,
            agent: None,
            children: Arc::clone(children),
        };
        node.start_again(Part::Whole).await?;
        Ok(node)
    }

    /// Returns the link to it.
    pub(in crate::chaos) fn link(&self) -> Arc<Link> {
        Arc::clone(&self.link)
    }

    /// Names it.
    pub(in crate::chaos) fn name(&self) -> &str {
        &self.name
    }

    /// Returns what its host is told by the cloud.
    pub(in crate::chaos) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Gives an operator's order for it, to the first router that takes it.
    pub(in crate::chaos) async fn order(&self, order: &str) -> Result<(), ChaosError> {
        let client = reqwest::Client::builder().no_proxy().timeout(ORDERED).build().map_err(ChaosError::Client)?;
        let mut refused = io::Error::from(io::ErrorKind::NotConnected);
        for admin in &self.admins {
            let url = format!("http://{admin}/v1/nodes/{}/{order}", self.name);
            let answer = client.post(url).header("content-type", "application/json").body("{}").send().await;
            match answer.and_then(reqwest::Response::error_for_status) {
                Ok(_) => return Ok(()),
                Err(error) => refused = io::Error::other(error),
            }
        }
        Err(broken("an operator's order")(refused))
    }

    /// Returns the process of its engine, while it runs.
    pub(in crate::chaos) fn engine(&self) -> Option<Process> {
        self.engine.as_ref().and_then(Child::process)
    }

    /// Starts what does not run.
    pub(in crate::chaos) async fn start_again(&mut self, part: Part) -> Result<(), ChaosError> {
        if part == Part::Whole {
            let name = format!("{}-engine", self.name);
            let engine: Child<EngineReady> =
                start(&self.children, &name, (&["engine", "--voice", "synthetic"], &self.engine_config)).await?;
            self.link.lead_to(engine.ready().address);
            self.engine = Some(engine);
        }
        let name = format!("{}-agent", self.name);
        self.agent = Some(start(&self.children, &name, (&["agent"], &self.agent_config())).await?);
        Ok(())
    }

    fn agent_config(&self) -> String {
        let engine = self.engine.as_ref().map(|engine| engine.ready().address);
        let Self { name, pool, routers, link, .. } = self;
        let (metadata, notice) = (self.metadata.url(), humantime::format_duration(self.notice));
        format!(
            "agent:\n  node: {name}\n  pool: {pool}\n  routers: [{routers}]\n  engine: {{ url: \"http://{}\" }}\n  \
             advertise: \"{}\"\n  gpus: simulated\n  metrics: null\n  \
             notices: {{ cloud: gcp, url: \"{metadata}\", gcp_warning: {notice} }}\nlogs: {{ filter: warn }}\n",
            engine.unwrap_or_else(|| link.address()),
            link.address()
        )
    }

    /// Kills it, or a part of it.
    pub(in crate::chaos) async fn kill(&mut self, part: Part) -> Result<(), ChaosError> {
        if let Some(engine) = self.engine.take_if(|_| part == Part::Whole) {
            engine.kill().await?;
        }
        if let Some(agent) = self.agent.take() {
            agent.kill().await?;
        }
        Ok(())
    }

    /// Asks both to end, and waits until they have; what goes on too long is killed.
    pub(in crate::chaos) async fn drain(&mut self) -> Result<(), ChaosError> {
        if let Some(agent) = self.agent.take() {
            agent.stop(FAREWELL).await?;
        }
        if let Some(engine) = self.engine.take() {
            engine.stop(FAREWELL).await?;
        }
        Ok(())
    }

    /// Stops it, or a part of it, or lets it go on.
    pub(in crate::chaos) fn signal(&self, part: Part, signal: Signal) -> Result<(), ChaosError> {
        let engine = self.engine().filter(|_| part == Part::Whole);
        let agent = self.agent.as_ref().and_then(Child::process);
        for process in engine.into_iter().chain(agent) {
            process.signal(signal)?;
        }
        Ok(())
    }
}

fn engine_config(scenario: &Scenario) -> String {
    let (streams, nodes) = (usize::from(scenario.streams.get()), usize::from(scenario.nodes.get()));
    let slots = (2 * streams).div_ceil(nodes).max(SLOTS);
    let hearing = scenario.engine;
    format!(
        "engine:\n  listen: \"127.0.0.1:0\"\n  slots: {slots}\n  synthetic: {{ speed: {}, latency: {}, jitter: {} }}\n\
         logs: {{ filter: warn }}\n",
        hearing.speed,
        humantime::format_duration(hearing.latency),
        humantime::format_duration(hearing.jitter)
    )
}
