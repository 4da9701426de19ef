//! The planner as a whole: what it must do in the situations it was made for, and what it must never do in any.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::pool::{Market, Provider};
use crate::testing::noon;
use crate::units::{MicroDollars, Ratio};

mod cases;
mod properties;

/// A pool of nodes with 24 slots that nobody needs yet.
fn pool(name: &str, market: Market, cents: i64) -> PoolSupply {
    PoolSupply {
        pool: name.parse().unwrap(),
        provider: Provider::Aws,
        zone: Zone(name.to_owned()),
        market,
        soft_slots: 24,
        node_hour: MicroDollars(cents * 10_000),
        egress_slot_hour: MicroDollars::ZERO,
        boot: Duration::from_secs(120),
        notice: Duration::ZERO,
        limits: Some(Limits { min: 0, desired: 0, max: 20 }),
        grow_when: GrowWhen::default(),
        signals: Signals::default(),
        nodes: Vec::new(),
    }
}

/// A node that takes sessions and has `used` of them.
fn ready(node: &str, used: u32) -> NodeSupply {
    NodeSupply { node: node.parse().unwrap(), stage: NodeStage::Ready, used, open: true }
}

/// `count` nodes of a pool, with `used` sessions each.
fn nodes(pool: &str, count: u32, used: u32) -> Vec<NodeSupply> {
    (0..count).map(|number| ready(&format!("{pool}-{number}"), used)).collect()
}

fn live(live: u32) -> Demand {
    Demand { groups: vec![DemandGroup { live, ..DemandGroup::default() }], ..Demand::default() }
}

fn situation(pools: Vec<PoolSupply>, streams: u32) -> Situation {
    Situation { pools, demand: live(streams) }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A planner that fills 85 % of the slots whatever demand did before, keeps 35 % of the spot capacity in one zone at most, and
/// takes its time.
fn config() -> PlannerConfig {
    PlannerConfig {
        target: Ratio::clamped(0.85),
        rise_share: Ratio::ZERO,
        zone_share: Ratio::clamped(0.35),
        hold_down: seconds(300),
        shrink_share: Ratio::clamped(0.2),
        clear_after: seconds(120),
        ..PlannerConfig::default()
    }
}

/// The nodes that a fresh planner wants, per pool.
fn wanted(situation: &Situation) -> Vec<u32> {
    let plan = Planner::new(config()).plan(situation, noon());
    plan.pools.iter().map(|part| part.wanted).collect()
}
