//! What operators say of a fleet: which nodes shall take no more sessions, and which pools there are.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::fleet::line::{Line, PoolIndex};
use crate::fleet::maps::{MOST_POOLS, Maps};
use crate::fleet::pool::{PoolLine, SideTable};
use crate::fleet::{Fleet, FleetView, NodeIndex};
use crate::ids::NodeId;
use crate::pool::Pool;
use crate::report::NodeState;
use crate::units::Timestamp;

impl Fleet {
    /// Says which nodes take no more sessions, whatever their agents report: all of `drained` and no others. A name that no
    /// node has yet counts when one reports under it.
    pub fn set_drained(&mut self, drained: BTreeSet<NodeId>, now: Timestamp) {
        let before = std::mem::replace(&mut self.drained, drained);
        let changed: Vec<NodeId> = before.symmetric_difference(&self.drained).cloned().collect();
        for name in changed {
            let Some(node) = self.view.index_of(&name) else { continue };
            let Some(said) = self.histories[node.get()].said else { continue };
            let state = self.ordered(&name, said);
            if let Some(report) = &mut self.view.reports[node.get()] {
                Arc::make_mut(report).state = state;
            }
            let mut line = self.view.lines[node.get()];
            line.become_standing(state, now);
            self.replace(node, line);
        }
    }

    /// Returns what a node is up to, where operators may know better than its agent.
    pub(super) fn ordered(&self, node: &NodeId, said: NodeState) -> NodeState {
        match said {
            NodeState::Serving if self.drained.contains(node) => NodeState::Draining,
            NodeState::Serving | NodeState::Starting | NodeState::Draining | NodeState::Failing => said,
        }
    }

    /// Replaces the pools. What is known of nodes stays; nodes whose pool is there no more are forgotten, and returned. Pools
    /// after the first [`MOST_POOLS`] are left out; configuration refuses them.
    pub fn replace_pools(&mut self, mut pools: Vec<Pool>, now: Timestamp) -> Vec<NodeId> {
        pools.truncate(MOST_POOLS);
        let mut maps = Maps::new(&pools);
        self.view.maps.models().iter().for_each(|model| {
            maps.learn(model);
        });
        self.carry_pools(&pools, &maps);
        self.view.pools = pools.into();
        let gone = self.carry_nodes(&mut maps);
        self.view.maps = Arc::new(maps);
        (self.view.open, self.view.closed) = (SideTable::default(), SideTable::default());
        self.view.version += 1;
        self.regroup(now);
        gone
    }

    /// Keeps what was measured of pools that stay.
    fn carry_pools(&mut self, pools: &[Pool], maps: &Maps) {
        let lines = pools.iter().map(PoolLine::new).collect();
        let lines = std::mem::replace(&mut self.view.pool_lines, lines);
        let breakers = std::mem::replace(&mut self.breakers, vec![None; pools.len()]);
        let before = Arc::clone(&self.view.pools);
        for ((pool, line), breaker) in before.iter().zip(lines).zip(breakers) {
            let Some(index) = maps.pool(&pool.name) else { continue };
            self.breakers[index] = breaker;
            let carried = &mut self.view.pool_lines[index];
            if pool.link.round_trip == pools[index].link.round_trip {
                carried.round_trip = line.round_trip;
            }
            if pool.market == pools[index].market {
                carried.hazard = line.hazard;
            }
            carried.usual_load = line.usual_load;
            carried.telemetry = line.telemetry;
            carried.gate = line.gate;
        }
    }

    /// Gives nodes the new numbers and prices of their pools, and forgets those that have none.
    fn carry_nodes(&mut self, maps: &mut Maps) -> Vec<NodeId> {
        let before = Arc::clone(&self.view.maps);
        let mut gone = Vec::new();
        for (name, node) in before.nodes() {
            let pool = self.view.reports[node.get()].as_ref().and_then(|report| maps.pool(&report.pool));
            let line = &mut self.view.lines[node.get()];
            if let Some((pool, index)) = pool.and_then(|pool| Some((pool, u8::try_from(pool).ok()?))) {
                line.pool = PoolIndex(index);
                line.price(&self.view.pools[pool]);
                maps.add_node(name, node);
            } else {
                *line = Line::gone();
                self.view.reports[node.get()] = None;
                self.free.push(node);
                gone.push(name.clone());
            }
        }
        let free: BTreeSet<NodeIndex> = self.free.iter().copied().collect();
        free.iter().for_each(|node| self.view.lines[node.get()] = Line::gone());
        self.open_set.leave(&free);
        gone
    }
}

impl FleetView {
    /// Returns the pools, to be kept; two views of the same ones return the same allocation.
    #[must_use]
    pub fn shared_pools(&self) -> Arc<[Pool]> {
        Arc::clone(&self.pools)
    }
}
