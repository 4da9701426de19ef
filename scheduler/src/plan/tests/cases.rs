use super::*;

#[test]
fn slots_are_filled_to_the_target() {
    // 100 streams at 85 % are 117.6 slots, five nodes of 24.
    assert_eq!(wanted(&situation(vec![pool("a", Market::OnDemand, 50)], 100)), [5]);
}

#[test]
fn the_cheapest_slots_are_taken_and_a_small_rest_gets_a_small_node() {
    let large = PoolSupply { soft_slots: 48, ..pool("large", Market::OnDemand, 80) };
    let small = pool("small", Market::OnDemand, 50);
    // 60 slots: 48 for 80 cents, and 12 cost less on a node of 50 cents.
    assert_eq!(wanted(&situation(vec![large, small], 51)), [1, 1]);
}

#[test]
fn batch_asks_for_no_more_than_its_deadlines_need() {
    let work = |due: u64, slots: f64| Batch { due_in: seconds(due), slot_seconds: slots * (due as f64 - 600.0) };
    assert!((batch_rate(&[work(7200, 10.0), work(3600, 50.0)]) - 50.0).abs() < 1e-9);
    let mut both = situation(vec![pool("a", Market::OnDemand, 50)], 100);
    both.demand.groups[0].batch = vec![work(3600, 44.0)];
    // 100 + 44 slots cover the headroom of the streams too.
    assert_eq!(wanted(&both), [6]);
}

#[test]
fn spot_is_spread_over_zones() {
    let zones = ["a", "b", "c", "d"].map(|zone| pool(zone, Market::Spot, 20));
    let plan = wanted(&situation(zones.to_vec(), 400));
    // 470.6 slots are twenty nodes; no zone has more than 35 % and one node of rounding.
    assert_eq!(plan.iter().sum::<u32>(), 20);
    assert!(plan.iter().filter(|nodes| **nodes > 0).count() >= 3 && plan.iter().all(|nodes| *nodes <= 8), "{plan:?}");
}

#[test]
fn two_spot_zones_hold_six_nodes_and_on_demand_the_rest() {
    let pools = vec![pool("a", Market::Spot, 20), pool("b", Market::Spot, 20), pool("c", Market::OnDemand, 50)];
    let plan = wanted(&situation(pools, 400));
    assert_eq!((plan[0] + plan[1], plan[2]), (6, 14));
}

#[test]
fn a_preempted_node_is_replaced_in_another_zone_at_once() {
    let mut pools: Vec<_> = ["a", "b", "c"].map(|zone| pool(zone, Market::Spot, 20)).to_vec();
    for supply in &mut pools {
        supply.nodes = nodes(supply.pool.as_str(), 2, 20);
    }
    pools[0].nodes[1].stage = NodeStage::Noticed;
    let mut planner = Planner::new(config());
    planner.observe(&Event::Preempted { pool: "a".parse().unwrap() }, noon());
    let plan = planner.plan(&situation(pools, 120), noon());
    assert_eq!((plan.pools[0].launch, plan.pools[0].why), (0, Why::BackOff));
    assert_eq!(plan.pools[1].launch + plan.pools[2].launch, 1);
}

#[test]
fn a_failed_launch_sends_the_next_one_elsewhere_for_two_minutes() {
    let pools = vec![pool("a", Market::OnDemand, 20), pool("b", Market::OnDemand, 50)];
    let mut planner = Planner::new(config());
    planner.observe(&Event::LaunchFailed { pool: "a".parse().unwrap() }, noon());
    let mut launched = |after| {
        let plan = planner.plan(&situation(pools.clone(), 100), noon() + seconds(after));
        [plan.pools[0].launch, plan.pools[1].launch]
    };
    assert_eq!([launched(0), launched(119)], [[0, 5], [0, 5]]);
    assert_eq!(launched(120), [1, 4], "one is tried, until one comes");
}

#[test]
fn a_pool_is_trusted_again_when_a_node_of_it_boots() {
    let mut pools = vec![pool("a", Market::OnDemand, 20), pool("b", Market::OnDemand, 50)];
    let mut planner = Planner::new(config());
    planner.observe(&Event::LaunchFailed { pool: "a".parse().unwrap() }, noon());
    for after in [0, 120] {
        planner.plan(&situation(pools.clone(), 100), noon() + seconds(after));
    }
    pools[0].nodes.push(NodeSupply { stage: NodeStage::Booting { age: seconds(10) }, ..ready("a-0", 0) });
    let plan = planner.plan(&situation(pools, 100), noon() + seconds(130));
    assert_eq!([plan.pools[0].launch, plan.pools[1].launch], [4, 0]);
}

