//! One router of several, asked as a proxy asks it.

use anyhow::Context as _;
use futures_util::stream;
use proto::v1::placement_client::PlacementClient;
use proto::v1::session_update::Update;
use proto::v1::{Class, Ended, Held, PlaceReply, PlaceRequest, RefusalKind, Renewal, SessionUpdate, Work};
use serde::Deserialize;
use serde_json::Value;
use tonic::transport::Channel;
use uuid::Uuid;

use super::child::{Child, Start};
use super::{until, within};

#[derive(Debug, Deserialize)]
struct Ready {
    pid: u32,
    grpc: String,
    admin: String,
    metrics: String,
}

/// A node as `crosspoint node` announces it.
#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Where its engine is, and the metrics of both.
    pub(crate) engine: String,
}

/// Writes what a stream asks for.
pub(crate) fn asking(session: Uuid) -> PlaceRequest {
    PlaceRequest {
        session: session.to_string(),
        tenant: "dev".to_owned(),
        model: "sphinx-en-us".to_owned(),
        work: Work::Stream.into(),
        class: Class::New.into(),
        latency_limit_milliseconds: 300,
        audio_bytes_per_second: 32_000,
        ..PlaceRequest::default()
    }
}

/// A running router.
#[derive(Debug)]
pub(crate) struct Router {
    ready: Ready,
    placement: PlacementClient<Channel>,
    client: reqwest::Client,
    child: Child,
}

impl Router {
    /// Starts one on free ports, on this Redis.
    pub(crate) async fn start(redis: &str) -> anyhow::Result<Self> {
        Self::keeping(redis, "null").await
    }

    /// Starts one that keeps its records in a directory.
    pub(crate) async fn keeping(redis: &str, directory: &str) -> anyhow::Result<Self> {
        // The machine may be slower than a Redis is given by default.
        let store = format!("store: {{ redis: \"{redis}\", timeout: 5s, directory: {directory} }}");
        Self::configured(&store, "127.0.0.1:0").await
    }

    /// Starts one with more configuration, for agents and proxies at this address.
    pub(crate) async fn configured(yaml: &str, listen: &str) -> anyhow::Result<Self> {
        let yaml = format!(
            "{yaml}\nplacement: {{ slow_start: 1ms }}\nrouter: {{ listen: \"{listen}\", admin: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\" }}\n"
        );
        let (child, ready): (_, Ready) = Start::of(&["router"]).config(yaml).child().await?;
        let placement = PlacementClient::connect(format!("http://{}", ready.grpc)).await?;
        Ok(Self { ready, placement, client: reqwest::Client::builder().no_proxy().build()?, child })
    }

    /// Starts a node of many slots, whose engine hears as fast as it can, that reports to the first of these routers that
    /// takes its reports.
    pub(crate) async fn wide_node(name: &str, routers: &[String]) -> anyhow::Result<(Child, Node)> {
        let mut node =
            Start::of(&["node", "--engine", "synthetic", "--name", name, "--pool", "on-prem", "--slots", "60"]);
        for router in routers {
            node = node.with(&["--router", router]);
        }
        node.config("engine: { synthetic: { speed: 1000 } }").child().await
    }

    /// Starts a node of one slot that reports to this router, and to another one when this one dies.
    pub(crate) async fn node(&self, name: &str, other: &Self) -> anyhow::Result<(Child, Node)> {
        self.node_of(name, "1", other).await
    }

    /// Starts a node of so many slots.
    pub(crate) async fn node_of(&self, name: &str, slots: &str, other: &Self) -> anyhow::Result<(Child, Node)> {
        let [first, second] = [self, other].map(|router| format!("http://{}", router.ready.grpc));
        let arguments =
            ["--name", name, "--pool", "on-prem", "--slots", slots, "--router", &first, "--router", &second];
        Start::of(&["node", "--engine", "synthetic"]).with(&arguments).child().await
    }

