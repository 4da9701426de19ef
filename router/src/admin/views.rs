//! What the admin API shows: flat, with units in the names.

use std::collections::BTreeSet;
use std::time::Duration;

use scheduler::filter::SUSPECT_AFTER;
use scheduler::{
    Compliance, EngineApi, FleetView, Gpu, Market, MicroDollars, ModelName, Node, NodeId, NodeState, NoticeKind,
    Placement, Pool, PoolName, Price, Provider, Refusal, Region, Rejected, Residency, ScoreTerms, SessionId, TenantId,
    Tier, Timestamp, Work,
};
use serde::Serialize;

use crate::ledger::{Attempt, Cost, Entry, Life};
use crate::metrics::refusal_label;
use crate::outcomes::PoolSum;

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Whether a node can be counted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It takes sessions.
    Serving,
    /// It reports that it takes none.
    Other,
    /// It does not report.
    Silent,
}

impl Heard {
    pub(super) fn of(node: Node<'_>, now: Timestamp) -> Self {
        if node.age(now) >= SUSPECT_AFTER {
            return Self::Silent;
        }
        if node.report.state == NodeState::Serving { Self::Serving } else { Self::Other }
    }
}

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "two facts of an answer, independent of each other")]
pub(super) struct NodeView {
    pub(super) node: NodeId,
    pool: PoolName,
    address: String,
    state: NodeState,
    silent: bool,
    age_ms: f64,
    models: BTreeSet<ModelName>,
    api: EngineApi,
    soft_slots: u32,
    hard_slots: u32,
    used_slots: u32,
    pub(super) leases: u32,
    queue_depth: u32,
    chunk_latency_p95_ms: f64,
    realtime_factor: f32,
    error_share: f32,
    pub(super) score: Option<MicroDollars>,
    pub(super) drained: bool,
    gpus: Vec<Gpu>,
    engine_pid: Option<u32>,
    reason: Option<String>,
    notice: Option<NoticeView>,
}

/// What the cloud has in mind for a node's host, and when: counted from now.
#[derive(Serialize)]
pub(super) struct NoticeView {
    kind: NoticeKind,
    left_ms: Option<f64>,
}

impl NodeView {
    pub(super) fn new(node: Node<'_>, now: Timestamp) -> Self {
        let report = node.report.clone();
        Self {
            silent: node.age(now) >= SUSPECT_AFTER,
            age_ms: milliseconds(node.age(now)),
            error_share: node.error_share(now).get(),
            leases: 0,
            notice: report.notice.map(|notice| NoticeView {
                kind: notice.kind,
                left_ms: notice.left.map(|left| milliseconds(left.saturating_sub(node.age(now)))),
            }),
            reason: report.reason,
            score: None,
            drained: false,
            node: report.node,
            pool: report.pool,
            address: report.address,
            state: report.state,
            models: report.models,
            api: report.api,
            soft_slots: report.soft_slots,
            hard_slots: report.hard_slots,
            used_slots: report.used_slots,
            queue_depth: report.queue_depth,
            chunk_latency_p95_ms: milliseconds(report.chunk_latency_p95),
            realtime_factor: report.realtime_factor,
            gpus: report.gpus,
            engine_pid: report.engine_pid,
        }
    }
}

#[derive(Serialize)]
pub(super) struct PoolView {
    name: PoolName,
    provider: Provider,
    region: Region,
    tier: Tier,
    market: Market,
    price: Price,
    residency: Residency,
    compliance: BTreeSet<Compliance>,
    round_trip_ms: f64,
    nodes: usize,
    serving: usize,
    soft_slots: u32,
    used_slots: u32,
    cost_per_hour: MicroDollars,
}

impl PoolView {
    pub(super) fn new(pool: &Pool, fleet: &FleetView, now: Timestamp) -> Self {
        let sum = PoolSum::of(pool, fleet, now);
        let reporting = fleet.nodes().filter(|node| node.report.pool == pool.name && node.age(now) < SUSPECT_AFTER);
        Self {
            name: pool.name.clone(),
            provider: pool.provider,
            region: pool.region.clone(),
            tier: pool.tier,
            market: pool.market,
            price: pool.price,
            residency: pool.residency.clone(),
            compliance: pool.compliance.clone(),
            round_trip_ms: milliseconds(pool.link.round_trip),
            nodes: sum.nodes,
            serving: sum.serving,
            soft_slots: sum.soft_slots,
            used_slots: sum.used_slots,
            cost_per_hour: reporting.map(|_| pool.price.node_hour).sum(),
        }
    }
}

#[derive(Serialize)]
struct PlacementView {
    node: NodeId,
    pool: PoolName,
    address: String,
    terms: ScoreTerms,
    total: MicroDollars,
}

#[derive(Serialize)]
struct RejectedView {
    pool: PoolName,
    example: Option<NodeId>,
    nodes: u32,
    reason: &'static str,
    text: String,
}

/// A decision, as `explain` shows it.
#[derive(Serialize)]
pub(super) struct DecisionView {
    placements: Vec<PlacementView>,
    refusal: Option<&'static str>,
    rejected: Vec<RejectedView>,
}

impl DecisionView {
    pub(super) fn new(placements: &[Placement], refusal: Option<Refusal>, rejected: &[Rejected]) -> Self {
        let placements = placements.iter().map(|placement| PlacementView {
            node: placement.node.clone(),
            pool: placement.pool.clone(),
            address: placement.address.clone(),
            terms: placement.terms,
            total: placement.terms.total(),
        });
        let rejected = rejected.iter().map(|group| RejectedView {
            pool: group.pool.clone(),
            example: group.example.clone(),
            nodes: group.nodes,
            reason: group.why.label(),
            text: group.why.to_string(),
        });
        Self { placements: placements.collect(), refusal: refusal.map(refusal_label), rejected: rejected.collect() }
    }
}

#[derive(Serialize)]
pub(super) struct SessionView {
    session: SessionId,
    tenant: TenantId,
    model: ModelName,
    work: Work,
    state: Life,
    node: Option<NodeId>,
    pool: Option<PoolName>,
    epoch: u32,
    age_ms: f64,
    #[serde(flatten)]
    decision: DecisionView,
    attempts: Vec<Attempt>,
    reason: Option<String>,
    failover: Option<String>,
    audio_seconds: f64,
    slot_seconds: f64,
    bytes_in: u64,
    bytes_out: u64,
    cost: Cost,
}

impl SessionView {
    pub(super) fn new(entry: &Entry, now: Timestamp) -> Self {
        let (ending, spent) = (entry.ending.as_ref(), entry.spent());
        let used = ending.map_or((spent.audio, spent.slot, spent.bytes_in, spent.bytes_out), |ending| {
            (ending.audio, ending.slot, ending.bytes_in, ending.bytes_out)
        });
        let (audio, slot, bytes_in, bytes_out) = used;
        Self {
            session: entry.session,
            tenant: entry.tenant.clone(),
            model: entry.model.clone(),
            work: entry.work,
            state: entry.life,
            node: entry.node.clone(),
            pool: entry.pool().cloned(),
            epoch: entry.epoch,
            age_ms: milliseconds(now.since(entry.placed_at)),
            decision: DecisionView::new(&entry.placements, entry.refusal, &entry.rejected),
            attempts: entry.attempts.clone(),
            reason: ending.map(|ending| ending.reason.clone()),
            failover: ending.and_then(|ending| ending.failover.clone()),
            audio_seconds: audio.as_secs_f64(),
            slot_seconds: slot.as_secs_f64(),
            bytes_in,
            bytes_out,
            cost: Cost::of(spent),
        }
    }
}
