//! What goes before what: open before closed, free before yielded, home before elsewhere; and what never gives way.

use super::*;
use crate::fleet::{Capacity, Demand};
use crate::request::Priority;
use crate::units::Ratio;

fn tick(fleet: &mut Fleet, streams: u32, now: Timestamp) -> crate::Ticked {
    fleet.tick(Demand { streams, arrivals: 0 }, &Policy::default(), now)
}

fn open(fleet: &Fleet) -> Vec<&str> {
    fleet.view().nodes().filter(Node::is_open).map(|node| node.report.node.as_str()).collect()
}

/// Ten nodes of one pool, after so long that all but two have closed.
fn settled() -> Fleet {
    let mut fleet = fleet(vec![pool("a")], (0..10).map(|n| report(&format!("a{n}"), "a")));
    for seconds in 0..12 {
        let now = noon() + Duration::from_secs(seconds * 10);
        for n in 0..10 {
            fleet.report(report(&format!("a{n}"), "a"), now).unwrap();
        }
        tick(&mut fleet, 10, now);
    }
    fleet
}

const SETTLED: Duration = Duration::from_secs(110);

#[test]
fn new_sessions_go_to_open_nodes_and_to_closed_ones_before_they_crowd() {
    let mut fleet = settled();
    let now = noon() + SETTLED;
    assert_eq!(open(&fleet), ["a0", "a1"]);
    let first = |fleet: &Fleet, seed| ask_at(fleet, &request(), now, &mut dice(seed)).placements.remove(0);
    assert!((0..50).all(|seed| ["a0", "a1"].contains(&first(&fleet, seed).node.as_str())));
    for node in ["a0", "a1"] {
        fleet.report(Report { used_slots: 24, ..report(node, "a") }, now).unwrap();
    }
    let decision = ask_at(&fleet, &request(), now, &mut dice(0));
    assert!(decision.placements[0].node.as_str() > "a1" && decision.seat == Some(Seat::Free));
}

#[test]
fn batch_fills_closed_nodes_first_and_last_what_streams_are_about_to_need() {
    let mut fleet = settled();
    let now = noon() + SETTLED;
    let batch = Request { priority: Priority::Batch, ..request() };
    let first = |fleet: &Fleet, seed| ask_at(fleet, &batch, now, &mut dice(seed)).placements.remove(0);
    assert!((0..50).all(|seed| first(&fleet, seed).node.as_str() > "a1"));
    for n in 2..10 {
        fleet.report(Report { used_slots: 24, ..report(&format!("a{n}"), "a") }, now).unwrap();
    }
    // Three square roots of ten streams are to be kept free, of 48: a fifth.
    for (used, likely) in [([18, 19], Some("a0")), ([19, 18], Some("a1")), ([23, 24], Some("a0")), ([24, 24], None)] {
        for (node, used_slots) in ["a0", "a1"].into_iter().zip(used) {
            fleet.report(Report { used_slots, ..report(node, "a") }, now).unwrap();
        }
        for seed in 0..50 {
            let decision = ask_at(&fleet, &batch, now, &mut dice(seed));
            assert_eq!(decision.placements.first().map(|best| best.node.as_str()), likely, "{used:?} used");
        }
    }
}

#[test]
fn a_stream_takes_the_slot_of_a_batch_chunk() {
    let mut fleet = fleet(vec![pool("a")], [Report { used_slots: 24, ..report("a0", "a") }]);
    fleet.set_batch_slots(&"a0".parse().unwrap(), 3);
    assert_eq!(ask(&fleet, &request(), 0).seat, Some(Seat::Yielded));
    let batch = Request { priority: Priority::Batch, ..request() };
    assert_eq!(refused(&fleet, &batch), Some(Refusal::Full));
    fleet.report(Report { used_slots: 20, ..report("a0", "a") }, noon()).unwrap();
    assert_eq!(ask(&fleet, &request(), 0).seat, Some(Seat::Free));
}

