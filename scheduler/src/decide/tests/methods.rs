//! Each method does what its name says, and none goes where the score may not go.

use std::num::NonZeroU32;

use super::*;
use crate::policy::{Limits, Method};
use crate::{Knobs, Lots, Ratio, Turns};

fn by(method: Method) -> Policy {
    Policy { method, ..Policy::default() }
}

fn with(method: Method, knobs: Knobs) -> Policy {
    Policy { method, limits: Limits { knobs, ..Limits::default() }, ..Policy::default() }
}

/// Places `count` sessions, and tells the names of the nodes they went to.
fn go(fleet: &Fleet, policy: &Policy, count: u64) -> Vec<String> {
    let mut dice = dice(1);
    let placed = (0..count).map(|_| {
        let best = decide(fleet.view(), &request(), policy, noon(), &mut dice).best().unwrap().node;
        fleet.view().reserve(best, noon());
        fleet.view().at(best).unwrap().report.node.to_string()
    });
    placed.collect()
}

/// Only decides, so that nothing changes between.
fn ask_often(fleet: &Fleet, policy: &Policy) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    let mut dice = dice(2);
    for _ in 0..4_000 {
        let best = decide(fleet.view(), &request(), policy, noon(), &mut dice).best().unwrap().node;
        *counts.entry(fleet.view().at(best).unwrap().report.node.to_string()).or_default() += 1;
    }
    counts
}

#[test]
fn round_robin_goes_round_nodes_or_pools() {
    let fleet = || fleet(vec![pool("a"), pool("b")], ["a0", "a1", "b0"].map(|node| report(node, &node[..1])));
    assert_eq!(go(&fleet(), &by(Method::RoundRobin), 5), ["a0", "a1", "b0", "a0", "a1"]);
    let pools = with(Method::RoundRobin, Knobs { turns: Turns::Pools, ..Knobs::default() });
    assert_eq!(go(&fleet(), &pools, 5), ["a0", "b0", "a1", "b0", "a0"]);
}

#[test]
fn random_draws_nodes_or_their_slots() {
    let small = Report { soft_slots: 8, ..report("small", "a") };
    let fleet = fleet(vec![pool("a")], [small, report("large", "a")]);
    let drawn = ask_often(&fleet, &by(Method::Random));
    assert!((1_900..2_100).contains(&drawn["small"]), "{drawn:?}");
    let slots = with(Method::Random, Knobs { lots: Lots::Slots, ..Knobs::default() });
    let drawn = ask_often(&fleet, &slots);
    assert!((900..1_100).contains(&drawn["small"]), "a quarter of the slots: {drawn:?}");
}

#[test]
fn least_loaded_takes_the_emptiest_of_all_or_of_a_sample() {
    let nodes = (0..4).map(|used| Report { used_slots: used, ..report(&format!("n{used}"), "a") });
    let fleet = fleet(vec![pool("a")], nodes);
    assert_eq!(ask_often(&fleet, &by(Method::LeastLoaded)), BTreeMap::from([("n0".to_owned(), 4_000)]));
    let one = with(Method::LeastLoaded, Knobs { sample: NonZeroU32::new(1), ..Knobs::default() });
    assert_eq!(ask_often(&fleet, &one).len(), 4);
}

#[test]
fn two_choices_take_the_emptiest_never_less_often_than_half_of_the_time_and_the_fullest_never() {
    let nodes = (0..4).map(|used| Report { used_slots: used, ..report(&format!("n{used}"), "a") });
    let drawn = ask_often(&fleet(vec![pool("a")], nodes), &by(Method::TwoChoices));
    assert!((1_900..2_100).contains(&drawn["n0"]), "one of two is the emptiest in half of the pairs: {drawn:?}");
    assert!(!drawn.contains_key("n3"));
}

#[test]
fn peak_ewma_weighs_latency_with_sessions() {
    let slow = Report { chunk_latency_p95: Duration::from_millis(105), ..report("slow", "a") };
    let fleet = fleet(vec![pool("a")], [slow, report("fast", "a")]);
    // 120 ms against 40 ms with the round trip: the slow one gets a session for three of the fast one's.
    let placed = go(&fleet, &by(Method::PeakEwma), 16);
    assert_eq!(placed.iter().filter(|node| *node == "slow").count(), 4, "{placed:?}");
}

#[test]
fn a_peak_is_remembered_for_a_while() {
    let peak = Report { chunk_latency_p95: Duration::from_millis(200), ..report("peak", "a") };
    let mut fleet = fleet(vec![pool("a")], [peak, report("calm", "a")]);
    let policy = by(Method::PeakEwma);
    let mut later = |seconds: u64| {
        let now = noon() + Duration::from_secs(seconds);
        for node in ["peak", "calm"] {
            fleet.report(report(node, "a"), now).unwrap();
        }
        fleet.tick(crate::Demand::default(), &policy, now);
        let (mut dice, mut drawn) = (dice(3), BTreeSet::new());
        for _ in 0..50 {
            let best = decide(fleet.view(), &request(), &policy, now, &mut dice).best().unwrap().node;
            drawn.insert(fleet.view().at(best).unwrap().report.node.to_string());
        }
        drawn
    };
    later(0);
    assert_eq!(later(2), BTreeSet::from(["calm".to_owned()]));
    assert_eq!(later(400).len(), 2, "forgotten");
}

#[test]
fn weighted_keeps_to_its_shares() {
    let fleet = fleet(vec![pool("a"), pool("b"), pool("c")], ["a0", "b0", "c0"].map(|node| report(node, &node[..1])));
    let weights = BTreeMap::from([("a".parse().unwrap(), 60), ("b".parse().unwrap(), 20)]);
    let drawn = ask_often(&fleet, &with(Method::Weighted, Knobs { weights, ..Knobs::default() }));
    assert!((2_900..3_100).contains(&drawn["a0"]) && !drawn.contains_key("c0"), "{drawn:?}");
    assert_eq!(ask_often(&fleet, &by(Method::Weighted)).len(), 3, "without shares every pool is as good");
}

#[test]
fn cheapest_fills_one_node_after_the_other() {
    let mut cheap = pool("a");
    cheap.price.node_hour = MicroDollars(100_000);
    let nodes = ["a0", "a1", "b0"].map(|node| Report { soft_slots: 4, ..report(node, &node[..1]) });
    let fleet = || fleet(vec![cheap.clone(), pool("b")], nodes.clone());
    let full = go(&fleet(), &by(Method::Cheapest), 9);
    assert_eq!(full, ["a0", "a0", "a0", "a0", "a1", "a1", "a1", "a1", "b0"]);
    let half = with(Method::Cheapest, Knobs { fill: Ratio::clamped(0.5), ..Knobs::default() });
    assert_eq!(go(&fleet(), &half, 6), ["a0", "a0", "a1", "a1", "b0", "b0"]);
}

proptest! {
    #[test]
    fn every_method_keeps_to_the_allowed_set_and_the_filters(
        fleet in any_fleet(), request in any_request(), seed: u64, method in prop::sample::select(Method::ALL.to_vec()),
    ) {
        let by_score = ask(&fleet, &request, seed);
        let choice = decide(fleet.view(), &request, &by(method), noon(), &mut dice(seed));
        prop_assert_eq!(choice.refusal(), by_score.refusal);
        prop_assert_eq!(choice.picks().is_empty(), choice.refusal().is_some());
        for pick in choice.picks() {
            let node = fleet.view().at(pick.node).unwrap();
            prop_assert!(may_serve(&fleet, node, &request) && has_slot(node));
        }
    }
}
