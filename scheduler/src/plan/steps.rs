//! The steps from what stands to what is wanted: which node comes, which goes, and when.
//!
//! A node goes in four steps, each by name: it is drained (no new sessions), its remaining sessions are moved after two
//! minutes, and when it is empty it is ended; or it is taken back before that when it is wanted again. A node is drained
//! only while the nodes that are ready without it cover everything, so a dear node stays until the cheap one that replaces
//! it serves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::config::{PlannerConfig, ProviderLimits};
use super::fill::{Filled, Need, Offer, covers};
use super::memory::Highest;
use super::situation::{NodeStage, NodeSupply, PoolSupply, Situation};
use super::{PoolPlan, Why};
use crate::ids::{NodeId, PoolName};
use crate::pool::Provider;
use crate::units::Ratio;

/// Seconds over which the share of the fleet that is drained is bounded.
const SHRINK_WINDOW: f64 = 300.0;

/// Seconds for which a pool must have had a node too many before one is drained.
const STEADY: f64 = 60.0;

/// How fast nodes go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Most of the fleet that may be drained within five minutes.
    pub(super) shrink_share: Ratio,
    /// When a draining node's sessions are moved.
    pub(super) clear_after: Duration,
}

impl From<&PlannerConfig> for Pace {
    fn from(config: &PlannerConfig) -> Self {
        Self { shrink_share: config.shrink_share, clear_after: config.clear_after }
    }
}

/// Nodes that go by this scaler's order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Drains {
    /// When each began.
    since: BTreeMap<NodeId, f64>,
    /// When the drains of the last five minutes began.
    recent: VecDeque<f64>,
    /// The most nodes that each pool was to have lately.
    wanted: BTreeMap<PoolName, Highest>,
}

/// What a scaler came to, before its steps are known.
pub(super) struct Target<'a> {
    pub(super) situation: &'a Situation,
    pub(super) offers: &'a [Offer],
    pub(super) needs: &'a [Need],
    pub(super) filled: &'a Filled,
    pub(super) providers: &'a [ProviderLimits],
    /// The time, in seconds of the scaler's clock.
    pub(super) at: f64,
}

impl Drains {
    /// Works out every pool's steps.
    pub(super) fn steps(&mut self, target: &Target<'_>, pace: Pace) -> Vec<PoolPlan> {
        self.forget(target);
        let parts = target.situation.pools.iter().zip(&target.filled.wanted).zip(&target.filled.why);
        let mut plans: Vec<PoolPlan> = parts.map(|((pool, wanted), why)| standing(pool, *wanted, *why)).collect();
        self.take_back(target, &mut plans);
        launch(target, &mut plans);
        self.shrink(target, pace, &mut plans);
        self.finish(target, pace, &mut plans);
        plans
    }

    /// Forgets drains of nodes that are gone and those of more than five minutes ago.
    fn forget(&mut self, target: &Target<'_>) {
        let nodes = target.situation.pools.iter().flat_map(|pool| &pool.nodes);
        let draining: BTreeSet<&NodeId> =
            nodes.filter(|node| matches!(node.stage, NodeStage::Draining)).map(|node| &node.node).collect();
        // An order that was given a moment ago may not show in the fleet yet.
        self.since.retain(|node, since| draining.contains(node) || target.at - *since < ORDER_LIFE);
        self.recent.retain(|since| target.at - since < SHRINK_WINDOW);
    }

