//! From names to numbers: what a request says in words, as bits over pools and models.

use std::collections::BTreeMap;

use crate::fleet::line::NodeIndex;
use crate::ids::{ModelName, NodeId, PoolName};
use crate::pool::{Compliance, Pool, Residency};

/// As many pools as a fleet may have: a set of pools is one word.
pub const MOST_POOLS: usize = 64;
/// The bit that all models share that came after the first 63.
const OTHER_MODELS: u64 = 1 << 63;

/// The names of one fleet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Maps {
    pub(crate) nodes: BTreeMap<NodeId, NodeIndex>,
    pools: BTreeMap<PoolName, usize>,
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
