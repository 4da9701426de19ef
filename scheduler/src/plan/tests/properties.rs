use proptest::prelude::*;

use super::*;

/// Pools of few kinds and small limits, so that limits bind and a failure is small.
fn any_pool(number: usize) -> impl Strategy<Value = PoolSupply> {
    let stage = prop_oneof![
        6 => Just(NodeStage::Ready),
        1 => Just(NodeStage::Draining),
        1 => Just(NodeStage::Noticed),
        2 => (0u64..300).prop_map(|age| NodeStage::Booting { age: seconds(age) }),
    ];
    let node = (stage, 0u32..30, any::<bool>());
    let kind = (0usize..3, prop_oneof![Just(Provider::Aws), Just(Provider::Gcp)], 1u32..60, 1i64..300, 0usize..4);
    let limits = proptest::option::weighted(0.9, (0u32..3, 0u32..3, 0u32..8));
    (kind, limits, proptest::collection::vec(node, 0..6)).prop_map(move |(kind, limits, standing)| {
        let (market, provider, soft_slots, cents, zone) = kind;
        let name = format!("p{number}");
        let market = [Market::Fixed, Market::Spot, Market::OnDemand][market];
        let limits = limits.map(|(min, more, most)| Limits { min, desired: min + more, max: min + more + most });
        let nodes = standing.into_iter().enumerate().map(|(index, (stage, used, open))| NodeSupply {
            node: format!("{name}-{index}").parse().unwrap(),
            // A node that does not serve yet has no sessions.
            used: if matches!(stage, NodeStage::Booting { .. }) { 0 } else { used },
            stage,
            open,
        });
        let zone = Zone(format!("z{zone}"));
        PoolSupply { provider, soft_slots, zone, limits, nodes: nodes.collect(), ..pool(&name, market, cents) }
    })
}

fn any_group(pools: usize) -> impl Strategy<Value = DemandGroup> {
    let lawful = proptest::option::of(proptest::collection::btree_set(0..pools, 1..=pools));
    let batch = proptest::collection::vec((0u64..20_000, 0.0f64..500_000.0), 0..3);
    (lawful, 0u32..300, 0u32..20, batch).prop_map(|(lawful, live, waiting, batch)| DemandGroup {
        pools: lawful.map(|lawful| lawful.into_iter().map(|pool| format!("p{pool}").parse().unwrap()).collect()),
        live,
        waiting,
        batch: batch.into_iter().map(|(due, slot_seconds)| Batch { due_in: seconds(due), slot_seconds }).collect(),
    })
}

prop_compose! {
    fn any_situation()(count in 1usize..7)(
        pools in (0..count).map(any_pool).collect::<Vec<_>>(),
        groups in proptest::collection::vec(any_group(count), 0..3),
        slow_starts in 0u32..2,
        arrivals in 0u32..50,
    ) -> Situation {
        Situation { pools, demand: Demand { groups, arrivals, slow_starts, over: 0 } }
    }
}

fn any_config() -> impl Strategy<Value = PlannerConfig> {
    let term = || prop_oneof![Just(Term::Off), Just(Term::On)];
    let providers = proptest::option::of(4u32..20);
    (providers, term(), term()).prop_map(|(max, forecast, spot_risk)| PlannerConfig {
        providers: max.map(|max| ProviderLimits { provider: Provider::Aws, min: 2, max }).into_iter().collect(),
        forecast,
        spot_risk,
        ..config()
    })
}

fn any_baseline() -> impl Strategy<Value = Baseline> {
    let share = || (0.3f32..1.0).prop_map(Ratio::clamped);
    prop_oneof![
        (0.0f64..2000.0).prop_map(|slots| Baseline::StaticPeak { slots }),
        share().prop_map(|target| Baseline::Hpa { target }),
        share().prop_map(|target| Baseline::TargetTracking { target }),
        share().prop_map(|extra| Baseline::SpotHedge { extra }),
    ]
}

