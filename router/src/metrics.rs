//! The router's metrics: names, labels and what they count.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use scheduler::filter::Reason;
use scheduler::plan::Plan;
use scheduler::{Decision, MicroDollars, PoolName, Refusal, Ticked};
use store::Amounts;

use crate::outcomes::{OUTCOMES, PoolSum};

const DECIDE: &str = "crosspoint_router_decide_seconds";
const PLACEMENTS: &str = "crosspoint_router_placements_total";
const REJECTIONS: &str = "crosspoint_router_rejections_total";
const REPORTS: &str = "crosspoint_router_reports_total";
const NODES: &str = "crosspoint_router_nodes";
const SESSIONS: &str = "crosspoint_router_sessions_live";
const STORE: &str = "crosspoint_router_store_failures_total";
const WAITING: &str = "crosspoint_router_waiting";
const WAITED: &str = "crosspoint_router_waits_total";
const REVOKED: &str = "crosspoint_router_revocations_total";
const EJECTED: &str = "crosspoint_router_ejections_total";
const LEFT_OUT: &str = "crosspoint_router_decisions_left_out_total";
const AGENTS: &str = "crosspoint_router_agents_connected";
const DESIRED: &str = "crosspoint_desired_nodes";
const REQUIRED: &str = "crosspoint_planner_required_slots";
const SHORT: &str = "crosspoint_planner_short_slots";
const TARGET: &str = "crosspoint_planner_target_ratio";
const LEADING: &str = "crosspoint_planner_leading";
const PLANS: &str = "crosspoint_planner_plans_total";
const MOVES: &str = "crosspoint_router_moves_asked_total";
const DRAINED: &str = "crosspoint_router_drained_nodes";
const POOL_NODES: &str = "crosspoint_router_pool_nodes";
const POOL_SLOTS: &str = "crosspoint_router_pool_slots";
const POOL_PRICE: &str = "crosspoint_router_pool_node_hour_dollars";

const AUDIO: &str = "crosspoint_router_audio_seconds_total";
const GPU: &str = "crosspoint_router_gpu_seconds_total";
const BYTES_IN: &str = "crosspoint_router_audio_bytes_total";
const BYTES_OUT: &str = "crosspoint_router_result_bytes_total";
const COST: &str = "crosspoint_router_cost_microdollars_total";
const RECORDS: &str = "crosspoint_router_usage_records_total";
const HELD: &str = "crosspoint_router_charges_held";
/// The label of pools that this router's configuration does not list.
const OTHER: &str = "other";

/// Describes what is billed, and lets the counters of every pool start at zero.
pub(crate) fn describe_billing<'a>(pools: impl Iterator<Item = &'a PoolName>) {
    describe_counter!(AUDIO, "audio that was charged, by pool");
    describe_counter!(GPU, "time of slots on GPUs that was charged, by pool");
    describe_counter!(BYTES_IN, "bytes of audio that were charged, by pool");
    describe_counter!(BYTES_OUT, "bytes of results that were charged, by pool");
    describe_counter!(COST, "millionths of a US dollar that were charged, by pool and by what they were spent on");
    describe_counter!(RECORDS, "records of usage from proxies, by what became of them");
    describe_gauge!(HELD, "charges that wait in this router's journal for a store that is away");
    gauge!(HELD).set(0.0);
    for outcome in ["charged", "held", "unsafe", "refused"] {
        counter!(RECORDS, "outcome" => outcome).absolute(0);
    }
    for pool in pools.map(ToString::to_string).chain([OTHER.to_owned()]) {
        for name in [AUDIO, GPU, BYTES_IN, BYTES_OUT] {
            counter!(name, "pool" => pool.clone()).absolute(0);
        }
        for on in ["gpu", "egress"] {
            counter!(COST, "pool" => pool.clone(), "on" => on).absolute(0);
        }
    }
}

