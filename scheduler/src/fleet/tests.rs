//! What reports, promises, failures and silence do to a fleet.

use super::*;
use crate::testing::{noon, pool, report};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn reserve(fleet: &Fleet, node: &NodeId, now: Timestamp) {
    if let Some(node) = fleet.view().index_of(node) {
        fleet.view().reserve(node, now);
    }
}

fn fleet() -> (Fleet, NodeId) {
    let mut fleet = Fleet::new(vec![pool("a")]);
    fleet.report(report("a0", "a"), noon()).unwrap();
    (fleet, "a0".parse().unwrap())
}

#[test]
fn a_report_of_an_unknown_pool_is_refused_with_the_known_ones() {
    let mut fleet = Fleet::new(vec![pool("a"), pool("b")]);
    let error = fleet.report(report("c0", "c"), noon()).unwrap_err();
    assert_eq!(error.to_string(), "no pool is called c; configured pools: a, b");
    assert_eq!((fleet.view().nodes().count(), fleet.view().version()), (0, 0));
}

#[test]
fn a_promise_counts_for_three_seconds() {
    let (fleet, node) = fleet();
    reserve(&fleet, &node, noon());
    let used = |after| fleet.view().node(&node).unwrap().used_estimate(noon() + ms(after));
    assert_eq!([used(0), used(2_999), used(3_000)], [1, 1, 0]);
}

#[test]
fn a_report_settles_promises_that_are_half_a_second_old() {
    let (mut fleet, node) = fleet();
    reserve(&fleet, &node, noon());
    reserve(&fleet, &node, noon() + ms(1));
    let arrived = noon() + ms(500);
    fleet.report(Report { used_slots: 1, ..report("a0", "a") }, arrived).unwrap();
    assert_eq!(fleet.view().node(&node).unwrap().used_estimate(arrived), 2, "one reported and one still on its way");
}

#[test]
fn a_session_that_a_report_shows_is_not_counted_as_promised_too() {
    let (mut fleet, node) = fleet();
    reserve(&fleet, &node, noon());
    reserve(&fleet, &node, noon());
    let soon = noon() + ms(200);
    fleet.report(Report { used_slots: 1, ..report("a0", "a") }, soon).unwrap();
    assert_eq!(fleet.view().node(&node).unwrap().used_estimate(soon), 2, "one reported, one still on its way");
    fleet.report(Report { used_slots: 2, ..report("a0", "a") }, soon).unwrap();
    assert_eq!(fleet.view().node(&node).unwrap().used_estimate(soon), 2);
}

#[test]
fn a_session_that_left_holds_no_slot_until_the_next_report() {
    let (mut fleet, node) = fleet();
    fleet.report(Report { used_slots: 1, ..report("a0", "a") }, noon()).unwrap();
    reserve(&fleet, &node, noon());
    for left in [1, 0, 0] {
        fleet.note_left(&node, noon());
        assert_eq!(fleet.view().node(&node).unwrap().used_estimate(noon()), left);
    }
    fleet.report(Report { used_slots: 1, ..report("a0", "a") }, noon()).unwrap();
    assert_eq!(fleet.view().node(&node).unwrap().used_estimate(noon()), 1, "the node knows better");
}

#[test]
fn a_promise_on_a_forgotten_node_is_no_mistake() {
    let (mut fleet, node) = fleet();
    fleet.forget_silent(ms(0), noon());
    reserve(&fleet, &node, noon());
    assert!(fleet.view().node(&node).is_none());
}

#[test]
fn the_error_share_halves_every_thirty_seconds() {
    let (mut fleet, node) = fleet();
    fleet.note_failed(&node, noon());
    let share = |after| fleet.view().node(&node).unwrap().error_share(noon() + Duration::from_secs(after)).get();
    for (after, expected) in [(0, 0.2), (30, 0.1), (60, 0.05), (300, 0.2 / 1024.0)] {
        assert!((share(after) - expected).abs() < 1e-6, "{} after {after} s", share(after));
    }
}

#[test]
fn the_error_share_stays_below_one_and_falls_with_every_open() {
    let (mut fleet, node) = fleet();
    (0..100).for_each(|_| fleet.note_failed(&node, noon()));
    let high = fleet.view().node(&node).unwrap().error_share(noon()).get();
    fleet.note_opened(&node, noon());
    let lower = fleet.view().node(&node).unwrap().error_share(noon()).get();
    assert!(high > 0.99 && high <= 1.0 && (lower - high * 0.8).abs() < 1e-6);
}

#[test]
fn nodes_that_were_silent_for_the_limit_are_forgotten() {
    let (mut fleet, _) = fleet();
    fleet.report(report("a1", "a"), noon() + ms(1)).unwrap();
    let before = fleet.view().version();
    let forgotten = fleet.forget_silent(ms(5_000), noon() + ms(5_000));
    assert_eq!(forgotten, ["a0".parse().unwrap()]);
    assert_eq!(fleet.view().nodes().map(|node| node.report.node.as_str()).collect::<Vec<_>>(), ["a1"]);
    assert!(fleet.view().version() > before);
}

