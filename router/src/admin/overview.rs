//! `GET /v1/overview`: this router at a glance, all in one answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use scheduler::{Class, MicroDollars, Node, Pool, Priority, Request, SessionId, Timestamp, Work};
use serde::Serialize;

use super::views::Heard;
use crate::core::{Core, Law};
use crate::ledger::{Entry, Life};
use crate::outcomes::PLACED;

/// What a stream sends: 16 kHz, 16 bit, mono.
const STREAM_BYTES_PER_SECOND: u64 = 32_000;

#[derive(Serialize)]
struct Nodes {
    serving: usize,
    other: usize,
    silent: usize,
    drained: usize,
}

/// What it comes to in an hour, in US dollars.
#[derive(Serialize)]
struct CostPerHour {
    /// All nodes that report, used or not.
    nodes: MicroDollars,
    /// The live sessions' shares of slots, and their egress.
    sessions: MicroDollars,
}

/// A router at a glance. Counts of decisions are this router's, since it began; all else is the fleet's.
#[derive(Serialize)]
pub(super) struct Overview {
    version: &'static str,
    policy: &'static str,
    policy_hash: String,
    up_seconds: u64,
    sessions_live: usize,
    waiting: u32,
    soft_slots: u32,
    used_slots: u32,
    nodes: Nodes,
    cost_per_hour: CostPerHour,
    placed: u64,
    refused: BTreeMap<&'static str, u64>,
}

pub(super) async fn overview(State(core): State<Arc<Core>>) -> Json<Overview> {
    let (law, view, now) = (core.law(), core.view(), core.now());
    let heard: Vec<(Node<'_>, Heard)> = view.nodes().map(|node| (node, Heard::of(node, now))).collect();
    let count = |wanted| heard.iter().filter(|(_, heard)| *heard == wanted).count();
    let (mut soft_slots, mut used_slots, mut cost) = (0, 0, MicroDollars::ZERO);
    for (node, heard) in &heard {
        if *heard == Heard::Silent {
            continue;
        }
        used_slots += node.report.used_slots;
        soft_slots += if *heard == Heard::Serving { node.report.soft_slots } else { 0 };
        let price = view.pool(&node.report.pool).map_or(MicroDollars::ZERO, |pool| pool.price.node_hour);
        cost = cost + price;
    }
    let (sessions_live, sessions) = {
        let ledger = core.ledger();
        (ledger.live(), ledger.newest().filter_map(price).sum())
    };
    let mut refused = core.outcomes.counts();
    let placed = refused.remove(PLACED).unwrap_or(0);
    Json(Overview {
        version: env!("CARGO_PKG_VERSION"),
        policy: law.policy.method.label(),
        policy_hash: law.policy.hash().to_string(),
        up_seconds: core.up().as_secs(),
        sessions_live,
        waiting: core.waiting(),
        soft_slots,
        used_slots,
        nodes: Nodes {
            serving: count(Heard::Serving),
            other: count(Heard::Other),
            silent: count(Heard::Silent),
            drained: core.drains.drained().len(),
        },
        cost_per_hour: CostPerHour { nodes: cost, sessions },
        placed,
        refused,
    })
}

/// Returns what an hour of a session costs where it is, if it is open: its share of a slot, and egress.
fn price(entry: &Entry) -> Option<MicroDollars> {
    let node = entry.node.as_ref().filter(|_| entry.life == Life::Live)?;
    let placement = entry.placements.iter().find(|placement| placement.node == *node)?;
    Some(placement.terms.price())
}

/// Returns what an hour of a plain stream would cost on a node now: its score without any wishes.
pub(super) fn score_of(node: Node<'_>, pool: &Pool, law: &Law, now: Timestamp) -> Option<MicroDollars> {
    let request = Request {
        session: SessionId::from_random(0),
        tenant: "overview".parse().ok()?,
        model: node.report.models.first()?.clone(),
        work: Work::Stream,
        key: None,
        file: None,
        class: Class::New,
        priority: Priority::Live,
        pools: None,
        residency: None,
        compliance: [].into(),
        max_cost: None,
        latency_limit: Duration::MAX,
        audio_bytes_per_second: STREAM_BYTES_PER_SECOND,
        exclude: [].into(),
        prefer: None,
        facts: scheduler::rules::Facts::default(),
    };
    Some(scheduler::score::score(node, pool, &request, &law.policy.scoring, now).total())
}
