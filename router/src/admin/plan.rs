//! The plan, as the admin API shows it.

use std::time::Duration;

use scheduler::plan::{PoolPlan, Shortfall};
use scheduler::{NodeId, PoolName, Timestamp};
use serde::Serialize;

use crate::planning::Shown;

/// One pool's part of it.
#[derive(Serialize)]
struct PartView {
    pool: PoolName,
    ready: u32,
    booting: u32,
    draining: u32,
    wanted: u32,
    why: scheduler::plan::Why,
    text: &'static str,
    launch: u32,
    undrain: Vec<NodeId>,
    drain: Vec<NodeId>,
    clear: Vec<NodeId>,
    terminate: Vec<NodeId>,
}

impl PartView {
    fn new(part: &PoolPlan) -> Self {
        let PoolPlan { pool, ready, booting, draining, wanted, why, launch, undrain, drain, clear, terminate } =
            part.clone();
        let text = why.text();
        Self { pool, ready, booting, draining, wanted, why, text, launch, undrain, drain, clear, terminate }
    }
}

/// A plan.
#[derive(Serialize)]
pub(super) struct PlanView {
    leader: String,
    age_ms: f64,
    dry_run: bool,
    streams: f64,
    batch: f64,
    required_slots: f64,
    wanted_slots: f64,
    target: f64,
    pools: Vec<PartView>,
    short: Vec<Shortfall>,
}

impl PlanView {
    pub(super) fn new(shown: &Shown, now: Timestamp) -> Self {
        let plan = &shown.plan;
        let age: Duration = now.since(shown.planned_at);
        Self {
            leader: shown.leader.clone(),
            age_ms: age.as_secs_f64() * 1e3,
            // Nothing here launches or ends nodes.
            dry_run: true,
            streams: plan.streams,
            batch: plan.batch,
            required_slots: plan.required,
            wanted_slots: plan.wanted_slots,
            target: plan.target,
            pools: plan.pools.iter().map(PartView::new).collect(),
            short: plan.short.clone(),
        }
    }
}
