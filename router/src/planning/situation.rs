//! The fleet and the demand, as the planner sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use scheduler::plan::{Demand, DemandGroup, Event, NodeStage, NodeSupply, PoolSupply, Signals, Situation, Zone};
use scheduler::{FleetView, Market, MicroDollars, Node, NodeId, NodeState, Pool, PoolName, Ratio, Timestamp};

use super::starts::Seen;
use crate::core::Core;

/// A node without a report for this long is gone: a shorter silence is no reason to order another.
const GONE_AFTER: Duration = Duration::from_secs(30);
/// What an hour of a stream sends, in gigabytes: 16 kHz, 16 bit, mono.
const STREAM_GB_PER_HOUR: f64 = 0.1152;

/// What a situation does not say by itself: since when nodes start, and which are missing.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    starting: BTreeMap<NodeId, Timestamp>,
    /// Spot nodes that served the last time.
    spot: BTreeMap<NodeId, PoolName>,
    /// Sessions above soft slots the last time.
    over: u32,
    events: Vec<Event>,
}

impl Watcher {
    /// Looks at the fleet, and takes what was counted since the last look.
    pub(super) fn look(&mut self, core: &Core, now: Timestamp) -> Situation {
        let seen = core.starts().take();
        let fleet = core.view();
        self.note(&fleet, now);
        let pools = fleet.pools().iter().map(|pool| self.supply(pool, &fleet, now)).collect();
        let demand = self.demand(&fleet, seen, now);
        Situation { pools, demand }
    }

    /// Returns what happened up to the last look.
    pub(super) fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Notes when nodes start, and which spot nodes are missing: nobody says goodbye when a machine is taken away.
    fn note(&mut self, fleet: &FleetView, now: Timestamp) {
        let there: BTreeMap<&NodeId, Node<'_>> = present(fleet, now).map(|node| (&node.report.node, node)).collect();
        let starts = |node: &NodeId| there.get(node).is_some_and(|node| node.report.state == NodeState::Starting);
        self.starting.retain(|node, _| starts(node));
        for node in there.keys().filter(|node| starts(node)) {
            self.starting.entry((*node).clone()).or_insert(now);
        }
        let missing = self.spot.iter().filter(|(node, _)| !there.contains_key(*node));
        self.events.extend(missing.map(|(_, pool)| Event::Preempted { pool: pool.clone() }));
        let spot: BTreeSet<&PoolName> =
            fleet.pools().iter().filter(|pool| pool.market == Market::Spot).map(|pool| &pool.name).collect();
        let serving = there.into_values().filter(|node| node.report.state == NodeState::Serving);
        self.spot = serving
            .filter(|node| spot.contains(&node.report.pool))
            .map(|node| (node.report.node.clone(), node.report.pool.clone()))
            .collect();
    }

    fn supply(&self, pool: &Pool, fleet: &FleetView, now: Timestamp) -> PoolSupply {
        let nodes: Vec<Node<'_>> = present(fleet, now).filter(|node| node.report.pool == pool.name).collect();
        let scaling = pool.scaling.clone().unwrap_or_default();
        let egress = pool.price.egress_gb.dollars() * STREAM_GB_PER_HOUR;
        PoolSupply {
            pool: pool.name.clone(),
            provider: pool.provider,
            zone: scaling.zone.unwrap_or_else(|| Zone(pool.region.to_string())),
            market: pool.market,
            soft_slots: mean_slots(&nodes).unwrap_or(scaling.node_slots),
            node_hour: pool.price.node_hour,
            egress_slot_hour: MicroDollars::from_dollars(egress),
            boot: scaling.boot,
            notice: scaling.notice,
            limits: pool.scaling.as_ref().and_then(|scaling| scaling.limits().ok()),
            grow_when: scaling.grow_when,
            signals: signals(&nodes),
            nodes: nodes.into_iter().map(|node| self.node(node, now)).collect(),
        }
    }

    fn node(&self, node: Node<'_>, now: Timestamp) -> NodeSupply {
        let report = &node.report;
        let stage = match report.state {
            NodeState::Starting => {
                let since = self.starting.get(&report.node).copied().unwrap_or(now);
                NodeStage::Booting { age: now.since(since) }
            }
            NodeState::Serving => NodeStage::Ready,
            // A node whose engine fails holds its place under the limits and serves nobody.
            NodeState::Draining | NodeState::Failing => NodeStage::Draining,
        };
        NodeSupply { node: report.node.clone(), stage, used: report.used_slots, open: node.is_open() }
    }