#[test]
fn a_providers_last_nodes_stay_until_others_are_ready() {
    let config =
        PlannerConfig { providers: vec![ProviderLimits { provider: Provider::Aws, min: 2, max: 4 }], ..config() };
    let dear = PoolSupply { nodes: nodes("dear", 2, 0), ..pool("dear", Market::OnDemand, 50) };
    let mut planner = Planner::new(config);
    let plan = planner.plan(&situation(vec![dear, pool("cheap", Market::Spot, 20)], 0), noon());
    assert_eq!((plan.pools[0].drain.len(), plan.pools[1].launch), (0, 2));
}

#[test]
fn on_demand_stands_in_for_spot_that_does_not_come() {
    let mut spot = pool("spot", Market::Spot, 20);
    let order = |age| NodeSupply { stage: NodeStage::Booting { age: seconds(age) }, ..ready("spot-0", 0) };
    spot.nodes = vec![order(140)];
    let pools = |spot: &PoolSupply| vec![spot.clone(), pool("on-demand", Market::OnDemand, 50)];
    assert_eq!(wanted(&situation(pools(&spot), 20)), [1, 0], "it may still come");
    spot.nodes = vec![order(141)];
    assert_eq!(wanted(&situation(pools(&spot), 20)), [1, 1]);
}

#[test]
fn a_dear_node_stays_until_the_cheap_one_serves() {
    let dear = PoolSupply { nodes: nodes("dear", 1, 10), ..pool("dear", Market::OnDemand, 50) };
    let mut cheap = pool("cheap", Market::Spot, 20);
    let mut planner = Planner::new(config());
    let plan = planner.plan(&situation(vec![dear.clone(), cheap.clone()], 10), noon());
    assert_eq!((plan.pools[1].launch, plan.pools[0].drain.len()), (1, 0));
    cheap.nodes = nodes("cheap", 1, 0);
    let plan = planner.plan(&situation(vec![dear, cheap], 10), noon() + seconds(120));
    assert_eq!((plan.pools[1].launch, plan.pools[0].drain.len()), (0, 1));
}

#[test]
fn a_node_is_drained_cleared_and_ended_in_this_order() {
    let mut planner = Planner::new(config());
    let mut supply = PoolSupply { nodes: nodes("a", 3, 5), ..pool("a", Market::OnDemand, 50) };
    supply.nodes[1].open = false;
    let mut step = |supply: &PoolSupply, after| {
        planner.plan(&situation(vec![supply.clone()], 30), noon() + seconds(after)).pools.remove(0)
    };
    let first = step(&supply, 0);
    assert_eq!(first.drain, ["a-1".parse().unwrap()], "the closed one goes");
    supply.nodes[1].stage = NodeStage::Draining;
    assert_eq!(step(&supply, 110).clear, []);
    assert_eq!(step(&supply, 120).clear, ["a-1".parse().unwrap()]);
    supply.nodes[1].used = 0;
    assert_eq!(step(&supply, 130).terminate, ["a-1".parse().unwrap()]);
}

#[test]
fn a_draining_node_is_taken_back_before_another_is_launched() {
    let mut planner = Planner::new(config());
    let mut supply = PoolSupply { nodes: nodes("a", 3, 5), ..pool("a", Market::OnDemand, 50) };
    planner.plan(&situation(vec![supply.clone()], 30), noon());
    supply.nodes[0].stage = NodeStage::Draining;
    let plan = planner.plan(&situation(vec![supply], 60), noon() + seconds(10)).pools.remove(0);
    assert_eq!((plan.undrain, plan.launch), (vec!["a-0".parse().unwrap()], 0));
}

#[test]
fn a_node_that_a_person_drains_is_left_alone() {
    let mut supply = PoolSupply { nodes: nodes("a", 2, 0), ..pool("a", Market::OnDemand, 50) };
    supply.nodes[0].stage = NodeStage::Draining;
    let plan = Planner::new(config()).plan(&situation(vec![supply], 40), noon()).pools.remove(0);
    assert_eq!((plan.undrain, plan.terminate, plan.launch), (vec![], vec![], 1));
}

#[test]
fn the_highest_requirement_of_five_minutes_is_held() {
    let mut planner = Planner::new(config());
    let supply = PoolSupply { nodes: nodes("a", 6, 20), ..pool("a", Market::OnDemand, 50) };
    let mut wanted = |streams, after| {
        planner.plan(&situation(vec![supply.clone()], streams), noon() + seconds(after)).pools[0].wanted
    };
    assert_eq!([wanted(120, 0), wanted(20, 10), wanted(20, 300), wanted(20, 301)], [6, 6, 6, 1]);
}