#[test]
fn streams_take_all_slots_of_batch_chunks_before_the_next_report() {
    let mut fleet = fleet(vec![pool("a")], [Report { used_slots: 24, ..report("a0", "a") }]);
    let node: NodeId = "a0".parse().unwrap();
    fleet.set_batch_slots(&node, 20);
    for stream in 0..20 {
        assert_eq!(ask(&fleet, &request(), stream).seat, Some(Seat::Yielded), "stream {stream}");
        reserve(&fleet, &node, noon());
    }
    assert_eq!(ask(&fleet, &request(), 0).seat, Some(Seat::Over));
}

#[test]
fn a_dearer_pool_full_of_batch_goes_before_a_cheap_one_full_of_streams() {
    let mut fleet = two_pools([526_000, 676_000]);
    for node in ["a0", "a1", "a2", "b0", "b1", "b2"] {
        let used_slots = if node < "b" { 23 } else { 24 };
        fleet.report(Report { used_slots, ..report(node, &node[..1]) }, noon()).unwrap();
        fleet.set_batch_slots(&node.parse().unwrap(), if node < "b" { 0 } else { 24 });
    }
    assert!((0..50).all(|seed| ask(&fleet, &request(), seed).placements[0].pool.as_str() == "b"));
}

#[test]
fn the_usual_load_of_a_pool_is_that_of_its_streams() {
    let nodes = (0..10).map(|n| Report { used_slots: 24, ..report(&format!("a{n}"), "a") });
    let mut fleet = fleet(vec![pool("a")], nodes);
    (0..10).for_each(|n| fleet.set_batch_slots(&format!("a{n}").parse().unwrap(), 12));
    tick(&mut fleet, 120, noon());
    assert_eq!(fleet.view().pool_lines[0].usual_load, 0.5);
}

#[test]
fn a_session_comes_back_to_its_node_while_a_soft_slot_is_free() {
    let nodes = ["a0", "a1", "b0"].map(|node| report(node, &node[..1]));
    let mut fleet = fleet(vec![pool("a"), pool("b")], nodes);
    let home = Request { prefer: Some("b0".parse().unwrap()), ..request() };
    for seed in 0..50 {
        let offered = ask(&fleet, &home, seed).placements;
        let names: BTreeSet<_> = offered.iter().map(|placement| placement.node.as_str()).collect();
        assert_eq!((offered[0].node.as_str(), names.len()), ("b0", offered.len()));
        assert!(offered.len() >= 2, "there is somewhere else to go");
    }
    let elsewhere = Request { pools: Some(["a".parse().unwrap()].into()), ..home.clone() };
    assert!(ask(&fleet, &elsewhere, 0).placements.iter().all(|placement| placement.pool.as_str() == "a"));
    fleet.report(Report { used_slots: 24, ..report("b0", "b") }, noon()).unwrap();
    assert_ne!(ask(&fleet, &home, 0).placements[0].node.as_str(), "b0");
}

#[test]
fn a_node_that_becomes_ready_gets_its_slots_little_by_little() {
    let booting = Report { state: NodeState::Starting, ..report("a0", "a") };
    let mut fleet = fleet(vec![pool("a")], [booting]);
    fleet.report(Report { used_slots: 6, ..report("a0", "a") }, noon()).unwrap();
    let at = |fleet: &mut Fleet, seconds, used_slots| {
        let now = noon() + Duration::from_secs(seconds);
        fleet.report(Report { used_slots, ..report("a0", "a") }, now).unwrap();
        ask_at(fleet, &request(), now, &mut dice(0)).refusal
    };
    // A quarter of 27 at once, and five eighths after half of the time.
    assert_eq!([at(&mut fleet, 0, 5), at(&mut fleet, 0, 6)], [None, Some(Refusal::Full)]);
    assert_eq!([at(&mut fleet, 15, 15), at(&mut fleet, 15, 16)], [None, Some(Refusal::Full)]);
    assert_eq!(at(&mut fleet, 30, 26), None);
}