/// Shows what a pool was charged with since this router began; sums are exact, and seconds whole only when they are shown.
pub(crate) fn charged(pool: Option<&PoolName>, sum: Amounts) {
    let pool = pool.map_or_else(|| OTHER.to_owned(), ToString::to_string);
    counter!(AUDIO, "pool" => pool.clone()).absolute(sum.audio.as_secs());
    counter!(GPU, "pool" => pool.clone()).absolute(sum.slot.as_secs());
    counter!(BYTES_IN, "pool" => pool.clone()).absolute(sum.bytes_in);
    counter!(BYTES_OUT, "pool" => pool.clone()).absolute(sum.bytes_out);
    for (on, cost) in [("gpu", sum.gpu), ("egress", sum.egress)] {
        counter!(COST, "pool" => pool.clone(), "on" => on).absolute(u64::try_from(cost.0).unwrap_or(0));
    }
}

pub(crate) fn usage_records(outcome: &'static str, records: usize) {
    counter!(RECORDS, "outcome" => outcome).increment(records as u64);
}

pub(crate) fn charges_held(held: usize) {
    gauge!(HELD).set(held as f64);
}

/// Describes every metric and lets the counters start at zero.
pub(crate) fn describe() {
    describe_histogram!(DECIDE, "time of one decision");
    describe_counter!(PLACEMENTS, "decisions, by outcome");
    describe_counter!(REJECTIONS, "nodes rejected by decisions, by reason");
    describe_counter!(REPORTS, "agent reports, by outcome");
    describe_gauge!(NODES, "known nodes, by whether they report");
    describe_gauge!(SESSIONS, "sessions open on a node");
    describe_counter!(STORE, "calls that the store did not answer, by what was asked");
    describe_gauge!(AGENTS, "open report streams");
    describe_gauge!(WAITING, "sessions that wait for a slot");
    describe_counter!(WAITED, "times that a session began to wait for a slot");
    describe_counter!(REVOKED, "batch chunks whose proxies were told to yield their slot");
    describe_counter!(EJECTED, "nodes that were sent to rest because they behaved worse than their pool");
    describe_counter!(LEFT_OUT, "sampled decisions that the log had no room for");
    describe_gauge!(DESIRED, "nodes that a pool should have, by the last plan");
    describe_gauge!(REQUIRED, "slots that the last plan requires");
    describe_gauge!(SHORT, "slots of the last plan that no pool may grow for");
    describe_gauge!(TARGET, "share of slots that streams may fill, by the last plan");
    describe_gauge!(LEADING, "1 on the router that plans, 0 on others");
    describe_counter!(MOVES, "times that a proxy was asked to move a stream, by why its node is left");
    for why in ["drained", "taken_away"] {
        counter!(MOVES, "why" => why).absolute(0);
    }
    describe_gauge!(DRAINED, "nodes that operators closed to new sessions");
    describe_gauge!(POOL_NODES, "nodes of a pool, by whether they take sessions");
    describe_gauge!(POOL_SLOTS, "slots of a pool's nodes that take sessions: served well at once, and in use");
    describe_gauge!(POOL_PRICE, "US dollars that a node-hour of a pool costs, as configured");
    gauge!(DRAINED).set(0.0);
    describe_counter!(PLANS, "plans of this router, by what became of them");
    for name in [SESSIONS, WAITING, AGENTS, LEADING, REQUIRED, SHORT, TARGET] {
        gauge!(name).set(0.0);
    }
    for name in [WAITED, REVOKED, EJECTED, LEFT_OUT] {
        counter!(name).absolute(0);
    }
    for reason in Reason::LABELS {
        counter!(REJECTIONS, "reason" => reason).absolute(0);
    }
    for outcome in ["published", "fenced"] {
        counter!(PLANS, "outcome" => outcome).absolute(0);
    }
    for outcome in OUTCOMES {
        counter!(PLACEMENTS, "outcome" => outcome).absolute(0);
    }
    for outcome in ["taken", "refused"] {
        counter!(REPORTS, "outcome" => outcome).absolute(0);
    }
    for call in [
        "claim", "count", "renew", "release", "remember", "let_go", "last_leg", "put", "read", "verdicts", "keys",
        "charge", "plan", "drains",
    ] {
        counter!(STORE, "call" => call).absolute(0);
    }
}

pub(crate) fn decided(took: Duration) {
    histogram!(DECIDE).record(took.as_secs_f64());
}