#[test]
fn a_fifth_of_the_fleet_goes_in_five_minutes() {
    let mut planner = Planner::new(config());
    let supply = PoolSupply { nodes: nodes("a", 20, 0), ..pool("a", Market::OnDemand, 50) };
    let mut drained =
        |after| planner.plan(&situation(vec![supply.clone()], 0), noon() + seconds(after)).pools[0].drain.len();
    assert_eq!([drained(0), drained(10), drained(299), drained(300)], [4, 0, 0, 4]);
}

#[test]
fn a_hot_pool_grows_by_one_node_and_no_further_while_that_boots() {
    let mut planner = Planner::new(config());
    let mut supply = PoolSupply { nodes: nodes("a", 2, 10), ..pool("a", Market::OnDemand, 50) };
    supply.signals.gpu = Some(Ratio::clamped(0.81));
    let mut part = |supply: &PoolSupply, after| {
        planner.plan(&situation(vec![supply.clone()], 20), noon() + seconds(after)).pools.remove(0)
    };
    let first = part(&supply, 0);
    assert_eq!((first.wanted, first.launch, first.why), (3, 1, Why::Trigger));
    let booting = NodeSupply { stage: NodeStage::Booting { age: seconds(10) }, ..ready("a-2", 0) };
    supply.nodes.push(booting);
    assert_eq!(part(&supply, 10).launch, 0);
    supply.signals.gpu = Some(Ratio::clamped(0.8));
    assert_eq!((part(&supply, 20).wanted, part(&supply, 320).wanted), (3, 1));
}

#[test]
fn the_number_to_start_with_counts_once() {
    let limits = Some(Limits { min: 2, desired: 4, max: 20 });
    let supply = PoolSupply { limits, ..pool("a", Market::OnDemand, 50) };
    let mut planner = Planner::new(config());
    let mut part = |after| {
        let part = planner.plan(&situation(vec![supply.clone()], 0), noon() + seconds(after)).pools.remove(0);
        (part.wanted, part.why)
    };
    assert_eq!([part(0), part(10)], [(4, Why::Start), (2, Why::Minimum)]);
}

#[test]
fn a_provider_at_its_limit_gets_fewer_and_larger_nodes() {
    let config =
        PlannerConfig { providers: vec![ProviderLimits { provider: Provider::Aws, min: 2, max: 4 }], ..config() };
    let large = PoolSupply { soft_slots: 48, ..pool("large", Market::OnDemand, 150) };
    let small = pool("small", Market::OnDemand, 50);
    let wanted = |streams| {
        let plan = Planner::new(config.clone()).plan(&situation(vec![small.clone(), large.clone()], streams), noon());
        (plan.pools[0].wanted, plan.pools[1].wanted, plan.short.len())
    };
    assert_eq!(wanted(0), (2, 0, 0), "its minimum, in the cheapest way");
    assert_eq!(wanted(80), (4, 0, 0));
    assert_eq!(wanted(120), (0, 3, 0));
    assert_eq!(wanted(160), (0, 4, 0));
    assert_eq!(wanted(200), (0, 4, 1));
}

#[test]
fn what_must_stay_in_a_place_is_covered_there() {
    let home = PoolSupply { limits: Some(Limits { min: 0, desired: 0, max: 3 }), ..pool("home", Market::OnDemand, 20) };
    let mut both = situation(vec![home, pool("away", Market::OnDemand, 50)], 60);
    let pools = Some(BTreeSet::from(["home".parse().unwrap()]));
    both.demand.groups.push(DemandGroup { pools, live: 60, ..DemandGroup::default() });
    // 70.6 slots fill home; the free ones go away.
    assert_eq!(wanted(&both), [3, 3]);
}

#[test]
fn another_process_goes_on_where_the_last_one_stopped() {
    let supply = PoolSupply { nodes: nodes("a", 6, 20), ..pool("a", Market::OnDemand, 50) };
    let mut first = Planner::new(config());
    first.observe(&Event::Preempted { pool: "a".parse().unwrap() }, noon());
    first.plan(&situation(vec![supply.clone()], 120), noon());
    let written = serde_json::to_string(first.memory()).unwrap();
    let mut second = Planner::resume(config(), serde_json::from_str(&written).unwrap());
    let plan = second.plan(&situation(vec![supply], 20), Timestamp::ZERO);
    assert_eq!((plan.pools[0].wanted, plan.pools[0].why), (6, Why::BackOff), "held, and backing off");
}

#[test]
fn a_static_peak_is_filled_without_spot() {
    let pools = vec![pool("spot", Market::Spot, 20), pool("on-demand", Market::OnDemand, 50)];
    let mut scaler = BaselineScaler::new(Baseline::StaticPeak { slots: 240.0 }, config());
    let plan = scaler.plan(&situation(pools, 10), noon());
    assert_eq!([plan.pools[0].wanted, plan.pools[1].wanted], [0, 10]);
}

