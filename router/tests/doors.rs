//! A real router on free ports: an agent reports, a proxy asks and tells, people look.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crosspoint_router::{App, Config, Policy};
use process::Shutdown;
use proto::v1::agents_client::AgentsClient;
use proto::v1::placement_client::PlacementClient;
use proto::v1::session_update::Update;
use proto::v1::{self, NodeReport, PlaceRequest, SessionUpdate};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

const SESSION: &str = "6e4d2a35-2f4b-4c7e-9e0a-5f5e0b6f1c11";

struct Running {
    shutdown: Shutdown,
    grpc: String,
    admin: String,
    reports: Option<mpsc::Sender<NodeReport>>,
}

impl Running {
    async fn start() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = Config { listen: free, admin: free, metrics: free, ..Config::default() };
        let app: App = config.build(policy(), Arc::new(store::Embedded::new()), None).await.unwrap();
        let shutdown = Shutdown::new();
        let (grpc, admin) = (format!("http://{}", app.grpc_address()), format!("http://{}", app.admin_address()));
        shutdown.spawn("router", app.run(shutdown.clone()));
        Self { shutdown, grpc, admin, reports: None }
    }

    async fn report(&mut self, report: NodeReport) -> Result<(), tonic::Status> {
        let (reports, receiver) = mpsc::channel(4);
        reports.send(report).await.unwrap();
        let mut client = AgentsClient::connect(self.grpc.clone()).await.unwrap();
        let mut orders = client.report(ReceiverStream::new(receiver)).await?.into_inner();
        orders.message().await?.unwrap();
        self.reports = Some(reports);
        // Either the router refuses the report on this stream, or the node appears.
        tokio::select! {
            refused = orders.message() => refused.map(|_| ()),
            () = self.until("/v1/nodes", |answer| answer["nodes"][0]["node"] == "a-1") => Ok(()),
        }
    }

    async fn placement(&self) -> PlacementClient<Channel> {
        PlacementClient::connect(self.grpc.clone()).await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        reqwest::get(format!("{}{path}", self.admin)).await.unwrap().json().await.unwrap()
    }

    /// Asks until the answer holds, at most 10 s.
    async fn until(&self, path: &str, holds: impl Fn(&Value) -> bool) {
        let asking = async {
            while !holds(&self.get(path).await) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), asking).await.unwrap();
    }
}

fn policy() -> Policy {
    let pool = json!({
        "name": "a", "provider": "aws", "region": "us-west-2", "tier": "burst", "market": "spot", "residency": "us",
        "price": { "node_hour": 0.2, "egress_gb": 0.09 }, "link": { "round_trip": "15ms" },
    });
    Policy { pools: vec![serde_json::from_value(pool).unwrap()], ..Policy::default() }
}

fn report(pool: &str) -> NodeReport {
    NodeReport {
        node: "a-1".to_owned(),
        pool: pool.to_owned(),
        address: "127.0.0.1:9".to_owned(),
        state: v1::NodeState::Serving.into(),
        models: vec!["sphinx-en-us".to_owned()],
        soft_slots: 1,
        hard_slots: 1,
        ..NodeReport::default()
    }
}

fn request(session: &str) -> PlaceRequest {
    PlaceRequest {
        session: session.to_owned(),
        tenant: "dev".to_owned(),
        model: "sphinx-en-us".to_owned(),
        work: v1::Work::Stream.into(),
        class: v1::Class::New.into(),
        latency_limit_milliseconds: 300,
        audio_bytes_per_second: 32_000,
        ..PlaceRequest::default()
    }
}

#[tokio::test]
async fn a_session_is_placed_told_and_charged_and_its_slot_comes_back() {
    let mut router = Running::start().await;
    router.report(report("a")).await.unwrap();
    let mut placement = router.placement().await;
    let reply = placement.place(request(SESSION)).await.unwrap().into_inner();
    assert_eq!((reply.placements[0].node.as_str(), reply.placements[0].lease.as_str()), ("a-1", SESSION));

    let other = placement.place(request("00000000-0000-4000-8000-000000000001")).await.unwrap().into_inner();
    assert_eq!(other.refusal.unwrap().kind(), v1::RefusalKind::Full, "the only slot is promised");

    let (updates, receiver) = mpsc::channel(4);
    let mut orders = placement.sessions(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    let (session, node) = (SESSION.to_owned(), "a-1".to_owned());
    let opened = Update::Opened(v1::Opened { session: session.clone(), node: node.clone(), epoch: 1 });
    let ended = Update::Ended(v1::Ended {
        session: session.clone(),
        node: Some(node),
        reason: "completed".to_owned(),
        wall_milliseconds: 3_600_000,
        bytes_in: 1_000_000_000,
        ..v1::Ended::default()
    });
    for update in [opened, ended.clone(), ended] {
        updates.send(SessionUpdate { update: Some(update) }).await.unwrap();
    }
    orders.message().await.unwrap().unwrap();

    let told = router.get(&format!("/v1/sessions/{SESSION}")).await;
    assert_eq!(told["state"], "ended");
    assert_eq!(told["pool"], "a");
    assert_eq!(told["cost"], json!({ "gpu": 0.2, "egress": 0.09, "total": 0.29 }), "once, though told twice");
    assert_eq!(router.get("/v1/nodes").await["nodes"][0]["leases"], 0);
    router.shutdown.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_report_for_an_unknown_pool_is_refused_with_the_known_ones() {
    let mut router = Running::start().await;
    let refused = router.report(report("nowhere")).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert_eq!(refused.message(), "no pool is called nowhere; configured pools: a");
}

#[tokio::test]
async fn a_dry_run_promises_nothing_and_is_not_recorded() {
    let mut router = Running::start().await;
    router.report(report("a")).await.unwrap();
    let mut placement = router.placement().await;
    let dry = PlaceRequest { dry_run: true, ..request(SESSION) };
    assert_eq!(placement.place(dry).await.unwrap().into_inner().placements.len(), 1);
    assert_eq!(router.get("/v1/nodes").await["nodes"][0]["leases"], 0);
    assert_eq!(router.get("/v1/sessions").await, json!({ "sessions": [] }));
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused_with_the_field() {
    let router = Running::start().await;
    let refused = router.placement().await.place(request("not-a-uuid")).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(refused.message().starts_with("bad session: "), "{}", refused.message());
}

#[tokio::test]
async fn the_admin_api_says_what_is_wrong_with_a_question() {
    let router = Running::start().await;
    assert_eq!(router.get("/v1/sessions/7").await["error"], "expected a session id (a UUID), got \"7\"");
    let unknown = router.get(&format!("/v1/sessions/{SESSION}")).await;
    assert_eq!(unknown["error"], format!("no session {SESSION}; the last 10000 are kept"));
    assert!(router.get("/v1/nowhere").await["error"].as_str().unwrap().contains("/v1/pools"));
}