#[test]
fn what_other_routers_place_is_counted_as_what_this_one_places() {
    let mut fleet = fleet(vec![pool("a")], [report("a0", "a")]);
    let node = fleet.view().index_of(&"a0".parse().unwrap()).unwrap();
    fleet.set_routers(4);
    tick(&mut fleet, 0, noon());
    (0..10).for_each(|_| fleet.view().reserve(node, noon()));
    let second = noon() + Duration::from_secs(1);
    tick(&mut fleet, 0, second);
    // Ten promised here; three times a rate of three a second, for the second that the report is old.
    assert_eq!(fleet.view().at(node).unwrap().used_estimate(second), 10 + 9);
}

#[test]
fn nodes_that_fail_rest_but_never_more_than_a_third_nor_any_that_is_needed() {
    let all = || fleet(vec![pool("a")], (0..9).map(|n| report(&format!("a{n}"), "a")));
    let fail = |fleet: &mut Fleet, nodes: u32| {
        for n in 0..nodes {
            (0..3).for_each(|_| fleet.note_failed(&format!("a{n}").parse().unwrap(), noon()));
        }
    };
    for (failing, streams, expected) in [(1, 0, 1), (5, 0, 3), (5, 8 * 24, 1), (5, 9 * 24, 0)] {
        let mut fleet = all();
        fail(&mut fleet, failing);
        assert_eq!(tick(&mut fleet, streams, noon()).ejected.len(), expected, "{failing} fail, {streams} streams");
    }
}

#[test]
fn a_node_that_rested_comes_back_slowly_and_rests_twice_as_long_the_next_time() {
    let mut fleet = fleet(vec![pool("a")], (0..3).map(|n| report(&format!("a{n}"), "a")));
    let bad: NodeId = "a0".parse().unwrap();
    let rest = |fleet: &mut Fleet, from: u64| {
        (0..3).for_each(|_| fleet.note_failed(&bad, noon() + Duration::from_secs(from)));
        let begins = tick(fleet, 0, noon() + Duration::from_secs(from));
        assert_eq!(begins.ejected, std::slice::from_ref(&bad));
        assert!(!ask(fleet, &request(), 0).placements.iter().any(|placement| placement.node == bad));
        (from + 1..).find(|at| tick(fleet, 0, noon() + Duration::from_secs(*at)).returned == [bad.clone()]).unwrap()
            - from
    };
    assert_eq!(rest(&mut fleet, 0), 15);
    assert_eq!(rest(&mut fleet, 600), 30);
    let back = noon() + Duration::from_secs(630);
    fleet.report(Report { used_slots: 6, ..report("a0", "a") }, back).unwrap();
    let alone = Request { exclude: ["a1", "a2"].map(|node| node.parse().unwrap()).into(), ..request() };
    assert_eq!(ask_at(&fleet, &alone, back, &mut dice(0)).refusal, Some(Refusal::Full));
}

#[test]
fn a_pool_whose_agents_are_gone_is_judged_by_its_last_word_while_its_sessions_go_on() {
    let mut fleet = fleet(vec![pool("a")], (0..3).map(|n| report(&format!("a{n}"), "a")));
    let later = noon() + Duration::from_secs(5);
    tick(&mut fleet, 1, later);
    assert_eq!(ask_at(&fleet, &request(), later, &mut dice(0)).refusal, Some(Refusal::NoLiveNode));
    fleet.note_alive(&"a1".parse().unwrap(), later);
    tick(&mut fleet, 1, later);
    assert_eq!(ask_at(&fleet, &request(), later, &mut dice(0)).refusal, None);
    let long_after = noon() + Duration::from_secs(60);
    tick(&mut fleet, 1, long_after);
    assert_eq!(ask_at(&fleet, &request(), long_after, &mut dice(0)).refusal, Some(Refusal::NoLiveNode));
}