#[test]
fn an_autoscaler_by_utilisation_tolerates_a_tenth() {
    let supply = PoolSupply { nodes: nodes("a", 10, 20), ..pool("a", Market::OnDemand, 50) };
    let knob = Baseline::Hpa { target: Ratio::clamped(0.7) };
    let wanted = |streams| {
        let mut scaler = BaselineScaler::new(knob, config());
        scaler.plan(&situation(vec![supply.clone()], streams), noon()).pools[0].wanted
    };
    // 240 slots at 70 % are 168 streams.
    assert_eq!([wanted(168), wanted(184), wanted(186), wanted(150)], [10, 10, 12, 9]);
}

#[test]
fn a_hedge_takes_spot_in_turn_and_on_demand_for_what_is_not_ready() {
    let zones = ["a", "b", "c"].map(|zone| pool(zone, Market::Spot, 20));
    let mut pools = zones.to_vec();
    pools.push(pool("on-demand", Market::OnDemand, 50));
    let mut scaler = BaselineScaler::new(Baseline::SpotHedge { extra: Ratio::clamped(0.2) }, config());
    let mut wanted = |pools: &[PoolSupply], after| {
        let plan = scaler.plan(&situation(pools.to_vec(), 168), noon() + seconds(after));
        plan.pools.iter().map(|part| part.wanted).collect::<Vec<_>>()
    };
    // 240 slots at 70 %, 288 of spot: twelve nodes; none is ready, so ten on demand.
    assert_eq!(wanted(&pools, 0), [4, 4, 4, 10]);
    for supply in &mut pools[..3] {
        supply.nodes = nodes(supply.pool.as_str(), 3, 10);
    }
    assert_eq!(wanted(&pools, 10), [4, 4, 4, 1]);
    scaler.observe(&Event::Preempted { pool: "a".parse().unwrap() }, noon());
    let plan = scaler.plan(&situation(pools, 168), noon() + seconds(20));
    assert_eq!(plan.pools.iter().map(|part| part.wanted).collect::<Vec<_>>(), [3, 5, 4, 1]);
}

#[test]
fn a_pool_that_wavers_drains_nothing() {
    let mut planner = Planner::new(PlannerConfig { hold_down: seconds(1), ..config() });
    let supply = PoolSupply { nodes: nodes("a", 6, 0), ..pool("a", Market::OnDemand, 50) };
    let mut drained = |streams, after| {
        planner.plan(&situation(vec![supply.clone()], streams), noon() + seconds(after)).pools[0].drain.len()
    };
    assert_eq!(
        [drained(120, 0), drained(100, 10), drained(120, 20), drained(100, 80), drained(100, 81)],
        [0, 0, 0, 0, 1]
    );
}

#[test]
fn room_is_kept_for_what_demand_rose_by_while_a_node_boots() {
    let supply =
        || vec![PoolSupply { limits: Some(Limits { min: 0, desired: 0, max: 90 }), ..pool("a", Market::OnDemand, 50) }];
    let share = Ratio::clamped(0.96);
    let required = |swing: u32| {
        let mut planner = Planner::new(PlannerConfig { target: Ratio::clamped(0.92), rise_share: share, ..config() });
        let streams = |tick: u32| if tick % 60 < 30 { 900 } else { 900 + swing };
        let plans = (0..8_641).map(|tick| {
            planner.plan(&situation(supply(), streams(tick)), noon() + Duration::from_secs(10) * tick).required
        });
        plans.last().unwrap()
    };
    // The last moment is a quiet one; what was required in the five minutes before it is held.
    let (calm, crowded) = (required(0), required(150));
    assert!((calm - 900.0 / 0.92).abs() < 1.0, "{calm}");
    assert!(crowded > 1_050.0 + 4.5 * 1_050_f64.sqrt(), "{crowded}");
}

#[test]
fn starts_that_are_late_because_a_node_was_taken_away_do_not_lower_the_target() {
    let target = |event: Option<Event>| {
        let mut planner = Planner::new(config());
        event.into_iter().for_each(|event| planner.observe(&event, noon()));
        let mut pressed = situation(vec![PoolSupply { nodes: nodes("a", 4, 24), ..pool("a", Market::Spot, 20) }], 100);
        pressed.demand.slow_starts = 5;
        let percent = planner.plan(&pressed, noon()).target * 100.0;
        percent.round()
    };
    assert_eq!(target(None), 83.0);
    assert_eq!(target(Some(Event::Preempted { pool: "a".parse().unwrap() })), 85.0);
}
