//! Made-up agents: each reports every second over a connection of its own. The first reports are spread over a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proto::v1::agents_client::AgentsClient;
use proto::v1::{Gpu, NodeOrder, NodeReport, NodeState};
use rand::Rng;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{POOLS, PlaceError};

/// Time between two reports of a node: an agent's default.
const INTERVAL: Duration = Duration::from_secs(1);
/// Soft and hard slots of a node: many, so that callers of the benchmark find room.
const SLOTS: (u32, u32) = (64, 72);
/// What the nodes run.
pub(super) const MODEL: &str = "general";

/// Agents that report. Dropping this ends them.
pub(super) struct Agents {
    number: u32,
    sent: Arc<AtomicU64>,
    _reporting: JoinSet<()>,
}

impl Agents {
    /// Connects agents to the router and lets them report.
    ///
    /// # Errors
    /// Fails when the router does not take a connection, or a report.
    pub(super) async fn start(router: &str, number: u32) -> Result<Self, PlaceError> {
        let (sent, mut reporting) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
        for agent in 0..number {
            let report = report(agent);
            let (reports, orders) = open(router, report.clone()).await?;
            reporting.spawn(go_on(agent, report, reports, orders, Arc::clone(&sent)));
        }
        Ok(Self { number, sent, _reporting: reporting })
    }

    /// Counts the reports that were sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Counts the agents.
    pub(super) const fn number(&self) -> u32 {
        self.number
    }
}

type Open = (mpsc::Sender<NodeReport>, Streaming<NodeOrder>);

async fn open(router: &str, first: NodeReport) -> Result<Open, PlaceError> {
    let channel = super::callers::connect(router).await?;
    let (reports, queue) = mpsc::channel(1);
    // The queue is empty, there is room for one.
    let _ = reports.try_send(first);
    let refused = |status| PlaceError::Call { what: "a report", status: Box::new(status) };
    let orders = AgentsClient::new(channel).report(ReceiverStream::new(queue)).await.map_err(refused)?;
    Ok((reports, orders.into_inner()))
}

/// Reports until the router hears no more.
async fn go_on(
    agent: u32,
    mut report: NodeReport,
    reports: mpsc::Sender<NodeReport>,
    _orders: Streaming<NodeOrder>,
    sent: Arc<AtomicU64>,
) {
    sleep(INTERVAL / 1_000 * (agent % 1_000)).await;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        report.sequence += 1;
        report.used_slots = rand::rng().random_range(0..SLOTS.0 / 2);
        if reports.send(report.clone()).await.is_err() {
            return;
        }
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a node with one card says of itself.
fn report(number: u32) -> NodeReport {
    let pool = POOLS[number as usize % POOLS.len()];
    NodeReport {
        node: format!("{pool}-node-{number:05}"),
        pool: pool.to_owned(),
        address: format!("10.{}.{}.{}:8090", number >> 16, number >> 8 & 0xff, number & 0xff),
        state: NodeState::Serving.into(),
        models: vec![MODEL.to_owned()],
        soft_slots: SLOTS.0,
        hard_slots: SLOTS.1,
        chunk_latency_p95_microseconds: 40_000,
        realtime_factor: 0.1,
        gpus: vec![card()],
        sequence: 1,
        engine_pid: Some(1),
        ..NodeReport::default()
    }
}

fn card() -> Gpu {
    Gpu {
        name: "NVIDIA H200".to_owned(),
        utilisation: 0.5,
        memory_used_bytes: 40 << 30,
        memory_total_bytes: 141 << 30,
        temperature_celsius: 60,
        power_milliwatts: 400_000,
    }
}
