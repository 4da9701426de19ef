//! A real router on free ports: an agent reports, a proxy asks and tells, people look.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crosspoint_router::{App, Config, Policy};
use process::Shutdown;
use proto::v1::agents_client::AgentsClient;
use proto::v1::placement_client::PlacementClient;
use proto::v1::session_order::Order;
use proto::v1::session_update::Update;
use proto::v1::{self, CostsRequest, NodeReport, PlaceRequest, SessionOrder, SessionUpdate, UsageId, UsageRecord};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

const SESSION: &str = "6e4d2a35-2f4b-4c7e-9e0a-5f5e0b6f1c11";

struct Running {
    shutdown: Shutdown,
    grpc: String,
    admin: String,
    metrics: String,
    reports: Option<mpsc::Sender<NodeReport>>,
}

impl Running {
    async fn start() -> Self {
        Self::with(Config::default()).await
    }

    async fn with(config: Config) -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = Config { listen: free, admin: free, metrics: free, ..config };
        let charges = (store::Journal::in_memory(), Vec::new());
        let app: App = config.build(policy(), Arc::new(store::Embedded::new()), charges, None).await.unwrap();
        let shutdown = Shutdown::new();
        let (grpc, admin) = (format!("http://{}", app.grpc_address()), format!("http://{}", app.admin_address()));
        let metrics = format!("http://{}", app.metrics_address());
        shutdown.spawn("router", app.run(shutdown.clone()));
        Self { shutdown, grpc, admin, metrics, reports: None }
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

/// An hour of a slot and a gigabyte, in one of the pool's `a`; of sequence 1 half of it.
fn record(sequence: u64) -> UsageRecord {
    UsageRecord {
        session: SESSION.to_owned(),
        part: 1,
        sequence,
        tenant: "dev".to_owned(),
        key: "k1".to_owned(),
        model: "sphinx-en-us".to_owned(),
        work: v1::Work::Stream.into(),
        node: "a-1".to_owned(),
        pool: "a".to_owned(),
        slot_hour_microdollars: 200_000,
        at_seconds: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs(),
        audio_microseconds: sequence * 1_500_000_000,
        slot_microseconds: sequence * 1_800_000_000,
        bytes_in: sequence * 500_000_000,
        bytes_out: sequence * 1_000,
        ended: None,
    }
}

fn usage(records: Vec<UsageRecord>) -> Update {
    Update::Usage(v1::Usage { records })
}

async fn acknowledged(orders: &mut Streaming<SessionOrder>) -> v1::Acknowledged {
    let acknowledged = match orders.message().await.unwrap().unwrap().order.unwrap() {
        Order::Acknowledged(acknowledged) => Some(acknowledged),
        Order::Revoke(_) | Order::Migrate(_) => None,
    };
    acknowledged.unwrap()
}

impl Running {
    /// Tells what was used, and waits until it is safe.
    async fn tell(&self, records: Vec<UsageRecord>) -> v1::Acknowledged {
        let (updates, receiver) = mpsc::channel(1);
        let mut orders = self.placement().await.sessions(ReceiverStream::new(receiver)).await.unwrap().into_inner();
        updates.send(SessionUpdate { update: Some(usage(records)) }).await.unwrap();
        acknowledged(&mut orders).await
    }
}

#[tokio::test]
async fn a_session_that_this_router_never_placed_is_billed_once_and_shown() {
    let router = Running::start().await;
    for records in [vec![record(2)], vec![record(1), record(2)]] {
        router.tell(records).await;
    }
    let spent = json!({
        "sessions": 1, "audio_seconds": 3000.0, "gpu_seconds": 3600.0, "bytes_in": 1_000_000_000, "bytes_out": 2_000,
        "cost": { "gpu": 0.2, "egress": 0.09, "total": 0.29 },
    });
    for (by, name) in [("key", "k1"), ("pool", "a"), ("model", "sphinx-en-us")] {
        let costs = router.get(&format!("/v1/costs?by={by}")).await;
        let mut row = spent.clone();
        row["name"] = name.into();
        assert_eq!((&costs["costs"], &costs["total"]), (&json!([row]), &spent));
    }
    assert_eq!(router.get("/v1/costs?key=k2").await["costs"], json!([]));
    let told = router.get(&format!("/v1/sessions/{SESSION}")).await;
    assert_eq!((&told["state"], &told["pool"], &told["cost"]), (&json!("live"), &json!("a"), &spent["cost"]));

    let lost = UsageRecord { ended: Some("proxy_lost".to_owned()), ..record(3) };
    router.tell(vec![lost]).await;
    let told = router.get(&format!("/v1/sessions/{SESSION}")).await;
    assert_eq!((&told["state"], &told["reason"]), (&json!("ended"), &json!("proxy_lost")));
    let page = reqwest::get(format!("{}/metrics", router.metrics)).await.unwrap().text().await.unwrap();
    for line in [
        "crosspoint_router_gpu_seconds_total{pool=\"a\"} 5400",
        "crosspoint_router_gpu_seconds_total{pool=\"other\"} 0",
    ] {
        assert!(page.contains(line), "{page}");
    }
}

#[tokio::test]
async fn a_record_that_makes_no_sense_is_not_charged_and_not_sent_again() {
    let router = Running::start().await;
    let bad = UsageRecord { key: "two words".to_owned(), ..record(1) };
    assert_eq!(router.tell(vec![bad]).await.usage.len(), 1);
    assert_eq!(router.get("/v1/costs").await["costs"], json!([]));
}

#[tokio::test]
async fn a_key_is_told_its_own_costs_alone() {
    let router = Running::start().await;
    router.tell(vec![record(1), UsageRecord { key: "k2".to_owned(), part: 2, ..record(2) }]).await;
    let ask = async |key: &str, since: &str| {
        let request = CostsRequest { key: key.to_owned(), since: since.to_owned() };
        router.placement().await.costs(request).await
    };
    let reply = ask("k1", "").await.unwrap().into_inner();
    let rows: Vec<_> = reply.totals.iter().map(|row| (row.pool.as_str(), row.bytes_in, row.gpu_microdollars)).collect();
    assert_eq!(rows, [("a", 500_000_000, 100_000)]);
    assert_eq!(ask("nobody", "").await.unwrap().into_inner().totals, []);
    let told = async |key: &str, since: &str| ask(key, since).await.unwrap_err().message().to_owned();
    assert_eq!(told("", "").await, "bad key: expected 1 to 128 letters, digits, '.', '_', ':', '/' or '-', got \"\"");
    assert_eq!(told("k1", "soon").await, "bad since: expected a day such as 2026-11-20, got \"soon\"");
}

#[tokio::test]
async fn the_costs_say_what_is_wrong_with_a_question() {
    let router = Running::start().await;
    let told = async |query: &str| router.get(&format!("/v1/costs?{query}")).await["error"].clone();
    assert_eq!(told("since=yesterday").await, "bad since: expected a day such as 2026-11-20, got \"yesterday\"");
    let text = told("by=tenant").await;
    assert!(
        text.as_str().unwrap().contains("unknown variant `tenant`, expected one of `key`, `pool`, `day`, `model`"),
        "{text}"
    );
    let text = told("buy=key").await;
    assert!(text.as_str().unwrap().contains("unknown field `buy`"), "{text}");
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
    let opened = Update::Opened(v1::Opened { session: session.clone(), node: node.clone(), epoch: 1, file: None });
    let ended = Update::Ended(v1::Ended {
        session: session.clone(),
        node: Some(node),
        reason: "completed".to_owned(),
        wall_milliseconds: 3_600_000,
        bytes_in: 1_000_000_000,
        ..v1::Ended::default()
    });
    let used = usage(vec![record(1), record(2)]);
    for update in [opened, used.clone(), ended.clone(), ended, used] {
        updates.send(SessionUpdate { update: Some(update) }).await.unwrap();
    }
    let safe = [1, 2].map(|sequence| UsageId { session: SESSION.to_owned(), part: 1, sequence });
    assert_eq!(acknowledged(&mut orders).await.usage, safe);
    assert_eq!(acknowledged(&mut orders).await.sessions, [SESSION]);

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

/// Asks whether the reports of a node would be taken.
async fn check(router: &Running, pool: &str, token: Option<&str>) -> Result<(), tonic::Status> {
    let mut client = AgentsClient::connect(router.grpc.clone()).await.unwrap();
    let mut call = tonic::Request::new(v1::CheckRequest { node: "a-1".to_owned(), pool: pool.to_owned() });
    if let Some(token) = token {
        call.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    client.check(call).await.map(drop)
}

#[tokio::test]
async fn only_agents_with_a_token_get_in_where_one_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    std::fs::write(&file, "a-token-that-nobody-guesses\n").unwrap();
    let mut router = Running::with(Config { agent_token_file: Some(file), ..Config::default() }).await;
    assert_eq!(check(&router, "a", Some("a-token-that-nobody-guesses")).await.map_err(|status| status.code()), Ok(()));
    for wrong in [None, Some("a-token-that-somebody-guesses")] {
        let status = check(&router, "a", wrong).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unauthenticated);
    }
    let refused = router.report(report("a")).await.unwrap_err();
    assert!(refused.message().contains("set agent.token_file"), "{refused}");
}

#[tokio::test]
async fn whoever_asks_is_told_whether_reports_would_be_taken_and_no_node_appears() {
    let router = Running::start().await;
    check(&router, "a", None).await.unwrap();
    let refused = check(&router, "nowhere", None).await.unwrap_err();
    assert_eq!(refused.message(), "no pool is called nowhere; configured pools: a");
    assert_eq!(router.get("/v1/nodes").await, json!({ "nodes": [] }));
}

#[tokio::test]
async fn a_node_tells_what_its_cloud_has_in_mind_and_gets_no_sessions() {
    let mut router = Running::start().await;
    let notice = v1::Notice { kind: v1::NoticeKind::Preemption.into(), left_milliseconds: Some(120_000) };
    let reason = Some("aws: this host is terminated".to_owned());
    let report = NodeReport { state: v1::NodeState::Draining.into(), notice: Some(notice), reason, ..report("a") };
    router.report(report).await.unwrap();
    let node = router.get("/v1/nodes").await["nodes"][0].take();
    assert_eq!((&node["state"], &node["notice"]["kind"]), (&json!("draining"), &json!("preemption")));
    let left = node["notice"]["left_ms"].as_f64().unwrap();
    assert!(left > 100_000.0 && left < 120_000.0, "{left}");
    let reply = router.placement().await.place(request(SESSION)).await.unwrap().into_inner();
    assert!(reply.placements.is_empty(), "{reply:?}");
    assert_eq!(reply.rejected[0].text, "draining: aws: this host is terminated");
}
