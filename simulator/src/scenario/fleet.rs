//! The fleet of a scenario: what could be rented or is owned, at which price, and how it behaves.

use std::time::Duration;

use scheduler::units::duration;
use scheduler::{Market, MicroDollars, PoolName, Provider, Tier};
use serde::{Deserialize, Serialize};

use super::Factors;

/// A fleet file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetFile {
    /// What tables call it.
    pub name: String,
    /// When its prices were true, such as `2026-11-20`.
    pub prices_of: String,
    /// Most and fewest nodes per provider, over all its pools together.
    #[serde(default)]
    pub providers: ProviderLimits,
    /// The pools.
    pub pools: Vec<PoolSpec>,
}

/// Limits per provider; a provider that is not named has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderLimits {
    /// Of AWS.
    pub aws: Option<Limits>,
    /// Of Google Cloud.
    pub gcp: Option<Limits>,
    /// Of `CoreWeave`.
    pub coreweave: Option<Limits>,
    /// Of one's own machines.
    pub on_prem: Option<Limits>,
    /// Of Azure.
    pub azure: Option<Limits>,
    /// Of everyone else.
    pub other: Option<Limits>,
}

impl ProviderLimits {
    /// Finds a provider's limits.
    #[must_use]
    pub fn get(&self, provider: Provider) -> Option<Limits> {
        match provider {
            Provider::Aws => self.aws,
            Provider::Gcp => self.gcp,
            Provider::Coreweave => self.coreweave,
            Provider::OnPrem => self.on_prem,
            Provider::Azure => self.azure,
            Provider::Openai | Provider::Deepgram | Provider::Other => self.other,
        }
    }

    /// Multiplies every limit.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        let times =
            |limits: Option<Limits>| limits.map(|Limits { min, max }| Limits { min: min * factor, max: max * factor });
        Self {
            aws: times(self.aws),
            gcp: times(self.gcp),
            coreweave: times(self.coreweave),
            on_prem: times(self.on_prem),
            azure: times(self.azure),
            other: times(self.other),
        }
    }
}

/// Bounds on a number of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// A commitment: what is missing from it is paid for all the same, at the lowest price.
    #[serde(default)]
    pub min: u32,
    /// No more can be had.
    pub max: u32,
}

/// Slots of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotSpec {
    /// Streams served well at once.
    pub soft: u32,
    /// Streams served at all.
    pub hard: u32,
}

/// One pool.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolSpec {
    /// Its name, unique in the file.
    pub name: PoolName,
    /// Who runs the machines.
    pub provider: Provider,
    /// What fails together.
    pub zone: String,
    /// When it is filled.
    pub tier: Tier,
    /// How it is bought.
    pub market: Market,
    /// Slots per node.
    pub slots: SlotSpec,
    /// One node for one hour, in US dollars.
    pub node_hour: MicroDollars,
    /// One gigabyte of audio sent to it, in US dollars.
    #[serde(default)]
    pub egress_gb: MicroDollars,
    /// From the launch to the first stream.
    #[serde(with = "duration")]
    pub boot: Duration,
    /// From the notice to the end of a spot node.
    #[serde(default, with = "duration")]
    pub notice: Duration,
    /// Expected round trip from the proxies.
    #[serde(with = "duration")]
    pub round_trip: Duration,
    /// Nodes of this pool.
    pub nodes: Limits,
}

impl PoolSpec {
    /// Returns the dollars of one node for one hour.
    #[must_use]
    pub fn dollars_per_hour(&self) -> f64 {
        self.node_hour.dollars()
    }
}

impl FleetFile {
    /// Multiplies what was assumed; a node keeps one slot at least.
    #[must_use]
    pub fn scaled(mut self, factors: Factors) -> Self {
        for pool in &mut self.pools {
            pool.slots =
                SlotSpec { soft: times(pool.slots.soft, factors.slots), hard: times(pool.slots.hard, factors.slots) };
            pool.node_hour = MicroDollars::from_dollars(pool.node_hour.dollars() * factors.price);
            pool.boot = pool.boot.mul_f64(factors.boot.max(0.0));
        }
        self
    }

    /// Multiplies the price of every spot node.
    #[must_use]
    pub fn with_spot_price(mut self, factor: f64) -> Self {
        for pool in self.pools.iter_mut().filter(|pool| pool.market == Market::Spot) {
            pool.node_hour = MicroDollars::from_dollars(pool.node_hour.dollars() * factor);
        }
        self
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer casts saturate")]
fn times(slots: u32, factor: f64) -> u32 {
    ((f64::from(slots) * factor) as u32).max(1)
}
