//! The fleet as decisions see it: a snapshot made to be read by many threads at once. Only promises change in it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::decide::{Choice, Decision, Pick, Placement};
use crate::filter::Rejected;
use crate::fleet::UnknownPool;
use crate::fleet::line::{Line, NodeIndex, PoolIndex, Side};
use crate::fleet::maps::Maps;
use crate::fleet::node::Node;
use crate::fleet::pool::{PoolLine, SideTable};
use crate::fleet::promises::Promises;
use crate::ids::{ModelName, NodeId, PoolName};
use crate::pool::Pool;
use crate::report::Report;
use crate::request::Request;
use crate::units::Timestamp;

/// Whether what is healthy is enough for what is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capacity {
    /// There are soft slots for everybody.
    #[default]
    Enough,
    /// Capacity panic: healthy soft slots are fewer than the streams; slots up to the hard ones are used at once, batch gets
    /// none, and one tenant's share is bounded.
    Short,
}

/// All pools and nodes, as they were when [`super::Fleet::snapshot`] was called. Clones share promises.
#[derive(Clone, Debug)]
pub struct FleetView {
    pub(crate) version: u64,
    /// Routers that place sessions beside this one.
    pub(crate) others: u32,
    pub(crate) capacity: Capacity,
    pub(crate) soft_slots: u32,
    /// The share of an open node's soft slots that batch leaves free for streams about to come.
    pub(crate) kept: f32,
    /// Which pools have a node with the model, by the model's bit.
    pub(crate) serving: Vec<u64>,
    pub(crate) pools: Arc<[Pool]>,
    pub(crate) maps: Arc<Maps>,
    pub(crate) pool_lines: Vec<PoolLine>,
    pub(crate) open: SideTable,
    pub(crate) closed: SideTable,
    pub(crate) lines: Vec<Line>,
    pub(crate) reports: Vec<Option<Arc<Report>>>,
    pub(crate) promises: Promises,
}

impl FleetView {
    pub(crate) fn new(pools: Vec<Pool>) -> Self {
        Self {
            version: 0,
            others: 0,
            capacity: Capacity::Enough,
            soft_slots: 0,
            kept: 0.0,
            serving: vec![0; 64],
            maps: Arc::new(Maps::new(&pools)),
            pool_lines: pools.iter().map(PoolLine::new).collect(),
            pools: pools.into(),
            open: SideTable::default(),
            closed: SideTable::default(),
            lines: Vec::new(),
            reports: Vec::new(),
            promises: Promises::default(),
        }
    }

    /// Counts the changes so far; decisions name the version they were made on.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Counts the routers that place sessions on these nodes, this one included.
    #[must_use]
    pub fn routers(&self) -> u32 {
        self.others + 1
    }

    /// Tells whether what is healthy is enough.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// Returns the soft slots of nodes that serve, as of the last tick.
    #[must_use]
    pub fn soft_slots(&self) -> u32 {
        self.soft_slots
    }

    /// Returns the soft slots that no stream uses, as reported.
    #[must_use]
    pub fn free_slots(&self) -> u32 {
        self.pool_lines.iter().map(|pool| pool.open.room().saturating_add(pool.closed.room())).sum()
    }

    /// Returns the pools in the order they were configured.
    #[must_use]
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// Finds a pool by name.
    #[must_use]
    pub fn pool(&self, name: &PoolName) -> Option<&Pool> {
        self.maps.pool(name).map(|index| &self.pools[index])
    }

    /// Checks that a pool is configured.
    ///
    /// # Errors
    /// Fails with the names of those that are.
    pub fn known(&self, name: &PoolName) -> Result<(), UnknownPool> {
        self.place_of(name).map(drop)
    }

    /// Returns a pool's place in the configuration.
    pub(super) fn place_of(&self, name: &PoolName) -> Result<u8, UnknownPool> {
        let known = || self.pools.iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>().join(", ");
        let place = self.maps.pool(name).and_then(|pool| u8::try_from(pool).ok());
        place.ok_or_else(|| UnknownPool { pool: name.clone(), known: known() })
    }

