//! Filters in words: why a node, or a whole pool, may not serve a session.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fleet::Node;
use crate::ids::{NodeId, PoolName, RuleName};
use crate::pool::Pool;
use crate::report::NodeState;
use crate::request::Request;
use crate::units::{MicroDollars, Timestamp, duration};

/// Without a report for this long a node gets no new sessions; its streams go on.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(3);

/// Why a node, or a whole pool, may not serve a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// The audio must stay elsewhere.
    Residency {
        /// Where the pool processes audio.
        pool: String,
        /// Where the caller wants it.
        wanted: String,
    },
    /// The pool was not audited for what the caller needs.
    Compliance {
        /// The missing regime.
        missing: String,
    },
    /// The caller's key may not use this pool.
    NotGranted,
    /// A rule keeps the session out of this pool.
    Rule {
        /// The rule.
        rule: RuleName,
    },
    /// No agent of this pool has reported.
    NoNodes,
    /// No report for 3 s or longer.
    Silent {
        /// Age of the last report.
        #[serde(with = "duration")]
        age: Duration,
    },
    /// The engine is not answering yet.
    Starting,
    /// The node cannot serve: its engine does not answer, or its GPUs are out of service.
    Failing {
        /// What its agent says.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        because: Option<String>,
    },
    /// The node finishes what it has.
    Draining {
        /// What its agent says.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        because: Option<String>,
    },
    /// The node cannot serve the model.
    WrongModel,
    /// The node's engine hears no streams.
    FilesOnly,
    /// Every slot is taken or promised.
    Full {
        /// Slots taken or promised.
        used: u32,
        /// Slots that new sessions may use.
        slots: u32,
    },
    /// Round trip plus chunk latency is over the caller's limit.
    TooFar {
        /// What it would be.
        #[serde(with = "duration")]
        latency: Duration,
    },
    /// A session-hour would cost more than the caller's limit.
    TooDear {
        /// What it would cost.
        cost: MicroDollars,
    },
    /// This session already failed there.
    AlreadyFailed,
    /// The node behaved worse than its pool, and rests.
    Ejected,
    /// The pool failed too often in a row, and is left alone for a while.
    Shunned {
        /// For how long still.
        #[serde(with = "duration")]
        left: Duration,
    },
}

impl Reason {
    /// Every label, so that counters of reasons can begin at zero.
    pub const LABELS: [&str; 17] = [
        "residency",
        "compliance",
        "not_granted",
        "rule",
        "no_nodes",
        "silent",
        "starting",
        "failing",
        "draining",
        "wrong_model",
        "files_only",
        "full",
        "too_far",
        "too_dear",
        "already_failed",
        "ejected",
        "shunned",
    ];

    /// Returns the reason as one word, for metrics and grouping.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Residency { .. } => "residency",
            Self::Compliance { .. } => "compliance",
            Self::NotGranted => "not_granted",
            Self::Rule { .. } => "rule",
            Self::NoNodes => "no_nodes",
            Self::Silent { .. } => "silent",
            Self::Starting => "starting",
            Self::Failing { .. } => "failing",
            Self::Draining { .. } => "draining",
            Self::WrongModel => "wrong_model",
            Self::FilesOnly => "files_only",
            Self::Full { .. } => "full",
            Self::TooFar { .. } => "too_far",
            Self::TooDear { .. } => "too_dear",
            Self::AlreadyFailed => "already_failed",
            Self::Ejected => "ejected",
            Self::Shunned { .. } => "shunned",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Residency { pool, wanted } => write!(f, "audio must stay in {wanted}, pool is in {pool}"),
            Self::Compliance { missing } => write!(f, "pool is not audited for {missing}"),
            Self::NotGranted => write!(f, "the key does not grant this pool"),
            Self::Rule { rule } => write!(f, "rule {rule} keeps it elsewhere"),
            Self::NoNodes => write!(f, "no agent has reported"),
            Self::Silent { age } => write!(f, "no report for {:.1} s", age.as_secs_f64()),
            Self::Starting => write!(f, "engine is starting"),
            Self::Failing { because: Some(because) } => write!(f, "failing: {because}"),
            Self::Failing { because: None } => write!(f, "engine does not answer its agent"),
            Self::Draining { because: Some(because) } => write!(f, "draining: {because}"),
            Self::Draining { because: None } => write!(f, "draining"),
            Self::WrongModel => write!(f, "does not serve the model"),
            Self::FilesOnly => write!(f, "engine hears files only"),
            Self::Full { used, slots } => write!(f, "full: {used} of {slots} slots"),
            Self::TooFar { latency } => write!(f, "too far: {} ms", latency.as_millis()),
            Self::TooDear { cost } => write!(f, "too dear: {:.2} cents an hour", cost.cents()),
            Self::AlreadyFailed => write!(f, "already failed this session"),
            Self::Ejected => write!(f, "rests: it failed or was slow far more than its pool"),
            Self::Shunned { left } => {
                write!(f, "left alone after failures, for {:.0} s more", left.as_secs_f64().ceil())
            }
        }
    }
}

impl Reason {
    /// Tells whether the reason stands however long a caller waits.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Residency { .. }
            | Self::Compliance { .. }
            | Self::NotGranted
            | Self::Rule { .. }
            | Self::NoNodes
            | Self::WrongModel
            | Self::FilesOnly => true,
            Self::Silent { .. }
            | Self::Starting
            | Self::Failing { .. }
            | Self::Draining { .. }
            | Self::Full { .. }
            | Self::TooFar { .. }
            | Self::TooDear { .. }
            | Self::AlreadyFailed
            | Self::Ejected
            | Self::Shunned { .. } => false,
        }
    }
}

