//! Whatever is asked, healthy and written as rules: nobody is placed where key, residency, compliance and rules do not allow.

use serde_json::{Value, json};

use super::*;
use crate::fleet::Demand;
use crate::record::DecisionRecord;
use crate::rules::{Rule, Rules};
use crate::{Allowed, Priority};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Five pools in two places; the first three are audited.
fn pools() -> Vec<Pool> {
    let with = |(place, name): (usize, &&str)| Pool {
        residency: Residency(["us", "eu"][place % 2].to_owned()),
        compliance: if place < 3 { [Compliance("soc2".to_owned())].into() } else { BTreeSet::new() },
        ..pool(name)
    };
    NAMES.iter().enumerate().map(with).collect()
}

/// A rule, and what it permits in the plainest words.
#[derive(Clone, Debug)]
struct Plain {
    concerns: Concerns,
    only: Vec<&'static str>,
    next: Vec<&'static str>,
    failure: &'static str,
    order: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Concerns {
    All,
    Europe,
}

impl Plain {
    fn rule(&self, number: usize) -> Value {
        let when = match self.concerns {
            Concerns::All => json!({}),
            Concerns::Europe => json!({ "residency": "eu" }),
        };
        let mut then = json!({ "fail_over_to": self.next, "on_failure": self.failure });
        match self.order {
            0 => then["pools"] = json!(self.only),
            1 => {
                then["pools"] = json!(self.only);
                then["order"] = json!("listed");
            }
            _ => then["weights"] = self.only.iter().map(|pool| ((*pool).to_owned(), json!(3))).collect(),
        }
        json!({ "name": format!("r{number}"), "when": when, "then": then })
    }

