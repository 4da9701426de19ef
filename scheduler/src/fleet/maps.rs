//! From names to numbers: what a request says in words, as bits over pools and models.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher};

use crate::fleet::line::NodeIndex;
use crate::ids::{ModelName, NodeId, PoolName};
use crate::pool::{Compliance, Pool, Residency};

/// As many pools as a fleet may have: a set of pools is one word.
pub const MOST_POOLS: usize = 64;
/// The bit that all models share that came after the first 63.
const OTHER_MODELS: u64 = 1 << 63;

/// Finds a name by one hash, where a tree would compare texts all over the heap. The hash is the same in every process.
type Numbers<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// The names of one fleet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Maps {
    nodes: Numbers<NodeId, NodeIndex>,
    /// The same in the order of the names.
    in_order: BTreeMap<NodeId, NodeIndex>,
    pools: Numbers<PoolName, usize>,
    residencies: BTreeMap<Residency, u64>,
    compliances: BTreeMap<Compliance, u64>,
    models: Vec<ModelName>,
}

impl Maps {
    pub(crate) fn new(pools: &[Pool]) -> Self {
        let mut maps = Self::default();
        for (index, pool) in pools.iter().enumerate().take(MOST_POOLS) {
            let bit = 1 << index;
            maps.pools.insert(pool.name.clone(), index);
            *maps.residencies.entry(pool.residency.clone()).or_default() |= bit;
            for regime in &pool.compliance {
                *maps.compliances.entry(regime.clone()).or_default() |= bit;
            }
        }
        maps
    }

    pub(crate) fn node(&self, name: &NodeId) -> Option<NodeIndex> {
        self.nodes.get(name).copied()
    }

    /// Returns the nodes in the order of their names.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&NodeId, NodeIndex)> {
        self.in_order.iter().map(|(name, node)| (name, *node))
    }

    pub(crate) fn add_node(&mut self, name: &NodeId, node: NodeIndex) {
        self.nodes.insert(name.clone(), node);
        self.in_order.insert(name.clone(), node);
    }

    pub(crate) fn forget_node(&mut self, name: &NodeId) {
        self.nodes.remove(name);
        self.in_order.remove(name);
    }

    pub(crate) fn pool(&self, name: &PoolName) -> Option<usize> {
        self.pools.get(name).copied()
    }

    /// Returns the pools that process audio there.
    pub(crate) fn resident(&self, residency: &Residency) -> u64 {
        self.residencies.get(residency).copied().unwrap_or(0)
    }

    /// Returns the pools that were audited for it.
    pub(crate) fn audited(&self, regime: &Compliance) -> u64 {
        self.compliances.get(regime).copied().unwrap_or(0)
    }

    /// Returns a model's bit, and whether no other model has it; nothing when no node ever served it.
    pub(crate) fn model(&self, name: &ModelName) -> Option<(u64, Bit)> {
        let place = self.models.iter().position(|known| known == name)?;
        Some(bit(place))
    }

    /// Returns a model's bit, which it gets if it has none yet.
    pub(crate) fn learn(&mut self, name: &ModelName) -> u64 {
        let place = self.models.iter().position(|known| known == name).unwrap_or_else(|| {
            self.models.push(name.clone());
            self.models.len() - 1
        });
        bit(place).0
    }

    pub(crate) fn knows(&self, name: &ModelName) -> bool {
        self.models.contains(name)
    }

    /// Returns the models in the order of their bits.
    pub(crate) fn models(&self) -> &[ModelName] {
        &self.models
    }
}

/// Whether a bit says which model it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bit {
    Own,
    Shared,
}

fn bit(place: usize) -> (u64, Bit) {
    if place < 63 { (1 << place, Bit::Own) } else { (OTHER_MODELS, Bit::Shared) }
}
