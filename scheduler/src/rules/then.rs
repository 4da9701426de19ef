//! Actions: where those whom a rule concerns may be served.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Preference;
use super::pools::PoolSet;
use super::several::Several;
use crate::ids::PoolName;
use crate::pool::{Pool, Provider, Tier};

/// Which of the pools of a rule comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The one that costs least now.
    #[default]
    Cost,
    /// The first in the list that has room.
    Listed,
}

/// What happens when nothing in the pools of a rule can serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The session is refused.
    #[default]
    Refuse,
    /// It goes wherever else it may.
    Any,
}

/// Pools that are left, and which of them to prefer. Each key narrows further.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Then {
    /// Only these pools.
    pub pools: Several<PoolName>,
    /// Only pools of these providers.
    pub provider: Several<Provider>,
    /// Only pools of these tiers.
    pub tier: Several<Tier>,
    /// Which of `pools` comes first.
    pub order: Order,
    /// Only these pools, each drawn in proportion to its weight.
    pub weights: BTreeMap<PoolName, u32>,
    /// These pools as well, when nothing in the others can serve.
    pub fail_over_to: Several<PoolName>,
    /// What happens when nothing in all of them can.
    pub on_failure: OnFailure,
    /// The session is refused with this text.
    pub refuse: Option<String>,
}

/// Actions with pools by index.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Compiled {
    pub(super) first: PoolSet,
    pub(super) fallback: PoolSet,
    pub(super) refuse: Option<String>,
    listed: Vec<u8>,
    weights: Vec<(u8, u32)>,
}

impl Then {
    /// Returns the pools that are left, by index.
    pub(super) fn keeps(&self, pools: &[Pool]) -> PoolSet {
        let keeps = |pool: &Pool| {
            self.pools.holds(|name| *name == pool.name)
                && self.provider.holds(|provider| *provider == pool.provider)
                && self.tier.holds(|tier| *tier == pool.tier)
                && (self.weights.is_empty() || self.weights.get(&pool.name).is_some_and(|weight| *weight > 0))
        };
        pools.iter().enumerate().filter(|(_, pool)| keeps(pool)).map(|(index, _)| index).collect()
    }

    pub(super) fn compile(&self, pools: &[Pool]) -> Compiled {
        let index = |name: &PoolName| pools.iter().position(|pool| pool.name == *name);
        let narrow = |name: &PoolName| index(name).and_then(|index| u8::try_from(index).ok());
        let first = self.keeps(pools);
        let fallback = match self.on_failure {
            OnFailure::Any => PoolSet::ALL,
            OnFailure::Refuse => first | self.fail_over_to.0.iter().filter_map(index).collect(),
        };
        let listed = match self.order {
            Order::Listed => self.pools.0.iter().filter_map(narrow).collect(),
            Order::Cost => Vec::new(),
        };
        let weights = self.weights.iter().filter_map(|(name, weight)| Some((narrow(name)?, *weight)));
        Compiled { first, fallback, refuse: self.refuse.clone(), listed, weights: weights.collect() }
    }
}

impl Compiled {
    pub(super) fn preference(&self) -> Preference<'_> {
        match (self.weights.as_slice(), self.listed.as_slice()) {
            ([], []) => Preference::Cost,
            ([], listed) => Preference::Listed(listed),
            (weights, _) => Preference::Weighted(weights),
        }
    }
}