/// Plans for one situation after the other, ten seconds apart, with a preemption and a failed launch between them.
fn plans(scaler: &mut dyn Scaler, situations: &[Situation]) -> Vec<Plan> {
    let mut now = noon();
    let mut made = Vec::new();
    for situation in situations {
        made.push(scaler.plan(situation, now));
        let first = situation.pools[0].pool.clone();
        scaler.observe(&Event::Preempted { pool: first }, now + seconds(3));
        let last = situation.pools[situation.pools.len() - 1].pool.clone();
        scaler.observe(&Event::LaunchFailed { pool: last }, now + seconds(4));
        now = now + seconds(10);
    }
    made
}

/// What no plan of any scaler may break.
fn is_lawful(situation: &Situation, plan: &Plan, providers: &[ProviderLimits]) -> Result<(), TestCaseError> {
    prop_assert_eq!(plan.pools.len(), situation.pools.len());
    for (pool, part) in situation.pools.iter().zip(&plan.pools) {
        let there = part.ready + part.booting + part.draining;
        match pool.limits {
            None => prop_assert!(part.launch == 0 && part.drain.is_empty() && part.undrain.is_empty()),
            Some(limits) => {
                prop_assert!((limits.min..=limits.max).contains(&part.wanted), "{part:?}");
                prop_assert!(part.launch == 0 || there + part.launch <= limits.max, "{part:?}");
                let left = part.ready + part.booting - count(&part.drain);
                prop_assert!(part.drain.is_empty() || left >= limits.min, "{part:?}");
            }
        }
        let used = |name: &NodeId| pool.nodes.iter().find(|node| node.node == *name).map(|node| node.used);
        prop_assert!(part.terminate.iter().all(|node| used(node) == Some(0)));
        let stage = |name: &NodeId| pool.nodes.iter().find(|node| node.node == *name).map(|node| node.stage);
        prop_assert!(part.drain.iter().all(|node| stage(node) == Some(NodeStage::Ready)));
        let mut going = part.undrain.iter().chain(&part.terminate).chain(&part.clear);
        prop_assert!(going.all(|node| stage(node) == Some(NodeStage::Draining)));
    }
    for limits in providers {
        let mine = || situation.pools.iter().zip(&plan.pools).filter(|(pool, _)| pool.provider == limits.provider);
        // What nobody scales, and what was ordered before and has not come, cannot be undone by a plan.
        let fewest = |(pool, part): (&PoolSupply, &PoolPlan)| match pool.limits {
            None => part.wanted,
            Some(limits) => limits.min.max(pool.overdue(seconds(20)).min(limits.max)),
        };
        let minimums: u32 = mine().map(fewest).sum();
        let wanted: u32 = mine().map(|(_, part)| part.wanted).sum();
        prop_assert!(wanted <= limits.max.max(minimums), "{wanted} of {limits:?}");
        let there: u32 = mine().map(|(_, part)| part.ready + part.booting + part.draining).sum();
        let launched: u32 = mine().map(|(_, part)| part.launch).sum();
        prop_assert!(launched == 0 || there + launched <= limits.max);
    }
    Ok(())
}

fn count(nodes: &[NodeId]) -> u32 {
    u32::try_from(nodes.len()).unwrap()
}

/// Slots of `wanted` nodes that will be there in time, in the pools of `group`.
fn slots(situation: &Situation, plan: &Plan, group: &DemandGroup) -> f64 {
    let mine = situation.pools.iter().zip(&plan.pools);
    let lawful = mine.filter(|(pool, _)| group.pools.as_ref().is_none_or(|pools| pools.contains(&pool.pool)));
    lawful
        .map(|(pool, part)| {
            let overdue = if pool.limits.is_some() { pool.overdue(seconds(20)) } else { 0 };
            f64::from(part.wanted.saturating_sub(overdue)) * f64::from(pool.soft_slots)
        })
        .sum()
}

