//! What is compared: a way to place, a way to scale, and which of our mechanisms it may use.

mod built_in;

use std::sync::Arc;

use scheduler::plan::{Baseline, BaselineScaler, Planner, PlannerConfig, ProviderLimits, Scaler};
use scheduler::{Limits, Method, Policy, Provider, Scoring};
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::router::{Production, Router};

pub use built_in::{NAMES, Table, built_in, grid, placing};

/// One contender.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contender {
    /// What tables call it.
    pub name: String,
    /// How a node is chosen; this key and the next two are those of the configuration file.
    #[serde(default)]
    pub policy: Method,
    /// The weights of the score.
    #[serde(default)]
    pub scoring: Scoring,
    /// The limits that every method keeps to.
    #[serde(default)]
    pub placement: Limits,
    /// How the fleet is sized.
    #[serde(default)]
    pub scaling: Scaling,
    /// What it may do besides.
    #[serde(default)]
    pub mechanisms: Mechanisms,
}

/// How the fleet is sized.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// The production planner.
    Planner(PlannerConfig),
    /// What others do.
    Baseline(Baseline),
}

impl Default for Scaling {
    fn default() -> Self {
        Self::Planner(PlannerConfig::default())
    }
}

/// What is worth more than any formula, each of which can be taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mechanisms {
    /// What becomes of the streams of a node that goes.
    pub moves: Moves,
    /// Whether slots between soft and hard are used.
    pub above_soft: AboveSoft,
    /// Which slots files get.
    pub files: FileSlots,
}

/// What becomes of the streams of a node that goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moves {
    /// They move: the proxy replays what was not final.
    #[default]
    Moved,
    /// They end with the node and the caller comes again.
    Retried,
}

/// Whether slots between soft and hard are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AboveSoft {
    /// Where there is no other.
    #[default]
    Used,
    /// Never.
    Unused,
}

/// Which slots files get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileSlots {
    /// Those that no stream uses, given back within a second.
    #[default]
    Idle,
    /// Slots of their own, which the fleet is sized for.
    Own,
}

impl Contender {
    /// Returns everything that placements are decided by.
    #[must_use]
    pub fn choice(&self) -> Policy {
        Policy {
            method: self.policy,
            scoring: self.scoring.clone(),
            limits: self.placement.clone(),
            ..Policy::default()
        }
    }

    /// Names the configuration by its content: what two runs must share to be compared.
    #[must_use]
    pub fn hash(&self) -> String {
        let text = format!("{:?}", (self.choice(), &self.scaling, self.mechanisms));
        // FNV-1a, 64 bits.
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        format!("{:016x}", text.bytes().fold(0xCBF2_9CE4_8422_2325, mix))
    }

    /// Makes the routers of one run; fewer than the case has when one of its names cannot be used.
    #[must_use]
    pub fn routers(&self, case: &Case, seed: u64) -> Vec<Box<dyn Router>> {
        let policy = Arc::new(self.choice());
        let replica = |replica: u64| {
            let dice = crate::workload::mix(seed, ROUTER_DICE + replica);
            Production::new(case, &policy, self.mechanisms.files, dice)
                .map(|router| Box::new(router) as Box<dyn Router>)
        };
        (0..case.telemetry.routers.max(1) as u64).filter_map(replica).collect()
    }

    /// Makes the scaler of one run, with the fleet's limits per provider.
    #[must_use]
    pub fn scaler(&self, case: &Case) -> Box<dyn Scaler> {
        match &self.scaling {
            Scaling::Planner(config) => Box::new(Planner::new(limited(config, case))),
            Scaling::Baseline(baseline) => {
                Box::new(BaselineScaler::new(*baseline, limited(&PlannerConfig::default(), case)))
            }
        }
    }
}

/// Dice of routers are not those of any client.
const ROUTER_DICE: u64 = 1 << 42;

fn limited(config: &PlannerConfig, case: &Case) -> PlannerConfig {
    const PROVIDERS: [Provider; 6] =
        [Provider::Aws, Provider::Gcp, Provider::Coreweave, Provider::OnPrem, Provider::Azure, Provider::Other];
    let of = |provider| {
        let limits = case.fleet.providers.get(provider)?;
        Some(ProviderLimits { provider, min: limits.min, max: limits.max })
    };
    PlannerConfig { providers: PROVIDERS.into_iter().filter_map(of).collect(), ..config.clone() }
}