    fn demand(&mut self, fleet: &FleetView, seen: Seen, now: Timestamp) -> Demand {
        let (mut live, mut waiting, mut over) = (0_u32, 0_u32, 0_u32);
        for Node { report, .. } in present(fleet, now) {
            live = live.saturating_add(report.used_slots);
            waiting = waiting.saturating_add(report.queue_depth);
            over = over.saturating_add(report.used_slots.saturating_sub(report.soft_slots));
        }
        let newly_over = over.saturating_sub(self.over);
        self.over = over;
        let all: BTreeSet<&PoolName> = fleet.pools().iter().map(|pool| &pool.name).collect();
        let groups = groups(seen.shares, live, waiting, &all);
        Demand { groups, arrivals: seen.began, slow_starts: seen.refused, over: newly_over }
    }
}

/// Nodes that reported lately.
fn present(fleet: &FleetView, now: Timestamp) -> impl Iterator<Item = Node<'_>> {
    fleet.nodes().filter(move |node| node.age(now) < GONE_AFTER)
}

fn mean_slots(nodes: &[Node<'_>]) -> Option<u32> {
    let known: Vec<u32> = nodes.iter().map(|node| node.report.soft_slots).filter(|slots| *slots > 0).collect();
    let count = u32::try_from(known.len()).ok().filter(|count| *count > 0)?;
    Some((known.into_iter().sum::<u32>() / count).max(1))
}

fn signals(nodes: &[Node<'_>]) -> Signals {
    let serving = || nodes.iter().filter(|node| node.report.state == NodeState::Serving);
    let gpus: Vec<f32> = serving().flat_map(|node| &node.report.gpus).map(|gpu| gpu.utilisation.get()).collect();
    let gpu = (!gpus.is_empty()).then(|| Ratio::clamped(gpus.iter().sum::<f32>() / gpus.len() as f32));
    let queue = serving().fold(0_u32, |sum, node| sum.saturating_add(node.report.queue_depth));
    Signals { gpu, cpu: None, queue }
}

/// Splits sessions by the pools that may serve them; those who may go anywhere take what rounding leaves.
fn groups(
    shares: Vec<(Option<BTreeSet<PoolName>>, f64)>,
    live: u32,
    waiting: u32,
    all: &BTreeSet<&PoolName>,
) -> Vec<DemandGroup> {
    let mut anywhere = DemandGroup { live, waiting, ..DemandGroup::default() };
    let mut groups = Vec::new();
    for (pools, share) in shares {
        let bound = pools.filter(|pools| pools.len() < all.len());
        let Some(pools) = bound else { continue };
        let part = |whole: u32, left: u32| left.min(rounded(f64::from(whole) * share));
        let (live, waiting) = (part(live, anywhere.live), part(waiting, anywhere.waiting));
        anywhere.live -= live;
        anywhere.waiting -= waiting;
        groups.push(DemandGroup { pools: Some(pools), live, waiting, batch: Vec::new() });
    }
    groups.push(anywhere);
    groups
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer casts saturate")]
fn rounded(number: f64) -> u32 {
    number.round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(pool: &str) -> PoolName {
        pool.parse().unwrap()
    }

    #[test]
    fn sessions_are_split_by_the_pools_that_may_serve_them() {
        let (eu, us) = (name("eu"), name("us"));
        let all = BTreeSet::from([&eu, &us]);
        let home = Some(BTreeSet::from([eu.clone()]));
        let found = groups(vec![(home.clone(), 0.3), (None, 0.7)], 11, 3, &all);
        let counts: Vec<_> = found.iter().map(|group| (group.pools.clone(), group.live, group.waiting)).collect();
        assert_eq!(counts, [(home, 3, 1), (None, 8, 2)]);
        let everywhere = Some(BTreeSet::from([eu.clone(), us.clone()]));
        assert_eq!(groups(vec![(everywhere, 1.0)], 5, 0, &all).len(), 1, "every pool is no bound");
    }

    #[test]
    fn shares_never_make_more_sessions_than_there_are() {
        let (a, b, c) = (name("a"), name("b"), name("c"));
        let all = BTreeSet::from([&a, &b, &c]);
        let shares = [&a, &b].map(|pool| (Some(BTreeSet::from([pool.clone()])), 0.5));
        let found = groups(shares.to_vec(), 3, 1, &all);
        assert_eq!(found.iter().map(|group| group.live).sum::<u32>(), 3);
        assert_eq!(found.iter().map(|group| group.waiting).sum::<u32>(), 1);
    }
}
