//! The open set: the nodes that new sessions are steered to. It is as small as what is asked allows, so that the other nodes
//! empty out and can be given back; opening a node is instant, so it may be tight.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fleet::{Demand, NodeIndex, PoolIndex};
use crate::pool::Tier;
use crate::units::{Ratio, Timestamp, positive_duration};

/// Which nodes new sessions are steered to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Steer {
    /// As few as the demand needs.
    #[default]
    Tight,
    /// All that serve.
    All,
}

/// How the open set is worked out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OpenLimits {
    /// As few nodes as possible, or all.
    pub steer: Steer,
    /// Soft slots beyond the streams there are: this many square roots of their number.
    pub spread: f64,
    /// And as many as arrive in this time at the highest rate of late.
    #[serde(with = "positive_duration")]
    #[schemars(with = "String")]
    pub arrivals: Duration,
    /// Nodes at least.
    pub nodes: u32,
    /// Zones at least: providers' regions.
    pub zones: u32,
    /// A pool's nodes close one by one, this far apart.
    #[serde(with = "positive_duration")]
    #[schemars(with = "String")]
    pub close_every: Duration,
    /// The overflow tier closes when the tiers below have had less than this load …
    pub overflow_below: Ratio,
    /// … for this long.
    #[serde(with = "positive_duration")]
    #[schemars(with = "String")]
    pub overflow_after: Duration,
}

impl Default for OpenLimits {
    fn default() -> Self {
        Self {
            steer: Steer::Tight,
            spread: 3.0,
            arrivals: Duration::from_secs(5),
            nodes: 2,
            zones: 2,
            close_every: Duration::from_secs(10),
            overflow_below: Ratio::clamped(0.85),
            overflow_after: Duration::from_secs(30),
        }
    }
}

/// A node that could be open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Openable {
    pub(crate) node: NodeIndex,
    pub(crate) pool: PoolIndex,
    /// Pools of one provider and region share a zone.
    pub(crate) zone: u8,
    pub(crate) tier: Tier,
    /// Microdollars per slot-hour, with the risk.
    pub(crate) cost: f64,
    pub(crate) slots: u32,
    /// Slots that streams use.
    pub(crate) used: u32,
}

/// Whether the overflow tier may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Overflow {
    #[default]
    Shut,
    Open {
        /// Since when the tiers below could do without it.
        calm_since: Option<Timestamp>,
    },
}

/// The open set, with what its next state depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSet {
    version: u64,
    nodes: BTreeSet<NodeIndex>,
    closed_at: Vec<Option<Timestamp>>,
    overflow: Overflow,
}

impl OpenSet {
    /// Counts the sets so far; zero before the first, when every node is open.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the nodes in it.
    pub fn nodes(&self) -> impl Iterator<Item = NodeIndex> {
        self.nodes.iter().copied()
    }

    pub(crate) fn holds(&self, node: NodeIndex) -> bool {
        self.version == 0 || self.nodes.contains(&node)
    }

    /// Lets nodes go that are there no more; pools may have new numbers, so that what was known of them is forgotten.
    pub(crate) fn leave(&mut self, gone: &BTreeSet<NodeIndex>) {
        self.nodes.retain(|node| !gone.contains(node));
        self.closed_at.clear();
    }

    /// Works out the next set. `ready` are the nodes that serve, in the order of their names.
    pub(crate) fn next(&self, mut ready: Vec<Openable>, demand: Demand, limits: &OpenLimits, now: Timestamp) -> Self {
        // The sort is stable, so that names decide between equals on every router alike.
        ready.sort_by(|a, b| a.tier.cmp(&b.tier).then(a.cost.total_cmp(&b.cost)));
        let overflow = self.overflow.next(&ready, demand, limits, now);
        let wanted = match limits.steer {
            Steer::All => ready.iter().map(|node| node.node).collect(),
            Steer::Tight => wanted(&ready, overflow, demand, limits),
        };
        let mut closed_at = self.closed_at.clone();
        let mut nodes = wanted.clone();
        for node in ready.iter().rev().filter(|node| self.holds(node.node) && !wanted.contains(&node.node)) {
            let place = node.pool.get();
            closed_at.resize(closed_at.len().max(place + 1), None);
            let too_soon = closed_at[place].is_some_and(|last| now.since(last) < limits.close_every);
            if too_soon {
                nodes.insert(node.node);
            } else {
                closed_at[place] = Some(now);
            }
        }
        let version = self.version + u64::from(self.version == 0 || nodes != self.nodes);
        Self { version, nodes, closed_at, overflow }
    }
}

/// The shortest prefix with slots enough for the demand and what may come, and a second zone.
fn wanted(ready: &[Openable], overflow: Overflow, demand: Demand, limits: &OpenLimits) -> BTreeSet<NodeIndex> {
    let streams = f64::from(demand.streams);
    let needed = streams + limits.spread * streams.sqrt() + f64::from(demand.arrivals);
    let usable = |node: &&Openable| node.tier < Tier::Overflow || overflow != Overflow::Shut;
    let (mut slots, mut open, mut zones) = (0.0, BTreeSet::new(), BTreeSet::new());
    for node in ready.iter().filter(usable) {
        let enough = slots >= needed && open.len() >= limits.nodes as usize;
        let new_zone = zones.len() < limits.zones as usize && !zones.contains(&node.zone);
        if enough && !new_zone {
            continue;
        }
        slots += f64::from(node.slots);
        open.insert(node.node);
        zones.insert(node.zone);
    }
    open
}

impl Overflow {
    /// Overflow opens when the free slots below are fewer than what may arrive, and closes when they have long been plenty.
    fn next(self, ready: &[Openable], demand: Demand, limits: &OpenLimits, now: Timestamp) -> Self {
        let below = || ready.iter().filter(|node| node.tier < Tier::Overflow);
        let slots: u32 = below().map(|node| node.slots).sum();
        let used: u32 = below().map(|node| node.used.min(node.slots)).sum();
        let short = slots == 0 || slots - used < demand.arrivals || slots < demand.streams;
        let calm = f64::from(used) < f64::from(slots) * f64::from(limits.overflow_below.get());
        match self {
            Self::Shut if short => Self::Open { calm_since: None },
            Self::Shut => Self::Shut,
            Self::Open { .. } if short || !calm => Self::Open { calm_since: None },
            Self::Open { calm_since } => {
                let since = calm_since.unwrap_or(now);
                let long_enough = now.since(since) >= limits.overflow_after;
                if long_enough { Self::Shut } else { Self::Open { calm_since: Some(since) } }
            }
        }
    }
}