    /// Returns the nodes in the order of their names.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        self.maps.nodes().filter_map(|(_, index)| self.at(index))
    }

    /// Finds a node by name.
    #[must_use]
    pub fn node(&self, name: &NodeId) -> Option<Node<'_>> {
        self.at(self.index_of(name)?)
    }

    /// Finds a node's number.
    #[must_use]
    pub fn index_of(&self, name: &NodeId) -> Option<NodeIndex> {
        self.maps.node(name)
    }

    /// Finds a node by its number.
    #[must_use]
    pub fn at(&self, index: NodeIndex) -> Option<Node<'_>> {
        let line = self.lines.get(index.get())?;
        let report = self.reports[index.get()].as_deref()?;
        Some(Node {
            report,
            reported_at: line.reported_at,
            line,
            pool: &self.pool_lines[line.pool.get()],
            promised: self.promises.on(index.get()),
            others: self.others,
        })
    }

    /// Charges a slot on a node until its next report shows the session, or 3 s have passed. Every view of the fleet sees it.
    pub fn reserve(&self, node: NodeIndex, now: Timestamp) {
        let Some(line) = self.lines.get(node.get()) else { return };
        let promised = self.promises.promise(node.get(), (line.pool, line.side), now);
        if !self.leaves_room(line.pool, line.side, promised) {
            self.promises.spend(line.pool, line.side);
        }
    }

    /// Returns a view whose promises are its own: what happens elsewhere changes nothing in it.
    #[must_use]
    pub fn frozen(&self) -> Self {
        let frozen = Self { promises: self.promises.frozen(), ..self.clone() };
        frozen.count_spent();
        frozen
    }

    /// Puts names to a choice. `rejected` is [`crate::explain()`]'s, or empty where nobody asks.
    #[must_use]
    pub fn decision(&self, choice: &Choice, request: &Request, rejected: Vec<Rejected>) -> Decision {
        let placements = choice.picks().iter().filter_map(|pick| self.placement(pick, request));
        Decision {
            placements: placements.collect(),
            refusal: choice.refusal(),
            rejected,
            fleet_version: self.version,
            seat: choice.picks().first().map(|pick| pick.seat),
            refused_by: None,
        }
    }

    fn placement(&self, pick: &Pick, request: &Request) -> Option<Placement> {
        let node = self.at(pick.node)?;
        Some(Placement {
            node: node.report.node.clone(),
            pool: node.report.pool.clone(),
            address: node.report.address.clone(),
            terms: pick.terms,
            api: node.report.api,
            engine_model: node.report.engine_models.get(&request.model).cloned(),
        })
    }

    /// Returns how full a pool is, in shares of its soft slots; one without slots is full.
    pub(crate) fn load_of(&self, pool: usize) -> f64 {
        let Some(line) = self.pool_lines.get(pool) else { return 1.0 };
        let soft = line.open.soft().saturating_add(line.closed.soft());
        let room = line.open.room().saturating_add(line.closed.room());
        if soft == 0 { 1.0 } else { 1.0 - f64::from(room) / f64::from(soft) }
    }

    /// Returns what a side of every pool costs.
    pub(crate) fn table(&self, side: Side) -> &SideTable {
        match side {
            Side::Open => &self.open,
            Side::Closed => &self.closed,
        }
    }

    /// Tells whether a pool likely has soft slots left beyond the share that is kept for streams.
    pub(crate) fn has_room_to_spare(&self, pool: PoolIndex, side: Side) -> bool {
        let promised = self.promises.since_tick(pool, side).saturating_mul(self.others + 1);
        let kept = self.pool_lines[pool.get()].side(side).soft() as f32 * self.kept;
        self.table(side).left[pool.get()] as f32 > promised as f32 + kept
    }

    /// Tells whether a pool likely has soft slots left: it had more at the last tick than were promised since, here and by the
    /// other routers.
    fn leaves_room(&self, pool: PoolIndex, side: Side, promised: u32) -> bool {
        self.table(side).left[pool.get()] > promised.saturating_mul(self.others + 1)
    }

    /// Works out which pools have promised what they had.
    pub(crate) fn count_spent(&self) {
        for side in [Side::Open, Side::Closed] {
            let pools = PoolIndex::all(self.pools.len());
            let spent = pools.filter(|pool| !self.leaves_room(*pool, side, self.promises.since_tick(*pool, side)));
            self.promises.set_spent(side, spent.fold(0, |set, pool| set | 1 << pool.0));
        }
    }

    /// Returns the pools with a node that serves any of these models.
    pub(crate) fn serving(&self, models: u64) -> u64 {
        match models.trailing_zeros() {
            64.. => 0,
            bit => self.serving[bit as usize],
        }
    }

    /// Notes that a node's pool serves its models.
    pub(crate) fn note_models(&mut self, line: &Line) {
        let mut models = if line.standing == super::Standing::Serving { line.models } else { 0 };
        while models != 0 {
            self.serving[models.trailing_zeros() as usize] |= 1 << line.pool.0;
            models &= models - 1;
        }
    }

    /// Works out what follows from lines, reports and groups: names, models and averages.
    pub(crate) fn relearn(&mut self, models: &[ModelName]) {
        let maps = Arc::make_mut(&mut self.maps);
        for model in models {
            maps.learn(model);
        }
        for (report, place) in self.reports.iter().zip(0_u32..) {
            if let Some(report) = report {
                maps.add_node(&report.node, NodeIndex(place));
            }
        }
        for line in self.lines.clone() {
            self.note_models(&line);
        }
        PoolIndex::all(self.pools.len()).for_each(|pool| self.refresh(pool));
    }

    /// Weighs a pool anew, after its nodes changed.
    pub(crate) fn refresh(&mut self, pool: PoolIndex) {
        let (bit, line, price) = (1_u64 << pool.0, &self.pool_lines[pool.get()], &self.pools[pool.get()].price);
        for (group, table) in [(&line.open, &mut self.open), (&line.closed, &mut self.closed)] {
            let set = |word: u64, on: bool| if on { word | bit } else { word & !bit };
            table.over = set(table.over, group.over() > 0);
            table.room = set(table.room, group.room() > 0);
            table.costs.set(pool.get(), group.means(), line, price.egress_gb.0 as f32);
        }
    }
}