    fn take_back(&mut self, target: &Target<'_>, plans: &mut [PoolPlan]) {
        let pools = target.situation.pools.iter().zip(plans).filter(|(pool, _)| pool.limits.is_some());
        for (pool, plan) in pools {
            let lacking = plan.wanted.saturating_sub(plan.ready + plan.booting) as usize;
            let mut mine: Vec<&NodeSupply> = pool.nodes.iter().filter(|node| self.is_mine(node)).collect();
            mine.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.node.cmp(&b.node)));
            plan.undrain = mine.into_iter().take(lacking).map(|node| node.node.clone()).collect();
            for node in &plan.undrain {
                self.since.remove(node);
            }
        }
    }

    fn is_mine(&self, node: &NodeSupply) -> bool {
        node.stage == NodeStage::Draining && self.since.contains_key(&node.node)
    }

    /// Drains the dearest surplus first, as long as the rest covers everything.
    fn shrink(&mut self, target: &Target<'_>, pace: Pace, plans: &mut [PoolPlan]) {
        let mut ready: Vec<u32> = plans.iter().map(|plan| plan.ready + count(&plan.undrain)).collect();
        let wanted = self.wanted_lately(plans, target.at);
        let fleet: u32 = ready.iter().sum();
        let most = (f64::from(fleet) * f64::from(pace.shrink_share.get())).floor().max(1.0);
        let mut order: Vec<usize> =
            (0..plans.len()).filter(|pool| target.situation.pools[*pool].limits.is_some()).collect();
        order.sort_by(|a, b| target.offers[*b].full_price().total_cmp(&target.offers[*a].full_price()));
        for pool in order {
            let mut candidates = leaving(&target.situation.pools[pool]).into_iter();
            while (self.recent.len() as f64) < most && plans[pool].surplus(wanted[pool]) > 0.0 {
                let Some(node) = candidates.next() else { break };
                ready[pool] -= 1;
                if !covers(target.offers, &ready, target.needs) || !keeps_provider_minimum(target, &ready, pool) {
                    ready[pool] += 1;
                    break;
                }
                plans[pool].drain.push(node.node.clone());
                self.recent.push_back(target.at);
                self.since.insert(node.node.clone(), target.at);
            }
        }
    }

    /// Returns the most nodes that each pool was to have lately: who wavers drains nothing.
    fn wanted_lately(&mut self, plans: &[PoolPlan], at: f64) -> Vec<f64> {
        self.wanted.retain(|pool, _| plans.iter().any(|plan| plan.pool == *pool));
        let note = |plan: &PoolPlan| {
            self.wanted.entry(plan.pool.clone()).or_default().note(f64::from(plan.wanted), at, STEADY)
        };
        plans.iter().map(note).collect()
    }

    /// Clears and ends nodes that drain by this scaler's order.
    fn finish(&self, target: &Target<'_>, pace: Pace, plans: &mut [PoolPlan]) {
        for (pool, plan) in target.situation.pools.iter().zip(plans) {
            for node in pool.nodes.iter().filter(|node| node.stage == NodeStage::Draining) {
                let Some(since) = self.since.get(&node.node) else { continue };
                if node.used == 0 {
                    plan.terminate.push(node.node.clone());
                } else if target.at - since >= pace.clear_after.as_secs_f64() {
                    plan.clear.push(node.node.clone());
                }
            }
        }
    }
}

/// An order to drain shows in the fleet within this many seconds.
const ORDER_LIFE: f64 = 30.0;

impl PoolPlan {
    /// Counts nodes beyond the `wanted` ones, those that boot included.
    fn surplus(&self, wanted: f64) -> f64 {
        let standing = self.ready + self.booting + count(&self.undrain);
        f64::from(standing.saturating_sub(count(&self.drain))) - wanted
    }
}

fn count(nodes: &[NodeId]) -> u32 {
    u32::try_from(nodes.len()).unwrap_or(u32::MAX)
}

fn standing(pool: &PoolSupply, wanted: u32, why: Why) -> PoolPlan {
    PoolPlan {
        pool: pool.pool.clone(),
        ready: pool.ready(),
        booting: pool.booting(),
        draining: pool.draining(),
        wanted,
        why,
        launch: 0,
        undrain: Vec::new(),
        drain: Vec::new(),
        clear: Vec::new(),
        terminate: Vec::new(),
    }
}

/// Orders what is lacking, as far as nodes that still drain leave room under the limits: they are paid for until they go.
fn launch(target: &Target<'_>, plans: &mut [PoolPlan]) {
    for index in 0..plans.len() {
        let pool = &target.situation.pools[index];
        let Some(limits) = pool.limits else { continue };
        let plan = &plans[index];
        let lacking = plan.wanted.saturating_sub(plan.ready + plan.booting + count(&plan.undrain));
        let there = plan.ready + plan.booting + plan.draining;
        let most = provider_room(target, plans, pool.provider).min(limits.max.saturating_sub(there));
        plans[index].launch = lacking.min(most);
    }
}

/// Tells whether the ready nodes of a pool's provider, all its pools together, are as many as they must be.
fn keeps_provider_minimum(target: &Target<'_>, ready: &[u32], pool: usize) -> bool {
    let provider = target.situation.pools[pool].provider;
    let min = target.providers.iter().find(|limits| limits.provider == provider).map_or(0, |limits| limits.min);
    let mine = target.situation.pools.iter().zip(ready).filter(|(other, _)| other.provider == provider);
    mine.map(|(_, ready)| *ready).sum::<u32>() >= min
}

fn provider_room(target: &Target<'_>, plans: &[PoolPlan], provider: Provider) -> u32 {
    let Some(limits) = target.providers.iter().find(|limits| limits.provider == provider) else { return u32::MAX };
    let mine = target.situation.pools.iter().zip(plans).filter(|(pool, _)| pool.provider == provider);
    limits.max.saturating_sub(mine.map(|(_, plan)| plan.ready + plan.booting + plan.draining + plan.launch).sum())
}

/// Ready nodes in the order in which they go: empty ones, closed ones, then those with the fewest sessions.
fn leaving(pool: &PoolSupply) -> Vec<&NodeSupply> {
    let mut nodes: Vec<&NodeSupply> = pool.nodes.iter().filter(|node| node.stage == NodeStage::Ready).collect();
    nodes.sort_by(|a, b| (a.used > 0, a.open, a.used, &a.node).cmp(&(b.used > 0, b.open, b.used, &b.node)));
    nodes
}