#[test]
fn an_age_that_is_held_stands_still_and_never_lies_in_the_future() {
    let (mut fleet, node) = fleet();
    let now = noon() + ms(1_500);
    for expected in [1_000, 500, 0, 0] {
        fleet.hold_age(&node, ms(500), now);
        assert_eq!(fleet.view().node(&node).unwrap().age(now), ms(expected));
    }
}

#[test]
fn a_report_that_lies_is_forced_into_range() {
    let lie = Report {
        soft_slots: u32::MAX,
        hard_slots: u32::MAX,
        used_slots: u32::MAX,
        realtime_factor: f32::NAN,
        chunk_latency_p95: Duration::MAX,
        ..report("a0", "a")
    };
    let (mut fleet, node) = fleet();
    fleet.report(lie, noon()).unwrap();
    let sane = &fleet.view().node(&node).unwrap().report;
    assert_eq!((sane.soft_slots, sane.hard_slots, sane.used_slots), (10_000, 10_000, 10_000));
    assert_eq!((sane.realtime_factor, sane.chunk_latency_p95), (0.0, Duration::from_secs(60)));
    let sane = Report { soft_slots: 9, hard_slots: 5, realtime_factor: -1.0, ..report("a0", "a") }.sane();
    assert_eq!((sane.soft_slots, sane.hard_slots, sane.realtime_factor), (5, 5, 0.0));
}

fn takes(fleet: &Fleet, node: &str) -> bool {
    let request = crate::testing::request();
    let choice = crate::decide(fleet.view(), &request, &crate::Policy::default(), noon(), &mut crate::Dice::new(1));
    let decision = fleet.view().decision(&choice, &request, Vec::new());
    decision.placements.iter().any(|placement| placement.node.as_str() == node)
}

fn state(fleet: &Fleet, node: &str) -> NodeState {
    fleet.view().node(&node.parse().unwrap()).unwrap().report.state
}

#[test]
fn a_node_that_an_operator_drains_takes_nothing_whatever_its_agent_says() {
    let (mut fleet, node) = fleet();
    assert!(takes(&fleet, "a0"));
    fleet.set_drained([node.clone(), "a1".parse().unwrap()].into(), noon());
    assert!(!takes(&fleet, "a0"));
    assert_eq!(state(&fleet, "a0"), NodeState::Draining);
    fleet.report(report("a0", "a"), noon()).unwrap();
    fleet.report(report("a1", "a"), noon()).unwrap();
    let index = fleet.view().index_of(&node).unwrap();
    let beat = Beat { state: NodeState::Serving, used_slots: 0, queue_depth: 0, chunk_latency_p95: ms(20) };
    fleet.beat(index, beat, noon());
    fleet.tick(Demand::default(), &crate::Policy::default(), noon());
    assert!(!takes(&fleet, "a0") && !takes(&fleet, "a1"));
    fleet.set_drained([].into(), noon());
    assert!(takes(&fleet, "a0"));
    assert_eq!(state(&fleet, "a1"), NodeState::Serving);
}

#[test]
fn a_node_whose_engine_fails_is_not_made_better_by_an_operator() {
    let (mut fleet, node) = fleet();
    fleet.report(Report { state: NodeState::Failing, ..report("a0", "a") }, noon()).unwrap();
    fleet.set_drained([node].into(), noon());
    assert_eq!(state(&fleet, "a0"), NodeState::Failing);
    fleet.set_drained([].into(), noon());
    assert_eq!(state(&fleet, "a0"), NodeState::Failing);
}

#[test]
fn nodes_keep_what_is_known_of_them_when_pools_are_replaced() {
    let mut fleet = Fleet::new(vec![pool("a"), pool("b"), pool("c")]);
    for (node, pool) in [("a0", "a"), ("b0", "b"), ("c0", "c")] {
        fleet.report(report(node, pool), noon()).unwrap();
    }
    let b0: NodeId = "b0".parse().unwrap();
    reserve(&fleet, &b0, noon());
    fleet.note_failed(&b0, noon());
    fleet.tick(Demand::default(), &crate::Policy::default(), noon());
    let (errors, version) = (fleet.view().node(&b0).unwrap().error_share(noon()), fleet.view().version());

    let dearer =
        Pool { price: crate::Price { node_hour: crate::MicroDollars(9_000_000), ..pool("b").price }, ..pool("b") };
    let gone = fleet.replace_pools(vec![pool("d"), dearer, pool("a")], noon());
    assert_eq!(gone, ["c0".parse::<NodeId>().unwrap()]);
    assert!(fleet.view().version() > version, "it is published");
    assert_eq!(fleet.view().nodes().map(|node| node.report.node.as_str()).collect::<Vec<_>>(), ["a0", "b0"]);
    let known = fleet.view().node(&b0).unwrap();
    assert_eq!((known.error_share(noon()), known.used_estimate(noon())), (errors, 1));
    assert!(takes(&fleet, "a0") && fleet.report(report("c0", "c"), noon()).is_err());
    fleet.report(report("d0", "d"), noon()).unwrap();
    fleet.tick(Demand::default(), &crate::Policy::default(), noon());
    assert!(takes(&fleet, "d0"));
}
