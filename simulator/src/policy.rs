//! What is compared: a way to place, a way to scale, and which of our mechanisms it may use.

use scheduler::plan::{Baseline, PlannerConfig};
use serde::{Deserialize, Serialize};

/// One contender.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contender {
    /// What tables call it.
    pub name: String,
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
