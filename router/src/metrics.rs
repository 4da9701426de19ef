//! The router's metrics: names, labels and what they count.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use scheduler::{Decision, Refusal, Ticked};

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
    for outcome in ["placed", "full", "not_allowed", "no_live_node"] {
        counter!(PLACEMENTS, "outcome" => outcome).absolute(0);
    }
    for outcome in ["taken", "refused"] {
        counter!(REPORTS, "outcome" => outcome).absolute(0);
    }
    for call in ["claim", "renew", "release", "put", "read"] {
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