    fn permits(&self, pool: &str, request: &Request) -> bool {
        let concerned = self.concerns == Concerns::All || request.residency == Some(Residency("eu".to_owned()));
        !concerned || self.failure == "any" || self.only.contains(&pool) || self.next.contains(&pool)
    }
}

fn plain() -> impl Strategy<Value = Plain> {
    let some = |least| subsequence(NAMES.to_vec(), least..=4);
    let concerns = prop_oneof![Just(Concerns::All), Just(Concerns::Europe)];
    let failure = prop_oneof![Just("any"), Just("refuse")];
    (concerns, some(1), some(0), failure, 0..3_usize).prop_map(|(concerns, only, next, failure, order)| Plain {
        concerns,
        only,
        next,
        failure,
        order,
    })
}

fn policy(rules: Vec<Value>) -> Policy {
    let rules: Vec<Rule> = serde_json::from_value(rules.into()).unwrap();
    Policy { rules: Rules::from(rules).on(&pools()), ..Policy::default() }
}

/// A node that is silent, fails, drains or is full, or none of these.
fn node(number: usize, sickness: u8) -> (Report, Duration) {
    let healthy = report(&format!("n{number:02}"), NAMES[number % NAMES.len()]);
    match sickness {
        0 => (healthy, Duration::from_secs(10)),
        1 => (Report { state: NodeState::Failing, ..healthy }, Duration::ZERO),
        2 => (Report { state: NodeState::Draining, ..healthy }, Duration::ZERO),
        3 => (Report { used_slots: 27, ..healthy }, Duration::ZERO),
        4 => (Report { used_slots: 25, ..healthy }, Duration::ZERO),
        _ => (healthy, Duration::ZERO),
    }
}

fn asked() -> impl Strategy<Value = Request> {
    let granted = proptest::option::of(subsequence(NAMES.to_vec(), 0..=5));
    let residency = proptest::option::of(prop_oneof![Just("us"), Just("eu"), Just("mars")]);
    (granted, residency, any::<bool>(), 0..3_u8, 0..20_usize).prop_map(|(granted, residency, audited, kind, near)| {
        Request {
            pools: granted.map(|names| names.into_iter().map(|name| name.parse().unwrap()).collect()),
            residency: residency.map(|place| Residency(place.to_owned())),
            compliance: if audited { [Compliance("soc2".to_owned())].into() } else { BTreeSet::new() },
            class: if kind == 0 { Class::Failover } else { Class::New },
            priority: if kind == 1 { Priority::Batch } else { Priority::Live },
            prefer: Some(format!("n{near:02}").parse().unwrap()),
            ..request()
        }
    })
}

fn lawful(pool: &Pool, request: &Request, rules: &[Plain]) -> bool {
    request.residency.as_ref().is_none_or(|place| pool.residency == *place)
        && request.compliance.is_subset(&pool.compliance)
        && request.pools.as_ref().is_none_or(|pools| pools.contains(&pool.name))
        && rules.iter().all(|rule| rule.permits(pool.name.as_str(), request))
}

proptest! {
    #[test]
    fn nobody_is_placed_outside_what_key_law_and_rules_allow(
        sick in 0..=10_u32,
        dots in proptest::collection::vec((0..10_u32, 0..5_u8), 0..20),
        plain in proptest::collection::vec(plain(), 0..4),
        asked in asked(),
        seed in any::<u64>(),
    ) {
        let policy = policy(plain.iter().enumerate().map(|(number, rule)| rule.rule(number)).collect());
        let mut fleet = Fleet::new(pools());
        for (number, (dot, sickness)) in dots.iter().enumerate() {
            let (report, age) = node(number, if *dot < sick { *sickness } else { u8::MAX });
            let name = report.node.clone();
            fleet.report(report, noon() - age).unwrap();
            fleet.note_alive(&name, noon());
        }
        for method in Method::ALL {
            let policy = Policy { method, ..policy.clone() };
            let decision = {
                let choice = decide(fleet.view(), &asked, &policy, noon(), &mut dice(seed));
                fleet.view().decision(&choice, &asked, explain(fleet.view(), &asked, &policy, noon()))
            };
            for placement in &decision.placements {
                let pool = fleet.view().pool(&placement.pool).unwrap();
                prop_assert!(lawful(pool, &asked, &plain), "{method:?} {placement:?} {plain:?} {asked:?}");
                let closed = |group: &&crate::Rejected| group.pool == placement.pool && group.why.label() == "rule";
                prop_assert!(!decision.rejected.iter().any(|group| closed(&group)), "{decision:?}");
            }
            let nowhere = pools().iter().all(|pool| !lawful(pool, &asked, &plain));
            prop_assert!(!nowhere || decision.refusal == Some(Refusal::NotAllowed), "{decision:?}");
            fleet.tick(Demand { streams: 30, arrivals: 1 }, &policy, noon());
        }
    }
}

fn full(node: &str, pool: &str) -> Report {
    Report { used_slots: 27, ..report(node, pool) }
}

fn served_by(policy: &Policy, fleet: &Fleet, seed: u64) -> Option<String> {
    let choice = decide(fleet.view(), &request(), policy, noon(), &mut dice(seed));
    let decision = fleet.view().decision(&choice, &request(), Vec::new());
    decision.placements.first().map(|first| first.pool.to_string())
}

#[test]
fn the_first_listed_pool_with_room_serves_and_then_the_next() {
    let policy = policy(vec![json!({"name": "r", "then": {"pools": ["c", "a"], "order": "listed"}})]);
    let both = fleet(pools(), [report("a0", "a"), report("c0", "c"), report("b0", "b")]);
    assert_eq!(served_by(&policy, &both, 1).as_deref(), Some("c"));
    let taken = fleet(pools(), [report("a0", "a"), full("c0", "c"), report("b0", "b")]);
    assert_eq!(served_by(&policy, &taken, 1).as_deref(), Some("a"));
}

#[test]
fn what_a_rule_falls_back_on_serves_only_when_nothing_else_can() {
    let rule = json!({"name": "r", "then": {"pools": "a", "fail_over_to": "b"}});
    let policy = policy(vec![rule]);
    let healthy = fleet(pools(), [report("a0", "a"), report("b0", "b"), report("c0", "c")]);
    assert_eq!(served_by(&policy, &healthy, 1).as_deref(), Some("a"));
    let why = explain(healthy.view(), &request(), &policy, noon());
    let closed: Vec<_> = why.iter().map(|group| format!("{}: {}", group.pool, group.why)).collect();
    assert!(closed.contains(&"b: rule r keeps it elsewhere".to_owned()), "{closed:?}");
    let taken = fleet(pools(), [full("a0", "a"), report("b0", "b"), report("c0", "c")]);
    assert_eq!(served_by(&policy, &taken, 1).as_deref(), Some("b"));
    let nothing = fleet(pools(), [full("a0", "a"), full("b0", "b"), report("c0", "c")]);
    assert_eq!(served_by(&policy, &nothing, 1), None);
}

#[test]
fn weights_share_sessions_out_as_they_say() {
    let policy = policy(vec![json!({"name": "r", "then": {"weights": {"a": 1, "b": 3}}})]);
    let fleet = fleet(pools(), NAMES.map(|name| report(&format!("{name}0"), name)));
    let served: Vec<_> = (0..1000).filter_map(|seed| served_by(&policy, &fleet, seed)).collect();
    let share = served.iter().filter(|pool| *pool == "b").count();
    assert!(served.len() == 1000 && (700..800).contains(&share), "{share} of {}", served.len());
}

#[test]
fn a_rule_that_refuses_leaves_nothing_and_is_named() {
    let policy = policy(vec![json!({"name": "shut", "then": {"refuse": "come back tomorrow"}})]);
    let fleet = fleet(pools(), [report("a0", "a")]);
    let choice = decide(fleet.view(), &request(), &policy, noon(), &mut dice(1));
    assert_eq!(choice.refusal(), Some(Refusal::NotAllowed));
    let refusal = Allowed::of(fleet.view(), &request(), &policy.rules).unwrap_err().to_string();
    assert_eq!(refusal, "rule shut refuses this request: come back tomorrow");
    let why = explain(fleet.view(), &request(), &policy, noon());
    assert!(why.len() == 5 && why.iter().all(|group| group.why.to_string() == "rule shut keeps it elsewhere"));
}

#[test]
fn a_decision_by_rules_is_made_again_from_what_was_written() {
    let policy = policy(vec![json!({"name": "r", "then": {"weights": {"a": 1, "b": 3}}})]);
    let fleet = fleet(pools(), NAMES.map(|name| report(&format!("{name}0"), name)));
    let snapshot = fleet.view().record();
    let read: Policy = serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
    for seed in 0..50 {
        let record = DecisionRecord::make(&snapshot, fleet.view(), &request(), &policy, (noon(), seed));
        assert_eq!(record.replay(&snapshot, &read).unwrap(), record.decision);
    }
}
