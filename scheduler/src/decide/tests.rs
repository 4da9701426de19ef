//! What a decision promises, as examples and as properties over random fleets and requests.

mod methods;
mod rounds;
mod storm;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::engine::EngineApi;
use crate::explain::explain;
use crate::fleet::{Fleet, Node};
use crate::ids::{NodeId, PoolName};
use crate::pool::Pool;
use crate::report::{NodeState, Report};
use crate::request::{Class, Work};
use crate::score::score;
use crate::testing::{noon, pool, report, request};
use crate::units::MicroDollars;
use crate::{Compliance, Market, Residency};

fn dice(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn fleet(pools: Vec<Pool>, reports: impl IntoIterator<Item = Report>) -> Fleet {
    let mut fleet = Fleet::new(pools);
    for report in reports {
        fleet.report(report, noon()).unwrap();
    }
    fleet
}

fn ask(fleet: &Fleet, request: &Request, seed: u64) -> Decision {
    ask_at(fleet, request, noon(), &mut dice(seed))
}

fn ask_at(fleet: &Fleet, request: &Request, now: Timestamp, dice: &mut StdRng) -> Decision {
    let (view, policy) = (fleet.view(), Policy::default());
    let choice = decide(view, request, &policy, now, dice);
    view.decision(&choice, request, explain(view, request, &policy, now))
}

fn reserve(fleet: &Fleet, node: &NodeId, now: Timestamp) {
    fleet.view().reserve(fleet.view().index_of(node).unwrap(), now);
}

fn refused(fleet: &Fleet, request: &Request) -> Option<Refusal> {
    ask(fleet, request, 0).refusal
}

fn two_pools(prices: [i64; 2]) -> Fleet {
    let priced = |(name, price): (&str, i64)| {
        let mut pool = pool(name);
        pool.price.node_hour = MicroDollars(price);
        pool
    };
    let nodes = ["a", "b"].iter().flat_map(|pool| (0..3).map(move |n| report(&format!("{pool}{n}"), pool)));
    fleet(["a", "b"].into_iter().zip(prices).map(priced).collect(), nodes)
}

#[test]
fn two_nodes_of_one_pool_and_one_of_another_are_offered() {
    for seed in 0..100 {
        let offered = ask(&two_pools([526_000; 2]), &request(), seed).placements;
        let pools: Vec<_> = offered.iter().map(|placement| placement.pool.as_str()).collect();
        assert!(matches!(pools[..], ["a", "a", "b"] | ["b", "b", "a"]), "{pools:?}");
        assert_ne!(offered[0].node, offered[1].node);
    }
}

#[test]
fn a_pool_that_is_cheaper_by_more_than_the_band_always_comes_first() {
    // 24 slots: 15 cents a node-hour are 0.0063 dollars a slot-hour, more than 5 % of 0.022 + 0.010.
    let fleet = two_pools([526_000, 676_000]);
    assert!((0..200).all(|seed| ask(&fleet, &request(), seed).placements[0].pool.as_str() == "a"));
}

#[test]
fn pools_within_the_band_share_sessions_by_their_free_slots() {
    let mut fleet = two_pools([526_000, 176_000]);
    for node in ["b0", "b1", "b2"] {
        fleet.report(Report { soft_slots: 8, ..report(node, "b") }, noon()).unwrap();
    }
    let first = (0..4_000).filter(|seed| ask(&fleet, &request(), *seed).placements[0].pool.as_str() == "a").count();
    assert!((2_850..3_150).contains(&first), "72 of 96 free slots are in pool a, it came first {first} of 4000 times");
}

#[test]
fn the_cheaper_of_two_cold_nodes_comes_first_and_the_emptier_of_two_equal_ones() {
    let near = report("near", "a");
    let far = Report { chunk_latency_p95: Duration::from_millis(90), ..report("far", "a") };
    let busy = Report { used_slots: 5, ..report("busy", "a") };
    for (better, worse) in [(&near, &far), (&near, &busy)] {
        let fleet = fleet(vec![pool("a")], [better.clone(), worse.clone()]);
        assert!((0..50).all(|seed| ask(&fleet, &request(), seed).placements[0].node == better.node));
    }
}

#[test]
fn a_hot_node_comes_after_a_cold_one_and_after_a_less_hot_one() {
    let dear = Report { used_slots: 12, chunk_latency_p95: Duration::from_millis(300), ..report("dear", "a") };
    let hot = Report { used_slots: 20, chunk_latency_p95: Duration::from_millis(300), ..report("hot", "a") };
    let hotter = Report { used_slots: 22, ..report("hotter", "a") };
    for (better, worse) in [(&dear, &hotter), (&hot, &hotter), (&dear, &hot)] {
        let fleet = fleet(vec![pool("a")], [better.clone(), worse.clone()]);
        assert!((0..50).all(|seed| ask(&fleet, &request(), seed).placements[0].node == better.node));
    }
}

#[test]
fn every_pair_of_equal_nodes_is_drawn_equally_often() {
    let fleet = fleet(vec![pool("a")], (0..4).map(|n| report(&format!("a{n}"), "a")));
    let mut pairs = BTreeMap::<[NodeId; 2], u32>::new();
    for seed in 0..6_000 {
        let [first, second] = ask(&fleet, &request(), seed).placements.try_into().unwrap();
        *pairs.entry([first.node, second.node]).or_default() += 1;
    }
    assert!(pairs.len() == 12 && pairs.values().all(|times| (400..600).contains(times)), "{pairs:?}");
}

#[test]
fn a_slot_above_the_soft_ones_is_used_when_no_soft_one_is_free_anywhere() {
    let busy = Report { used_slots: 24, ..report("a0", "a") };
    let alone = fleet(vec![pool("a"), pool("b")], [busy.clone()]);
    assert_eq!(ask(&alone, &request(), 0).seat, Some(Seat::Over));
    let both = fleet(vec![pool("a"), pool("b")], [busy, Report { used_slots: 23, ..report("b0", "b") }]);
    let decision = ask(&both, &request(), 0);
    assert_eq!((decision.seat, decision.placements[0].node.as_str()), (Some(Seat::Free), "b0"));
    assert_eq!(decision.placements[1].node.as_str(), "a0", "better than nothing");
    let batch = Request { priority: crate::Priority::Batch, ..request() };
    assert_eq!(refused(&alone, &batch), Some(Refusal::Full));
}

#[test]
fn every_reserved_slot_counts_until_the_node_reports() {
    let fleet = fleet(vec![pool("a")], [Report { soft_slots: 3, hard_slots: 3, ..report("a0", "a") }]);
    for _ in 0..3 {
        let decision = ask(&fleet, &request(), 0);
        reserve(&fleet, &decision.placements[0].node, noon());
    }
    let decision = ask(&fleet, &request(), 0);
    assert_eq!(decision.refusal, Some(Refusal::Full));
    assert!(matches!(decision.rejected[0].why, Reason::Full { used: 3, slots: 3 }));
}

#[test]
fn a_request_that_no_pool_may_serve_is_not_allowed_though_nodes_are_free() {
    let fleet = two_pools([526_000; 2]);
    let asked = Request { residency: Some(Residency("eu".to_owned())), ..request() };
    let decision = ask(&fleet, &asked, 0);
    assert_eq!(decision.refusal, Some(Refusal::NotAllowed));
    let groups: Vec<_> = decision.rejected.iter().map(|g| (g.pool.as_str(), g.nodes, g.why.label())).collect();
    assert_eq!(groups, [("a", 3, "residency"), ("b", 3, "residency")]);
}

#[test]
fn full_means_that_one_freed_slot_is_enough() {
    let full = Report { used_slots: 27, ..report("full", "a") };
    let far = Report { chunk_latency_p95: Duration::from_secs(1), ..full.clone() };
    let dear = Request { max_cost: Some(MicroDollars(1)), ..request() };
    assert_eq!(refused(&fleet(vec![pool("a")], [full.clone()]), &request()), Some(Refusal::Full));
    assert_eq!(refused(&fleet(vec![pool("a")], [far]), &request()), Some(Refusal::NoLiveNode));
    assert_eq!(refused(&fleet(vec![pool("a")], [full]), &dear), Some(Refusal::NoLiveNode));
}

#[test]
fn a_stream_never_goes_where_only_files_are_heard() {
    let own_name = BTreeMap::from([("m".parse().unwrap(), "Systran/m".parse().unwrap())]);
    let files_only = || Report { api: EngineApi::OpenAi, engine_models: own_name.clone(), ..report("files", "a") };
    let file = Request { work: Work::File, ..request() };
    let alone = fleet(vec![pool("a"), pool("b")], [files_only()]);
    assert_eq!(refused(&alone, &request()), Some(Refusal::FilesOnly));
    let placement = ask(&alone, &file, 0).placements.remove(0);
    assert_eq!(placement.api, EngineApi::OpenAi);
    assert_eq!(placement.engine_model, Some("Systran/m".parse().unwrap()));

    let beside = fleet(vec![pool("a")], [files_only(), report("both", "a")]);
    for seed in 0..100 {
        let decision = ask(&beside, &request(), seed);
        let offered: Vec<_> = decision.placements.iter().map(|placement| placement.node.as_str()).collect();
        assert_eq!(offered, ["both"]);
    }
    let draining = Report { state: NodeState::Draining, ..report("both", "a") };
    let later = fleet(vec![pool("a")], [files_only(), draining]);
    assert_eq!(refused(&later, &request()), Some(Refusal::NoLiveNode), "another node may serve it later");
}

#[test]
fn a_pool_without_nodes_is_named() {
    let decision = ask(&fleet(vec![pool("a"), pool("b")], [report("a0", "a")]), &request(), 0);
    let groups: Vec<_> = decision.rejected.iter().map(|g| (g.pool.as_str(), g.nodes, g.why.label())).collect();
    assert_eq!(groups, [("b", 0, "no_nodes")]);
}

#[test]
fn a_node_that_failed_sessions_comes_last_until_that_is_forgotten() {
    let mut fleet = fleet(vec![pool("a")], ["a0", "a1"].map(|node| report(node, "a")));
    let bad = "a0".parse().unwrap();
    fleet.note_failed(&bad, noon());
    assert!((0..50).all(|seed| ask(&fleet, &request(), seed).placements[0].node != bad));
    let later = noon() + Duration::from_secs(1_200);
    for node in ["a0", "a1"] {
        fleet.report(report(node, "a"), later).unwrap();
    }
    let first = |seed| ask_at(&fleet, &request(), later, &mut dice(seed)).placements.swap_remove(0);
    assert!((0..50).any(|seed| first(seed).node == bad));
}

/// Ten thousand sessions on forty nodes with 256 slots each, reports once a second, 250 sessions in between.
#[test]
fn two_choices_keep_equal_nodes_equally_full_and_never_over() {
    let slots = |node: &str, used: u32| Report {
        soft_slots: 256,
        hard_slots: 256,
        used_slots: used,
        ..report(node, node.split('-').next().unwrap())
    };
    let names: Vec<String> = (0..40).map(|n| format!("{}-{n:02}", ["a", "b"][n % 2])).collect();
    let mut used: BTreeMap<NodeId, u32> = names.iter().map(|name| (name.parse().unwrap(), 0)).collect();
    let mut fleet = fleet(vec![pool("a"), pool("b")], names.iter().map(|name| slots(name, 0)));
    let (mut dice, mut now) = (dice(7), noon());
    for count in 1..=10_000 {
        let choice = decide(fleet.view(), &request(), &Policy::default(), now, &mut dice);
        let best = choice.best().unwrap().node;
        fleet.view().reserve(best, now);
        *used.get_mut(&fleet.view().at(best).unwrap().report.node).unwrap() += 1;
        now = now + Duration::from_millis(4);
        if count % 250 == 0 {
            for (node, used) in &used {
                fleet.report(slots(node.as_str(), *used), now).unwrap();
            }
        }
    }
    let (least, most) = (*used.values().min().unwrap(), *used.values().max().unwrap());
    assert!(most <= 256, "a node has {most} sessions and 256 slots");
    assert!(most - least <= 12, "nodes have {least} to {most} sessions, 250 on average");
}

/// What may ail a node.
#[derive(Clone, Copy, Debug)]
enum Ailment {
    Silent,
    Full,
    Draining,
    Starting,
    Failing,
    OtherModel,
    Slow,
}

const AILMENTS: [Ailment; 7] = [
    Ailment::Silent,
    Ailment::Full,
    Ailment::Draining,
    Ailment::Starting,
    Ailment::Failing,
    Ailment::OtherModel,
    Ailment::Slow,
];

fn with(mut report: Report, ailment: Option<Ailment>) -> Report {
    match ailment {
        None | Some(Ailment::Silent) => {}
        Some(Ailment::Full) => report.used_slots = report.hard_slots,
        Some(Ailment::Draining) => report.state = NodeState::Draining,
        Some(Ailment::Starting) => report.state = NodeState::Starting,
        Some(Ailment::Failing) => report.state = NodeState::Failing,
        Some(Ailment::OtherModel) => report.models = BTreeSet::from(["other".parse().unwrap()]),
        Some(Ailment::Slow) => report.chunk_latency_p95 = Duration::from_secs(2),
    }
    report
}

fn regimes() -> impl Strategy<Value = BTreeSet<Compliance>> {
    subsequence(vec!["hipaa", "soc2"], 0..=2)
        .prop_map(|names| names.into_iter().map(|name| Compliance(name.to_owned())).collect())
}

fn any_pool() -> impl Strategy<Value = Pool> {
    let market = prop_oneof![Just(Market::Fixed), Just(Market::Spot), Just(Market::OnDemand)];
    (market, 0..4_000_000_i64, 0..120_000_i64, 0..400_u64, prop_oneof![Just("us"), Just("eu")], regimes()).prop_map(
        |(market, node_hour, egress_gb, round_trip, residency, compliance)| {
            let mut pool = pool("p");
            pool.price = crate::Price { node_hour: MicroDollars(node_hour), egress_gb: MicroDollars(egress_gb) };
            pool.link.round_trip = Duration::from_millis(round_trip);
            Pool { market, residency: Residency(residency.to_owned()), compliance, ..pool }
        },
    )
}

#[derive(Clone, Debug)]
struct AnyNode {
    pool: Index,
    ailment: (u32, Index),
    soft: u32,
    above: u32,
    used: u32,
    latency: u64,
    promises: u32,
    failures: u32,
}

fn any_node() -> impl Strategy<Value = AnyNode> {
    let ailment = (0..100_u32, any::<Index>());
    (any::<Index>(), ailment, 0..20_u32, 0..4_u32, 0..20_u32, 0..300_u64, 0..4_u32, 0..3_u32).prop_map(
        |(pool, ailment, soft, above, used, latency, promises, failures)| AnyNode {
            pool,
            ailment,
            soft,
            above,
            used,
            latency,
            promises,
            failures,
        },
    )
}

/// A fleet in which `sick` percent of the nodes have an ailment.
fn build(mut pools: Vec<Pool>, nodes: &[AnyNode], sick: u32) -> Fleet {
    for (number, pool) in pools.iter_mut().enumerate() {
        pool.name = format!("p{number}").parse().unwrap();
    }
    let mut fleet = Fleet::new(pools.clone());
    for (number, node) in nodes.iter().enumerate() {
        let ailment = (node.ailment.0 < sick).then(|| *node.ailment.1.get(&AILMENTS));
        let silent = matches!(ailment, Some(Ailment::Silent));
        let since = noon() - Duration::from_secs(if silent { 3 } else { 2 });
        let healthy = Report {
            soft_slots: node.soft,
            hard_slots: node.soft + node.above,
            used_slots: node.used,
            chunk_latency_p95: Duration::from_millis(node.latency),
            ..report(&format!("n{number:02}"), node.pool.get(&pools).name.as_str())
        };
        let report = with(healthy, ailment);
        let name = report.node.clone();
        let index = fleet.report(report, since).unwrap();
        (0..node.promises).for_each(|_| fleet.view().reserve(index, since));
        (0..node.failures).for_each(|_| fleet.note_failed(&name, since));
    }
    fleet
}

fn any_fleet() -> impl Strategy<Value = Fleet> {
    let sick = prop_oneof![Just(0_u32), Just(100), 0..=100_u32];
    (prop::collection::vec(any_pool(), 0..6), prop::collection::vec(any_node(), 0..30), sick).prop_map(
        |(pools, nodes, sick)| {
            let nodes = if pools.is_empty() { Vec::new() } else { nodes };
            build(pools, &nodes, sick)
        },
    )
}

fn any_request() -> impl Strategy<Value = Request> {
    let residency = prop_oneof![2 => Just(None), 1 => Just(Some("us")), 1 => Just(Some("eu"))];
    let class = prop_oneof![Just(Class::New), Just(Class::Failover)];
    let max_cost = prop::option::weighted(0.3, (0..300_000_i64).prop_map(MicroDollars));
    let exclude = subsequence((0..30).map(|n| format!("n{n:02}")).collect::<Vec<_>>(), 0..4);
    (residency, regimes(), class, max_cost, 100..900_u64, exclude).prop_map(
        |(residency, compliance, class, max_cost, latency, exclude)| Request {
            residency: residency.map(|name| Residency(name.to_owned())),
            compliance,
            class,
            max_cost,
            latency_limit: Duration::from_millis(latency),
            exclude: exclude.iter().map(|name| name.parse().unwrap()).collect(),
            ..request()
        },
    )
}

fn permitted(pool: &Pool, request: &Request) -> bool {
    request.residency.as_ref().is_none_or(|wanted| pool.residency == *wanted)
        && request.compliance.is_subset(&pool.compliance)
}

/// The filters said a second time, slots aside.
fn may_serve(fleet: &Fleet, node: Node<'_>, request: &Request) -> bool {
    let pool = fleet.view().pool(&node.report.pool).unwrap();
    let price = pool.price.node_hour.dollars() / f64::from(node.report.soft_slots.max(1))
        + pool.price.egress_gb.dollars() * 0.1152;
    permitted(pool, request)
        && node.report.state == NodeState::Serving
        && node.age(noon()) < Duration::from_secs(3)
        && node.report.models.contains(&request.model)
        && !request.exclude.contains(&node.report.node)
        && pool.link.round_trip + node.report.chunk_latency_p95 <= request.latency_limit
        && request.max_cost.is_none_or(|limit| price <= limit.dollars() + 1e-6)
}

fn has_slot(node: Node<'_>) -> bool {
    node.used_estimate(noon()) < node.report.hard_slots
}

fn has_soft_slot(node: Node<'_>) -> bool {
    node.used_estimate(noon()) < node.report.soft_slots
}

/// How many nodes of each pool fit.
fn fitting(fleet: &Fleet, request: &Request, slot: fn(Node<'_>) -> bool) -> BTreeMap<PoolName, usize> {
    let mut fit = BTreeMap::new();
    for node in fleet.view().nodes().filter(|node| may_serve(fleet, *node, request) && slot(*node)) {
        *fit.entry(node.report.pool.clone()).or_default() += 1;
    }
    fit
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_placement_is_live_allowed_and_has_a_free_slot(fleet in any_fleet(), request in any_request(), seed: u64) {
        let offered = ask(&fleet, &request, seed).placements;
        let distinct: BTreeSet<_> = offered.iter().map(|placement| &placement.node).collect();
        prop_assert!(offered.len() <= 3 && distinct.len() == offered.len());
        for placement in &offered {
            let node = fleet.view().node(&placement.node).unwrap();
            prop_assert!(may_serve(&fleet, node, &request) && has_slot(node), "{placement:?}");
            prop_assert_eq!((&placement.pool, &placement.address), (&node.report.pool, &node.report.address));
            let pool = fleet.view().pool(&placement.pool).unwrap();
            prop_assert_eq!(placement.terms, score(node, pool, &request, &crate::Scoring::default(), noon()));
        }
    }

    #[test]
    fn as_many_nodes_and_pools_are_offered_as_there_are(fleet in any_fleet(), request in any_request(), seed: u64) {
        let (soft, all) = (fitting(&fleet, &request, has_soft_slot), fitting(&fleet, &request, has_slot));
        let decision = ask(&fleet, &request, seed);
        let offered = decision.placements;
        prop_assert_eq!(decision.seat, offered.first().map(|_| if soft.is_empty() { Seat::Over } else { Seat::Free }));
        let fit = if soft.is_empty() { &all } else { &soft };
        let first = offered.first().map(|best| &best.pool);
        let of_first = offered.iter().filter(|placement| Some(&placement.pool) == first).count();
        prop_assert_eq!(of_first, first.map_or(0, |pool| fit[pool].min(2)));
        prop_assert_eq!(offered.len() - of_first, usize::from(all.len() > 1));
    }

    #[test]
    fn a_refusal_says_what_the_fleet_is_like(fleet in any_fleet(), request in any_request(), seed: u64) {
        let may: Vec<_> = fleet.view().nodes().filter(|node| may_serve(&fleet, *node, &request)).collect();
        let expected = if !fleet.view().pools().iter().any(|pool| permitted(pool, &request)) {
            Some(Refusal::NotAllowed)
        } else if may.is_empty() {
            Some(Refusal::NoLiveNode)
        } else if may.iter().all(|node| !has_slot(*node)) {
            Some(Refusal::Full)
        } else {
            None
        };
        let decision = ask(&fleet, &request, seed);
        prop_assert_eq!(decision.refusal, expected);
        prop_assert_eq!(decision.placements.is_empty(), expected.is_some());
        prop_assert_eq!(decision.fleet_version, fleet.view().version());
    }

    #[test]
    fn the_same_dice_give_the_same_decision(fleet in any_fleet(), request in any_request(), seed: u64) {
        prop_assert_eq!(ask(&fleet, &request, seed), ask(&fleet, &request, seed));
    }

    #[test]
    fn every_node_that_could_not_serve_is_counted_once(fleet in any_fleet(), request in any_request(), seed: u64) {
        let rejected = ask(&fleet, &request, seed).rejected;
        let distinct: BTreeSet<_> = rejected.iter().map(|group| (&group.pool, group.why.label())).collect();
        prop_assert_eq!(distinct.len(), rejected.len());
        for pool in fleet.view().pools() {
            let nodes = || fleet.view().nodes().filter(|node| node.report.pool == pool.name);
            let fit = nodes().filter(|node| may_serve(&fleet, *node, &request) && has_slot(*node)).count();
            let groups: Vec<_> = rejected.iter().filter(|group| group.pool == pool.name).collect();
            let counted: u32 = groups.iter().map(|group| group.nodes).sum();
            prop_assert_eq!(counted as usize + fit, nodes().count());
            prop_assert!(fit > 0 || !groups.is_empty(), "pool {} is not offered and nothing says why", pool.name);
            let own = |name: &NodeId| fleet.view().node(name).is_some_and(|node| node.report.pool == pool.name);
            prop_assert!(groups.iter().all(|group| group.example.as_ref().is_none_or(own)));
        }
    }
}