/// Nodes that were rejected for one reason: one line of an explanation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    /// Their pool.
    pub pool: PoolName,
    /// One of the nodes; none when the whole pool was rejected.
    pub example: Option<NodeId>,
    /// How many nodes; all that the pool has when the whole pool was rejected.
    pub nodes: u32,
    /// Why; its figures are the example's.
    #[serde(flatten)]
    pub why: Reason,
}

/// Adds one rejected node to the group with its pool and reason.
pub(crate) fn reject(rejected: &mut Vec<Rejected>, pool: &Pool, node: Option<&NodeId>, why: Reason) {
    let group = rejected.iter_mut().find(|group| group.pool == pool.name && group.why.label() == why.label());
    match group {
        Some(group) => group.nodes += 1,
        None => rejected.push(Rejected {
            pool: pool.name.clone(),
            example: node.cloned(),
            nodes: u32::from(node.is_some()),
            why,
        }),
    }
}

/// Tells why `node` cannot serve `request` now, cost and free slots aside. A report older than `patience` says nothing.
pub(crate) fn unfit(node: Node<'_>, request: &Request, patience: Duration, now: Timestamp) -> Option<Reason> {
    let report = &node.report;
    match report.state {
        NodeState::Starting => return Some(Reason::Starting),
        NodeState::Failing => return Some(Reason::Failing { because: report.reason.clone() }),
        NodeState::Draining => return Some(Reason::Draining { because: report.reason.clone() }),
        NodeState::Serving => {}
    }
    let age = node.age(now);
    if age >= patience {
        return Some(Reason::Silent { age });
    }
    if request.exclude.contains(&report.node) {
        return Some(Reason::AlreadyFailed);
    }
    if !report.models.contains(&request.model) {
        return Some(Reason::WrongModel);
    }
    if !report.api.hears(request.work) {
        return Some(Reason::FilesOnly);
    }
    let latency = node.pool.round_trip + report.chunk_latency_p95;
    (latency > request.latency_limit).then_some(Reason::TooFar { latency })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::report::Report;
    use crate::testing::{noon, pool, report, request};
    use crate::{EngineApi, Fleet, Work};

    fn why_not(report: Report, request: &Request, age: Duration) -> Option<String> {
        let name = report.node.clone();
        let mut fleet = Fleet::new(vec![pool("a")]);
        fleet.report(report, noon() - age).unwrap();
        let node = fleet.view().node(&name).unwrap();
        unfit(node, request, SUSPECT_AFTER, noon()).map(|why| format!("{}: {why}", why.label()))
    }

    #[test]
    fn every_reason_against_a_node_is_told_in_words() {
        let healthy = || report("a0", "a");
        let files_only = || Report { api: EngineApi::OpenAi, ..healthy() };
        let tired = Request { exclude: BTreeSet::from(["a0".parse().unwrap()]), ..request() };
        let other = Request { model: "n".parse().unwrap(), ..request() };
        let hasty = Request { latency_limit: Duration::from_millis(39), ..request() };
        let now = Duration::ZERO;
        for (report, request, age, expected) in [
            (Report { state: NodeState::Starting, ..healthy() }, request(), now, "starting: engine is starting"),
            (
                Report { state: NodeState::Failing, ..healthy() },
                request(),
                now,
                "failing: engine does not answer its agent",
            ),
            (Report { state: NodeState::Draining, ..healthy() }, request(), now, "draining: draining"),
            (
                Report { state: NodeState::Failing, reason: Some("GPU 0: XID 79".to_owned()), ..healthy() },
                request(),
                now,
                "failing: failing: GPU 0: XID 79",
            ),
            (healthy(), request(), SUSPECT_AFTER, "silent: no report for 3.0 s"),
            (healthy(), tired, now, "already_failed: already failed this session"),
            (healthy(), other, now, "wrong_model: does not serve the model"),
            (healthy(), hasty, now, "too_far: too far: 40 ms"),
            (files_only(), request(), now, "files_only: engine hears files only"),
        ] {
            assert_eq!(why_not(report, &request, age).as_deref(), Some(expected));
        }
        assert_eq!(why_not(files_only(), &Request { work: Work::File, ..request() }, now), None);
        let just_in_time = SUSPECT_AFTER - Duration::from_micros(1);
        assert_eq!(why_not(healthy(), &request(), just_in_time), None);
        let at_the_limit = Request { latency_limit: Duration::from_millis(40), ..request() };
        assert_eq!(why_not(healthy(), &at_the_limit, now), None);
    }

    #[test]
    fn a_rejection_is_flat_in_json() {
        let mut rejected = Vec::new();
        let name = "a0".parse().unwrap();
        reject(&mut rejected, &pool("a"), Some(&name), Reason::Full { used: 24, slots: 24 });
        reject(&mut rejected, &pool("a"), Some(&"a1".parse().unwrap()), Reason::Full { used: 30, slots: 24 });
        let json = serde_json::to_value(&rejected).unwrap();
        let expected = serde_json::json!([
            {"pool": "a", "example": "a0", "nodes": 2, "reason": "full", "used": 24, "slots": 24}
        ]);
        assert_eq!(json, expected);
    }
}
