//! The fleet: all pools, and all nodes as last reported. It takes what agents and proxies say, one change at a time, and
//! hands out views to decide on.
//!
//! * [`Fleet`]: takes changes; one owner. [`FleetView`]: what decisions read; any number of readers.
//! * `line`: a node in 64 bytes. `node`: what everybody else may know of it. `group`: the nodes of a pool that may be drawn from. `promises`: slots promised and not yet
//!   reported. `maps`: from names to numbers. `notes`: what sessions met. `orders`: what operators say. `tick`: what is worked
//!   out once a second.

mod group;
mod line;
mod maps;
mod node;
mod notes;
mod orders;
mod pool;
mod promises;
mod tick;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::health::Breaker;
use crate::ids::{ModelName, NodeId, PoolName};
use crate::open::OpenSet;
use crate::pool::Pool;
use crate::report::{NodeState, Report};
use crate::units::Timestamp;

pub(crate) use group::Group;
pub(crate) use line::{Line, PoolIndex, Side, Standing};
pub(crate) use maps::Bit;
pub(crate) use pool::{Gate, PoolLine, Telemetry};
pub(crate) use promises::Promised;

pub use line::NodeIndex;
pub use maps::MOST_POOLS;
pub use node::Node;
pub use tick::{Demand, Ticked};
pub use view::{Capacity, FleetView};

/// Says that a report names a pool that is not configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no pool is called {pool}; configured pools: {known}")]
pub struct UnknownPool {
    pool: PoolName,
    known: String,
}

/// The figures of a report that says nothing new but these: what most reports are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// What the node is up to.
    pub state: NodeState,
    /// Slots in use.
    pub used_slots: u32,
    /// Sessions waiting inside the engine.
    pub queue_depth: u32,
    /// Audio chunk to result, 95th percentile.
    pub chunk_latency_p95: Duration,
}

/// What happened on a node lately that its line does not say.
#[derive(Clone, Debug, Default)]
struct History {
    /// What its agent said last, which an operator may overrule.
    said: Option<NodeState>,
    /// Opens that failed in a row.
    failures: u32,
    /// Times it was ejected.
    ejections: u32,
    ejected_until: Timestamp,
    slow_since: Option<Timestamp>,
    /// When a session was last known to go on there.
    alive_at: Option<Timestamp>,
    /// Promises made by the last tick.
    made: u32,
}

/// All pools and nodes.
#[derive(Clone, Debug)]
pub struct Fleet {
    view: FleetView,
    histories: Vec<History>,
    free: Vec<NodeIndex>,
    /// Breakers of pools without agents.
    breakers: Vec<Option<Breaker>>,
    open_set: OpenSet,
    ticked_at: Option<Timestamp>,
    /// Nodes that operators drain.
    drained: BTreeSet<NodeId>,
}

impl Default for Fleet {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Fleet {
    /// Starts with these pools and no nodes. Pools after the first [`MOST_POOLS`] are left out; configuration refuses them.
    #[must_use]
    pub fn new(mut pools: Vec<Pool>) -> Self {
        pools.truncate(MOST_POOLS);
        Self {
            breakers: vec![None; pools.len()],
            view: FleetView::new(pools),
            histories: Vec::new(),
            free: Vec::new(),
            open_set: OpenSet::default(),
            ticked_at: None,
            drained: BTreeSet::new(),
        }
    }

    /// Returns the fleet as decisions see it now.
    #[must_use]
    pub fn view(&self) -> &FleetView {
        &self.view
    }

    /// Returns a view to be published: changes after this are not seen in it, promises are.
    #[must_use]
    pub fn snapshot(&self) -> Arc<FleetView> {
        Arc::new(self.view.clone())
    }

    /// Says how many routers place sessions on these nodes, this one included.
    pub fn set_routers(&mut self, routers: u32) {
        self.view.others = routers.saturating_sub(1);
        self.view.version += 1;
        self.view.count_spent();
    }

    /// Sets the measured round trip to a pool.
    pub fn set_round_trip(&mut self, pool: &PoolName, round_trip: Duration) {
        if let Some(index) = self.view.maps.pool(pool) {
            self.view.pool_lines[index].round_trip = round_trip;
            self.refresh(index);
        }
    }

    /// Sets how often nodes of a pool are preempted, in events per node-hour.
    pub fn set_hazard(&mut self, pool: &PoolName, hazard: f64) {
        if let Some(index) = self.view.maps.pool(pool) {
            self.view.pool_lines[index].hazard = hazard;
            self.refresh(index);
        }
    }

    /// Takes a report, and returns the node's number.
    ///
    /// # Errors
    /// Fails when the report names a pool that is not configured.
    pub fn report(&mut self, report: Report, at: Timestamp) -> Result<NodeIndex, UnknownPool> {
        let pool = self.view.place_of(&report.pool)?;
        let said = report.state;
        let state = self.ordered(&report.node, said);
        let report = Report { state, ..report.sane() };
        let models = self.learn(&report.models);
        let node = self.number(&report.node);
        self.histories[node.get()].said = Some(said);
        self.settle(node, report.used_slots, at);
        let mut line = self.view.lines[node.get()];
        line.pool = PoolIndex(pool);
        line.models = models;
        line.take(&report, &self.view.pools[usize::from(pool)], at);
        line.become_standing(report.state, at);
        self.view.reports[node.get()] = Some(Arc::new(report));
        self.replace(node, line);
        Ok(node)
    }

