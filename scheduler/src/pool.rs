//! Pools: what an operator says about a group of nodes of one provider, region and market.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::ids::{PoolName, Region};
use crate::plan::Scaling;
use crate::units::{Bandwidth, MicroDollars, duration};

/// Who runs the machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the providers' own names")]
pub enum Provider {
    Aws,
    Gcp,
    Coreweave,
    OnPrem,
    Azure,
    Openai,
    Deepgram,
    Other,
}

/// The order in which pools are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Paid for anyway: fixed machines and committed minimums.
    Baseline,
    /// Cheap and may vanish: spot machines.
    Burst,
    /// Dear and always there: on-demand machines.
    Overflow,
}

/// How the machines are bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Market {
    /// Owned or committed: using them costs energy only.
    Fixed,
    /// Preemptible.
    Spot,
    /// By the hour.
    OnDemand,
}

/// Where audio may be processed: a jurisdiction code such as `us` or `eu`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Residency(pub String);

/// A regime that a pool was audited for, such as `soc2` or `hipaa`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Compliance(pub String);

/// What a pool costs, in US dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// One node for one hour: the price at the margin, so energy only where the machine is paid for anyway.
    pub node_hour: MicroDollars,
    /// One gigabyte (10^9 bytes) sent to the pool.
    #[serde(default)]
    pub egress_gb: MicroDollars,
}

/// How traffic reaches a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum LinkMode {
    #[default]
    Public,
    Vpn,
    PrivatePeering,
}

/// The path from the proxies to a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Over which kind of network.
    #[serde(default)]
    pub mode: LinkMode,
    /// Expected round trip: the prior until one is measured.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub round_trip: Duration,
    /// What the link carries, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
}

/// A group of nodes of one provider, region and market.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Its name, unique in the file; agents name it when they report.
    pub name: PoolName,
    /// Who runs it.
    pub provider: Provider,
    /// The provider's region.
    pub region: Region,
    /// When it is filled.
    pub tier: Tier,
    /// How it is bought.
    pub market: Market,
    /// What it costs.
    pub price: Price,
    /// Where it processes audio.
    pub residency: Residency,
    /// What it was audited for.
    #[serde(default)]
    pub compliance: BTreeSet<Compliance>,
    /// How it is reached.
    pub link: Link,
    /// How many nodes it may have; a pool without it is what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// The one address that serves it all; a pool with one needs no agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
}