pub(crate) fn placed(decision: &Decision) {
    let outcome = decision.refusal.map_or("placed", refusal_label);
    counter!(PLACEMENTS, "outcome" => outcome).increment(1);
    for group in &decision.rejected {
        counter!(REJECTIONS, "reason" => group.why.label()).increment(u64::from(group.nodes.max(1)));
    }
}

/// Returns a refusal as one word.
pub(crate) fn refusal_label(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NotAllowed => "not_allowed",
        Refusal::Full => "full",
        Refusal::NoLiveNode => "no_live_node",
        Refusal::OverLimit => "over_limit",
        Refusal::FilesOnly => "files_only",
    }
}

pub(crate) fn ticked(ticked: &Ticked, waiting: u32) {
    gauge!(WAITING).set(f64::from(waiting));
    counter!(EJECTED).increment(ticked.ejected.len() as u64);
}

pub(crate) fn waiting() {
    counter!(WAITED).increment(1);
}

pub(crate) fn revoked() {
    counter!(REVOKED).increment(1);
}

pub(crate) fn decision_left_out() {
    counter!(LEFT_OUT).increment(1);
}

pub(crate) fn report_taken() {
    counter!(REPORTS, "outcome" => "taken").increment(1);
}

pub(crate) fn move_asked(why: &'static str) {
    counter!(MOVES, "why" => why).increment(1);
}

pub(crate) fn drained(nodes: usize) {
    gauge!(DRAINED).set(nodes as f64);
}

/// Shows a pool as it is; pools are those of the configuration, so that labels are bounded.
pub(crate) fn pool(sum: &PoolSum, price: MicroDollars) {
    let name = sum.name.to_string();
    gauge!(POOL_NODES, "pool" => name.clone(), "state" => "serving").set(sum.serving as f64);
    gauge!(POOL_NODES, "pool" => name.clone(), "state" => "other").set((sum.nodes - sum.serving) as f64);
    gauge!(POOL_SLOTS, "pool" => name.clone(), "slots" => "soft").set(f64::from(sum.soft_slots));
    gauge!(POOL_SLOTS, "pool" => name.clone(), "slots" => "used").set(f64::from(sum.used_slots));
    gauge!(POOL_PRICE, "pool" => name).set(price.dollars());
}

/// Shows that a pool is configured no more.
pub(crate) fn pool_gone(name: &PoolName) {
    let sum = PoolSum { name: name.clone(), nodes: 0, serving: 0, soft_slots: 0, used_slots: 0 };
    pool(&sum, MicroDollars::ZERO);
    gauge!(DESIRED, "pool" => name.to_string()).set(0.0);
}

pub(crate) fn store_failed(call: &'static str) {
    counter!(STORE, "call" => call).increment(1);
}

pub(crate) fn report_refused() {
    counter!(REPORTS, "outcome" => "refused").increment(1);
}

pub(crate) fn nodes(reporting: usize, silent: usize) {
    gauge!(NODES, "state" => "reporting").set(reporting as f64);
    gauge!(NODES, "state" => "silent").set(silent as f64);
}

pub(crate) fn sessions_live(live: usize) {
    gauge!(SESSIONS).set(live as f64);
}

/// Sets the gauges to a plan; pools are those of the configuration, so that labels are bounded.
pub(crate) fn plan(plan: &Plan) {
    for part in &plan.pools {
        gauge!(DESIRED, "pool" => part.pool.to_string()).set(f64::from(part.wanted));
    }
    gauge!(REQUIRED).set(plan.required);
    gauge!(SHORT).set(plan.short.iter().map(|short| short.slots).sum::<f64>());
    gauge!(TARGET).set(plan.target);
}

pub(crate) fn leading(leading: f64) {
    gauge!(LEADING).set(leading);
}

pub(crate) fn planned(outcome: &'static str) {
    counter!(PLANS, "outcome" => outcome).increment(1);
}

/// Counts an open report stream for as long as it lives.
pub(crate) struct AgentConnected;

impl AgentConnected {
    pub(crate) fn new() -> Self {
        gauge!(AGENTS).increment(1.0);
        Self
    }
}

impl Drop for AgentConnected {
    fn drop(&mut self) {
        gauge!(AGENTS).decrement(1.0);
    }
}
