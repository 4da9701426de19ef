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
use super::until;

#[derive(Debug, Deserialize)]
struct Ready {
    pid: u32,
    grpc: String,
    admin: String,
}

/// A node as `crosspoint node` announces it.
#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) name: String,
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
        // The machine may be slower than a Redis is given by default.
        let yaml = format!(
            "store: {{ redis: \"{redis}\", timeout: 5s }}\n\
             router: {{ listen: \"127.0.0.1:0\", admin: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\" }}\n"
        );
        let (child, ready): (_, Ready) = Start::of(&["router"]).config(yaml).child().await?;
        let placement = PlacementClient::connect(format!("http://{}", ready.grpc)).await?;
        Ok(Self { ready, placement, client: reqwest::Client::builder().no_proxy().build()?, child })
    }

    /// Starts a node of one slot that reports to this router, and to another one when this one dies.
    pub(crate) async fn node(&self, name: &str, other: &Self) -> anyhow::Result<(Child, Node)> {
        let [first, second] = [self, other].map(|router| format!("http://{}", router.ready.grpc));
        let arguments = ["--name", name, "--pool", "on-prem", "--slots", "1", "--router", &first, "--router", &second];
        Start::of(&["node", "--engine", "synthetic"]).with(&arguments).child().await
    }

    /// Returns its process.
    pub(crate) fn pid(&self) -> u32 {
        self.ready.pid
    }

    /// Returns what it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.child.log()
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
        let url = format!("http://{}/v1/nodes", self.ready.admin);
        let answer: Value = self.client.get(url).send().await?.json().await?;
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
        let request = PlaceRequest {
            session: session.to_string(),
            tenant: "dev".to_owned(),
            model: "sphinx-en-us".to_owned(),
            work: Work::Stream.into(),
            class: Class::New.into(),
            latency_limit_milliseconds: 300,
            audio_bytes_per_second: 32_000,
            ..PlaceRequest::default()
        };
        let PlaceReply { placements, refusal, .. } = self.placement.clone().place(request).await?.into_inner();
        Ok(match refusal {
            Some(refusal) => Err(refusal.kind()),
            None => Ok(placements.first().context("a placement or a refusal")?.node.clone()),
        })
    }

    /// Renews a session's lease.
    pub(crate) async fn renew(&self, session: Uuid, node: &Node) -> anyhow::Result<()> {
        let held = vec![Held { session: session.to_string(), node: node.name.clone() }];
        self.tell(Update::Renewal(Renewal { held })).await
    }

    /// Ends a session.
    pub(crate) async fn end(&self, session: Uuid, node: &Node) -> anyhow::Result<()> {
        let (session, node) = (session.to_string(), Some(node.name.clone()));
        self.tell(Update::Ended(Ended { session, node, reason: "completed".to_owned(), ..Ended::default() })).await
    }

    /// Tells one thing, and waits until it was heard.
    async fn tell(&self, update: Update) -> anyhow::Result<()> {
        let updates = stream::iter([SessionUpdate { update: Some(update) }]);
        let mut orders = self.placement.clone().sessions(updates).await?.into_inner();
        while orders.message().await?.is_some() {}
        Ok(())
    }
}
