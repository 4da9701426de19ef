//! The situation as a small problem of numbers, and the answer as a plan.

use std::collections::BTreeSet;
use std::time::Duration;

use super::fill::{Need, Offer};
use super::hazard::Hazard;
use super::situation::{PoolSupply, Situation, batch_rate};
use super::steps::Target;
use super::{Plan, PoolPlan, Shortfall, Why};
use crate::ids::PoolName;
use crate::pool::Market;

/// A node that was ordered may take this much longer than its pool's boot time: two plans.
pub(super) const BOOT_GRACE: Duration = Duration::from_secs(20);
/// Dollars that one forced move costs.
const MOVE_COST: f64 = 0.002;

/// States what a pool offers; `hazard` is that of its zone.
pub(super) fn offer(pool: &PoolSupply, hazard: Hazard) -> Offer {
    let late = pool.overdue(BOOT_GRACE);
    let overdue = pool.limits.map_or(0, |limits| late.min(limits.max));
    let standing = (pool.ready() + pool.booting()).saturating_sub(late);
    let (floor, ceiling, ceiling_why) = match pool.limits {
        None => (standing, standing, Why::Unmanaged),
        Some(limits) => (limits.min.saturating_sub(overdue), limits.max.saturating_sub(overdue), Why::Maximum),
    };
    let slots = f64::from(pool.soft_slots.max(1));
    let node_hour = pool.node_hour.dollars();
    let is_spot = pool.market == Market::Spot;
    // A lost node costs the move of its sessions, and its successor is paid for while it boots.
    let loss = MOVE_COST + node_hour / slots * pool.boot.as_secs_f64() / 3600.0;
    let risk = if is_spot { hazard.per_hour() * loss } else { 0.0 };
    let mut offer = Offer {
        provider: pool.provider,
        spot_zone: is_spot.then(|| pool.zone.clone()),
        slots,
        node_hour,
        slot_hour: pool.egress_slot_hour.dollars() + risk,
        standing,
        overdue,
        floor,
        hoped: 0,
        hoped_why: Why::Minimum,
        ceiling: ceiling.max(floor),
        ceiling_why,
    };
    if overdue > 0 {
        offer.hold_back(0, Why::Overdue);
    }
    offer
}

/// States a need for `slots` in `pools`, or in any.
pub(super) fn need(situation: &Situation, pools: Option<&BTreeSet<PoolName>>, slots: f64) -> Need {
    let is_lawful = |pool: &PoolSupply| pools.is_none_or(|pools| pools.contains(&pool.pool));
    let all = situation.pools.iter().enumerate();
    Need { lawful: all.filter(|(_, pool)| is_lawful(pool)).map(|(index, _)| index).collect(), slots }
}

/// Sums up a plan.
pub(super) fn summary(target: &Target<'_>, pools: Vec<PoolPlan>, share: f64) -> Plan {
    let demand = &target.situation.demand;
    let short = target.filled.short.iter().take(demand.groups.len()).enumerate().filter(|(_, slots)| **slots > 0.5);
    let slots = target.offers.iter().zip(&target.filled.wanted).map(|(offer, wanted)| offer.slots * f64::from(*wanted));
    Plan {
        streams: demand.streams(),
        batch: demand.groups.iter().map(|group| batch_rate(&group.batch)).sum(),
        required: target.needs.iter().map(|need| need.slots).sum(),
        wanted_slots: slots.sum(),
        target: share,
        short: short.map(|(group, slots)| Shortfall { group, slots: *slots }).collect(),
        pools,
    }
}