    /// Returns where agents and proxies reach it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.ready.grpc)
    }

    /// Asks the admin API.
    pub(crate) async fn ask(&self, path: &str) -> anyhow::Result<Value> {
        let url = format!("http://{}/v1/{path}", self.ready.admin);
        Ok(within("answer of the admin API", self.client.get(url).send()).await??.json().await?)
    }

    /// Returns the record of a session once it is over, and its proxy has said why.
    pub(crate) async fn record(&self, session: &str) -> anyhow::Result<Value> {
        until("end of a session", async || {
            let record = self.ask(&format!("sessions/{session}")).await?;
            Ok((record["state"] == "ended" && record["reason"].is_string()).then_some(record))
        })
        .await
    }

    /// Returns its process.
    pub(crate) fn pid(&self) -> u32 {
        self.ready.pid
    }

    /// Returns where proxies reach it.
    pub(crate) fn grpc(&self) -> &str {
        &self.ready.grpc
    }

    /// Returns where its admin API is.
    pub(crate) fn admin(&self) -> &str {
        &self.ready.admin
    }

    /// Returns where its metrics are.
    pub(crate) fn metrics(&self) -> &str {
        &self.ready.metrics
    }

    /// Returns what it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.child.log()
    }

    /// Replaces its configuration file.
    pub(crate) fn rewrite(&self, yaml: &str) -> anyhow::Result<()> {
        self.child.rewrite(yaml)
    }

    /// Asks the admin API for a node once it serves.
    pub(crate) async fn serving(&self, node: &Node) -> anyhow::Result<Value> {
        until("serving node", async || {
            let view = self.view(node).await?;
            Ok(view.filter(|view| view["state"] == "serving" && view["silent"] == false))
        })
        .await
    }

    /// Asks the admin API how many leases there are on a node.
    pub(crate) async fn leases(&self, node: &Node) -> anyhow::Result<u64> {
        let view = self.view(node).await?.context("a node")?;
        view["leases"].as_u64().context("a count of leases")
    }

    async fn view(&self, node: &Node) -> anyhow::Result<Option<Value>> {
        let answer = self.ask("nodes").await?;
        let mut nodes = answer["nodes"].as_array().context("a list of nodes")?.iter();
        Ok(nodes.find(|view| view["node"] == node.name).cloned())
    }

    /// Asks the admin API who planned last, and how many nodes it wants in a pool.
    pub(crate) async fn planned(&self, pool: &str) -> anyhow::Result<Option<(String, u64)>> {
        let answer = self.client.get(format!("http://{}/v1/plan", self.ready.admin)).send().await?;
        if !answer.status().is_success() {
            return Ok(None);
        }
        let plan: Value = answer.json().await?;
        let part = plan["pools"].as_array().and_then(|parts| parts.iter().find(|part| part["pool"] == pool));
        let wanted = part.and_then(|part| part["wanted"].as_u64()).context("a pool in the plan")?;
        Ok(Some((plan["leader"].as_str().context("a leader")?.to_owned(), wanted)))
    }

    /// Returns where proxies and agents reach it, which is its name among the routers.
    pub(crate) fn name(&self) -> &str {
        &self.ready.grpc
    }

    /// Asks for a place and tells on which node, or why there is none.
    pub(crate) async fn place(&self, session: Uuid) -> anyhow::Result<Result<String, RefusalKind>> {
        self.place_as(asking(session)).await
    }

    /// Asks for a place in so many words.
    pub(crate) async fn place_as(&self, request: PlaceRequest) -> anyhow::Result<Result<String, RefusalKind>> {
        let PlaceReply { placements, refusal, .. } = self.placement.clone().place(request).await?.into_inner();
        Ok(match refusal {
            Some(refusal) => Err(refusal.kind()),
            None => Ok(placements.first().context("a placement or a refusal")?.node.clone()),
        })
    }

    /// Renews a session's lease.
    pub(crate) async fn renew(&self, session: Uuid, node: &Node) -> anyhow::Result<()> {
        let held = vec![Held { session: session.to_string(), node: node.name.clone(), file: None }];
        self.tell(Update::Renewal(Renewal { held, counted: Vec::new() })).await
    }

    /// Ends a session.
    pub(crate) async fn end(&self, session: Uuid, node: &Node) -> anyhow::Result<()> {
        let (session, node) = (session.to_string(), Some(node.name.clone()));
        self.tell(Update::Ended(Ended { session, node, reason: "completed".to_owned(), ..Ended::default() })).await
    }

    /// Tells one thing, and waits until it was heard.
    pub(crate) async fn tell(&self, update: Update) -> anyhow::Result<()> {
        let updates = stream::iter([SessionUpdate { update: Some(update) }]);
        let mut orders = self.placement.clone().sessions(updates).await?.into_inner();
        while orders.message().await?.is_some() {}
        Ok(())
    }
}