proptest! {
    #[test]
    fn no_plan_breaks_a_limit_or_a_session(
        situations in proptest::collection::vec(any_situation(), 1..5), config in any_config(),
    ) {
        let mut planner = Planner::new(config.clone());
        for (situation, plan) in situations.iter().zip(plans(&mut planner, &situations)) {
            is_lawful(situation, &plan, &config.providers)?;
        }
    }

    #[test]
    fn no_baseline_breaks_a_limit_or_a_session(
        situations in proptest::collection::vec(any_situation(), 1..5), config in any_config(), knob in any_baseline(),
    ) {
        let mut scaler = BaselineScaler::new(knob, config.clone());
        for (situation, plan) in situations.iter().zip(plans(&mut scaler, &situations)) {
            is_lawful(situation, &plan, &config.providers)?;
        }
    }

    #[test]
    fn every_group_is_covered_or_said_to_be_short(situation in any_situation(), config in any_config()) {
        let plan = Planner::new(config).plan(&situation, noon());
        for (index, group) in situation.demand.groups.iter().enumerate() {
            let lacking = plan.short.iter().find(|short| short.group == index).map_or(0.5, |short| short.slots);
            let needed = group.streams() / plan.target;
            prop_assert!(slots(&situation, &plan, group) + lacking + 1e-3 >= needed, "{plan:?}");
        }
        let all = DemandGroup::default();
        let short: f64 = plan.short.iter().map(|short| short.slots).sum();
        let unsaid = 0.5 * situation.demand.groups.len() as f64;
        prop_assert!(slots(&situation, &plan, &all) + short + unsaid + 1e-3 >= plan.required, "{plan:?}");
    }

    #[test]
    fn a_group_is_short_only_when_none_of_its_pools_may_grow(situation in any_situation(), config in any_config()) {
        let plan = Planner::new(config.clone()).plan(&situation, noon());
        let of_provider = |provider| -> u32 {
            let mine = situation.pools.iter().zip(&plan.pools).filter(|(pool, _)| pool.provider == provider);
            mine.map(|(_, part)| part.wanted).sum()
        };
        for short in &plan.short {
            let group = &situation.demand.groups[short.group];
            for (pool, part) in situation.pools.iter().zip(&plan.pools) {
                let (Some(limits), true) = (pool.limits, group.pools.as_ref().is_none_or(|pools| pools.contains(&pool.pool)))
                else { continue };
                let provider_is_full = config.providers.iter().any(|limits| {
                    limits.provider == pool.provider && of_provider(pool.provider) >= limits.max
                });
                let is_bound = part.wanted >= limits.max || provider_is_full
                    || pool.overdue(seconds(20)) > 0 || pool.market == Market::Spot;
                prop_assert!(is_bound, "{part:?} could serve {short:?}");
            }
        }
    }

    #[test]
    fn no_zone_holds_more_than_its_share_of_new_spot(
        zones in proptest::collection::vec((1i64..100, 0usize..6), 1..8), streams in 0u32..2000,
    ) {
        let pools = zones.iter().enumerate().map(|(number, (cents, zone))| {
            let zone = Zone(format!("z{zone}"));
            PoolSupply { zone, ..pool(&format!("p{number}"), Market::Spot, *cents) }
        });
        let situation = situation(pools.collect(), streams);
        let plan = Planner::new(config()).plan(&situation, noon());
        let all: u32 = plan.pools.iter().map(|part| part.wanted).sum();
        let zones: BTreeSet<&Zone> = situation.pools.iter().map(|pool| &pool.zone).collect();
        let held = |zone: &Zone| -> u32 {
            situation.pools.iter().zip(&plan.pools).filter(|(pool, _)| pool.zone == *zone).map(|(_, part)| part.wanted).sum()
        };
        if all > 6 {
            prop_assert!(zones.iter().filter(|zone| held(zone) > 0).count() >= 3);
            for zone in zones {
                prop_assert!(f64::from(held(zone)) <= 0.35 * f64::from(all) + 1.0, "{} of {all}", held(zone));
            }
        }
    }

    #[test]
    fn the_same_past_gives_the_same_plan(
        situations in proptest::collection::vec(any_situation(), 1..4), config in any_config(),
    ) {
        let once = plans(&mut Planner::new(config.clone()), &situations);
        prop_assert_eq!(once, plans(&mut Planner::new(config), &situations));
    }

    #[test]
    fn nothing_is_drained_while_the_rest_does_not_cover_the_need(situation in any_situation()) {
        let plan = Planner::new(config()).plan(&situation, noon());
        if plan.pools.iter().any(|part| !part.drain.is_empty()) {
            let left: f64 = situation.pools.iter().zip(&plan.pools)
                .map(|(pool, part)| f64::from(part.ready - count(&part.drain)) * f64::from(pool.soft_slots)).sum();
            prop_assert!(left + 1e-3 >= plan.required, "{left} left of {plan:?}");
        }
    }
}
