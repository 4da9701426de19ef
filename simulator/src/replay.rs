//! What if: recorded decisions, made again by another policy on the fleets they were made on. It says what each decision alone
//! would have changed; that later decisions would then have met another fleet, only a simulation of the whole can show.

use std::collections::BTreeMap;
use std::time::Duration;

use scheduler::{Decision, DecisionRecord, FleetSnapshot, Policy, PolicyHash, Seat, SessionId};
use serde::{Deserialize, Serialize};

/// A session whose length is not recorded is taken to be as long as calls are on average.
const USUAL_LENGTH: Duration = Duration::from_secs(189);
/// Recorded fleets that are kept: decisions follow their fleet closely.
const MOST_FLEETS: usize = 64;

/// One line of a decision log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// A fleet, which later decisions name by its version.
    Fleet(Box<FleetSnapshot>),
    /// The policy that the next decisions were made by.
    Policy {
        /// Its name.
        hash: PolicyHash,
        /// All of it.
        policy: Box<Policy>,
    },
    /// A decision.
    Decision(Box<DecisionRecord>),
    /// How long a session was.
    Ended(Ended),
}

/// The end of a session.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// The session.
    pub session: SessionId,
    /// From its first slot to its end.
    #[serde(with = "scheduler::units::duration")]
    pub length: Duration,
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: expected a policy, a fleet, a decision or an end, {cause}")]
pub struct BadLine {
    line: usize,
    cause: serde_json::Error,
}

/// One way of deciding, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sum {
    /// Dollars of slots and audio sent, at the first placement of each decision.
    pub cost_usd: f64,
    /// Decisions without a placement.
    pub refused: u64,
    /// Decisions for a slot above the soft ones.
    pub over: u64,
}

/// What would have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct WhatIf {
    /// Decisions made again.
    pub decisions: u64,
    /// Decisions whose fleet or policy is not in the log, or no longer kept.
    pub skipped: u64,
    /// Decisions whose first placement would have been another.
    pub changed: u64,
    /// As recorded.
    pub before: Sum,
    /// By the other policy.
    pub after: Sum,
}

impl Sum {
    fn add(&mut self, decision: &Decision, length: Duration) {
        let hours = length.as_secs_f64() / 3600.0;
        match decision.placements.first() {
            Some(first) => self.cost_usd += first.terms.price().dollars() * hours,
            None => self.refused += 1,
        }
        self.over += u64::from(decision.seat == Some(Seat::Over));
    }
}

/// By what decisions are made again.
#[derive(Clone, Copy, Debug)]
pub enum Judge<'a> {
    /// By the policy that the log says they were made by: nothing may change.
    Recorded,
    /// By another one.
    Other(&'a Policy),
}

/// Makes the decisions of a log again.
///
/// # Errors
/// Fails on a line that is not in the format.
pub fn replay(log: &str, judge: Judge<'_>) -> Result<WhatIf, BadLine> {
    let lines = read(log)?;
    let ended = lines.iter().filter_map(|line| match line {
        Line::Ended(ended) => Some((ended.session, ended.length)),
        Line::Fleet(_) | Line::Policy { .. } | Line::Decision(_) => None,
    });
    let lengths: BTreeMap<SessionId, Duration> = ended.collect();
    let mut fleets: BTreeMap<u64, &FleetSnapshot> = BTreeMap::new();
    let (mut what_if, mut recorded) = (WhatIf::default(), None);
    for line in &lines {
        match line {
            Line::Fleet(fleet) => {
                fleets.insert(fleet.version(), fleet);
                if fleets.len() > MOST_FLEETS {
                    fleets.pop_first();
                }
            }
            Line::Decision(record) => {
                let length = lengths.get(&record.request.session).copied().unwrap_or(USUAL_LENGTH);
                let policy = match judge {
                    Judge::Recorded => recorded,
                    Judge::Other(policy) => Some(policy),
                };
                what_if.again(record, fleets.get(&record.fleet_version).copied().zip(policy), length);
            }
            Line::Policy { policy, .. } => recorded = Some(&**policy),
            Line::Ended(_) => {}
        }
    }
    Ok(what_if)
}

fn read(log: &str) -> Result<Vec<Line>, BadLine> {
    let lines = log.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(at, line)| serde_json::from_str(line).map_err(|cause| BadLine { line: at + 1, cause })).collect()
}

impl WhatIf {
    fn again(&mut self, record: &DecisionRecord, on: Option<(&FleetSnapshot, &Policy)>, length: Duration) {
        let again = on.and_then(|(fleet, policy)| record.replay(fleet, policy).ok());
        let Some(again) = again else {
            self.skipped += 1;
            return;
        };
        let first = |decision: &Decision| decision.placements.first().map(|first| first.node.clone());
        self.decisions += 1;
        self.changed += u64::from(first(&again) != first(&record.decision));
        self.before.add(&record.decision, length);
        self.after.add(&again, length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::Production;
    use crate::testing::case;
    use scheduler::Method;

    /// A log of some decisions on the fleet of `S`.
    fn log() -> String {
        let case = case("S", |_| {});
        let lines = Production::sample_log(&case, &Policy::default(), 200);
        lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect()
    }

    #[test]
    fn the_same_policy_changes_nothing() {
        let policy = Policy::default();
        let line = serde_json::to_string(&Line::Policy { hash: policy.hash(), policy: Box::new(policy.clone()) });
        let log = line.unwrap() + "\n" + &log();
        for judge in [Judge::Other(&policy), Judge::Recorded] {
            let what_if = replay(&log, judge).unwrap();
            assert_eq!((what_if.decisions, what_if.changed, what_if.skipped), (200, 0, 0));
            assert_eq!(what_if.before, what_if.after);
        }
    }

    #[test]
    fn a_policy_that_ignores_prices_costs_more() {
        let random = Policy { method: Method::Random, ..Policy::default() };
        let what_if = replay(&log(), Judge::Other(&random)).unwrap();
        assert!(what_if.changed > 20 && what_if.after.cost_usd > what_if.before.cost_usd, "{what_if:?}");
    }

    #[test]
    fn a_line_that_is_something_else_is_named() {
        let error = replay("\n{\"volume\":11}\n", Judge::Recorded).unwrap_err().to_string();
        assert!(
            error.starts_with("line 2: expected a policy, a fleet, a decision or an end, unknown variant"),
            "{error}"
        );
    }
}