#[test]
fn when_slots_are_short_batch_gets_none() {
    let mut fleet = fleet(vec![pool("a")], [report("a0", "a")]);
    tick(&mut fleet, 25, noon());
    assert_eq!(fleet.view().capacity(), Capacity::Short);
    assert_eq!(refused(&fleet, &Request { priority: Priority::Batch, ..request() }), Some(Refusal::Full));
    assert_eq!(refused(&fleet, &request()), None);
}

#[test]
fn a_pool_without_agents_is_left_alone_after_five_failures_and_then_tried_by_one() {
    let mut fleet = fleet(vec![pool("a")], [report("a0", "a")]);
    let node: NodeId = "a0".parse().unwrap();
    fleet.guard(&"a".parse().unwrap(), &crate::BreakerLimits::default());
    (0..5).for_each(|_| fleet.note_failed(&node, noon()));
    let decision = ask(&fleet, &request(), 0);
    assert_eq!(decision.refusal, Some(Refusal::NoLiveNode));
    assert_eq!(decision.rejected[0].why.to_string(), "left alone after failures, for 60 s more");
    let later = noon() + Duration::from_secs(60);
    fleet.report(report("a0", "a"), later).unwrap();
    let refused = |fleet: &Fleet| ask_at(fleet, &request(), later, &mut dice(0)).refusal;
    assert_eq!(refused(&fleet), None);
    reserve(&fleet, &node, later);
    assert!(refused(&fleet).is_some(), "one is on its way");
    fleet.note_opened(&node, later);
    assert_eq!(refused(&fleet), None);
}

#[test]
fn overflow_pools_open_when_the_others_are_nearly_full_and_close_when_they_have_long_not_been() {
    let mut base = pool("a");
    base.tier = crate::Tier::Baseline;
    let nodes = ["a0", "b0"].map(|node| report(node, &node[..1]));
    let mut fleet = fleet(vec![base, pool("b")], nodes);
    let mut at = |seconds: u64, used_slots: u32| {
        let now = noon() + Duration::from_secs(seconds);
        fleet.report(Report { used_slots, ..report("a0", "a") }, now).unwrap();
        fleet.report(report("b0", "b"), now).unwrap();
        let demand = Demand { streams: used_slots, arrivals: 3 };
        fleet.tick(demand, &Policy::default(), now);
        open(&fleet).contains(&"b0")
    };
    assert!(!at(0, 21));
    assert!(at(1, 22), "two slots free, three arrive");
    assert!(at(10, 21), "0.875 is not calm");
    assert!(at(20, 12) && at(49, 12));
    assert!(!at(50, 12));
    assert!((Ratio::clamped(0.85).get() * 24.0) < 21.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever a tick makes of a fleet, panic included, and wherever a session was before.
    #[test]
    fn nothing_leaves_the_allowed_set(
        (mut fleet, request) in (any_fleet(), any_request()),
        (granted, home) in (prop::option::of(subsequence(vec!["p0", "p1", "p2", "p3"], 0..=4)), 0..30_u32),
        (streams, after) in (0..1_000_u32, 0..10_u64),
        seed: u64,
    ) {
        let now = noon() + Duration::from_secs(after);
        let names: Vec<NodeId> = fleet.view().nodes().map(|node| node.report.node.clone()).collect();
        names.iter().for_each(|name| fleet.note_alive(name, now));
        fleet.tick(Demand { streams, arrivals: 5 }, &Policy::default(), now);
        let pools = granted.map(|names| names.into_iter().map(|name| name.parse().unwrap()).collect());
        let request = Request { pools, prefer: Some(format!("n{home:02}").parse().unwrap()), ..request };
        let choice = decide(fleet.view(), &request, &Policy::default(), now, &mut dice(seed));
        for pick in choice.picks() {
            let pool = fleet.view().pool(&fleet.view().at(pick.node).unwrap().report.pool).unwrap();
            prop_assert!(permitted(pool, &request), "{pool:?}");
            prop_assert!(request.pools.as_ref().is_none_or(|granted| granted.contains(&pool.name)));
        }
    }
}