    /// Takes a report that says nothing new but a few figures. A number that no node has is ignored.
    pub fn beat(&mut self, node: NodeIndex, beat: Beat, at: Timestamp) {
        let Some(Some(report)) = self.view.reports.get(node.get()) else { return };
        let state = self.ordered(&report.node, beat.state);
        self.histories[node.get()].said = Some(beat.state);
        let Some(Some(report)) = self.view.reports.get_mut(node.get()) else { return };
        let report = Arc::make_mut(report);
        report.state = state;
        report.used_slots = beat.used_slots;
        report.queue_depth = beat.queue_depth;
        report.chunk_latency_p95 = beat.chunk_latency_p95;
        report.clamp();
        let mut line = self.view.lines[node.get()];
        line.take(report, &self.view.pools[line.pool.get()], at);
        line.become_standing(state, at);
        self.settle(node, beat.used_slots, at);
        self.replace(node, line);
    }

    /// A session that a report counts is no promise any more: each slot more in use settles the oldest one.
    fn settle(&self, node: NodeIndex, used: u32, at: Timestamp) {
        let before = self.view.lines[node.get()].used;
        self.view.promises.settle(node.get(), used.saturating_sub(before.into()), at);
    }

    fn learn(&mut self, models: &BTreeSet<ModelName>) -> u64 {
        if models.iter().any(|model| !self.view.maps.knows(model)) {
            let maps = Arc::make_mut(&mut self.view.maps);
            for model in models {
                maps.learn(model);
            }
        }
        models.iter().filter_map(|model| self.view.maps.model(model)).fold(0, |bits, (bit, _)| bits | bit)
    }

    /// Returns a node's number, a free one if it has none yet.
    fn number(&mut self, name: &NodeId) -> NodeIndex {
        if let Some(known) = self.view.index_of(name) {
            return known;
        }
        let node = self.free.pop().unwrap_or_else(|| {
            self.view.lines.push(Line::gone());
            self.view.reports.push(None);
            self.histories.push(History::default());
            NodeIndex(u32::try_from(self.view.lines.len() - 1).unwrap_or(u32::MAX))
        });
        self.view.promises.make_room(node.get());
        self.histories[node.get()] = History { made: self.view.promises.made(node.get()), ..History::default() };
        // Before the first open set is worked out every node is open; after it a new one waits for its turn.
        let side = if self.open_set.version() == 0 { Side::Open } else { Side::Closed };
        self.view.lines[node.get()] = Line { side, ..Line::gone() };
        Arc::make_mut(&mut self.view.maps).add_node(name, node);
        node
    }

    /// Replaces a node's line and keeps its pool's groups and averages right.
    fn replace(&mut self, node: NodeIndex, after: Line) {
        let before = std::mem::replace(&mut self.view.lines[node.get()], after);
        let lines = &mut self.view.pool_lines;
        let place = |line: &Line| (line.standing == Standing::Serving).then_some((line.pool, line.side));
        match (place(&before), place(&after)) {
            (Some(here), Some(there)) if here == there => {
                lines[there.0.get()].side_mut(there.1).change(&before, &after);
            }
            (left, joined) => {
                if let Some((pool, side)) = left {
                    lines[pool.get()].side_mut(side).leave(node, &before);
                }
                if let Some((pool, side)) = joined {
                    lines[pool.get()].side_mut(side).join(node, &after);
                }
            }
        }
        self.view.note_models(&after);
        self.view.version += 1;
        self.view.refresh(before.pool);
        self.view.refresh(after.pool);
    }

    fn refresh(&mut self, pool: usize) {
        self.view.version += 1;
        if let Ok(pool) = u8::try_from(pool) {
            self.view.refresh(PoolIndex(pool));
        }
    }

    /// Makes a node's last report younger by `time`, for time in which its next one could not have come through.
    pub fn hold_age(&mut self, node: &NodeId, time: Duration, now: Timestamp) {
        if let Some(node) = self.view.index_of(node) {
            let line = &mut self.view.lines[node.get()];
            line.reported_at = now.min(line.reported_at + time);
            self.view.version += 1;
        }
    }

    /// Forgets nodes that have been silent for `limit`, and returns their names.
    pub fn forget_silent(&mut self, limit: Duration, now: Timestamp) -> Vec<NodeId> {
        let silent = |(_, node): &(&NodeId, NodeIndex)| now.since(self.view.lines[node.get()].reported_at) >= limit;
        let silent: Vec<_> = self.view.maps.nodes().filter(silent).map(|(name, node)| (name.clone(), node)).collect();
        for (name, node) in &silent {
            self.replace(*node, Line { pool: self.view.lines[node.get()].pool, ..Line::gone() });
            self.view.reports[node.get()] = None;
            Arc::make_mut(&mut self.view.maps).forget_node(name);
            self.free.push(*node);
        }
        silent.into_iter().map(|(name, _)| name).collect()
    }

    /// Returns the streams that live nodes serve, as reported.
    #[must_use]
    pub fn streams(&self) -> u32 {
        let lines = self.view.lines.iter().filter(|line| line.standing != Standing::Gone);
        lines.map(|line| u32::from(line.used.saturating_sub(line.batch))).sum()
    }
}

#[cfg(test)]
mod tests;
