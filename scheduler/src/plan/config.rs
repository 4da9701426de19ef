//! What an operator sets: how a pool may be scaled, and how the planner goes about it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::percent;
use super::situation::Zone;
use crate::pool::Provider;
use crate::units::{Ratio, duration, positive_duration};

/// How many nodes a pool may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Never fewer.
    pub min: u32,
    /// To start with, before anything is known of the demand.
    pub desired: u32,
    /// Never more.
    pub max: u32,
}

/// When a pool shall grow by a node although its slots suffice: something is slower than its slots say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GrowWhen {
    /// Mean GPU utilisation above this.
    #[serde(with = "percent")]
    #[schemars(with = "String")]
    pub gpu: Ratio,
    /// Mean CPU utilisation above this.
    #[serde(with = "percent")]
    #[schemars(with = "String")]
    pub cpu: Ratio,
    /// More sessions than this waiting inside its engines.
    pub queue: u32,
}

impl Default for GrowWhen {
    fn default() -> Self {
        Self { gpu: Ratio::clamped(0.8), cpu: Ratio::clamped(0.7), queue: 100 }
    }
}

/// How a pool may be scaled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Scaling {
    /// Never fewer nodes.
    pub min: u32,
    /// Nodes to start with.
    pub desired: u32,
    /// Never more nodes.
    pub max: u32,
    /// When to grow although slots suffice.
    pub grow_when: GrowWhen,
    /// Where its machines fail together; the pool's region when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub zone: Option<Zone>,
    /// Order to first session.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub boot: Duration,
    /// Warning before a spot node goes.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub notice: Duration,
    /// Streams that a node serves well, until one has said so.
    pub node_slots: u32,
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            min: 2,
            desired: 4,
            max: 20,
            grow_when: GrowWhen::default(),
            zone: None,
            boot: Duration::from_secs(120),
            notice: Duration::ZERO,
            node_slots: 24,
        }
    }
}

/// Says why limits make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected min <= desired <= max, got {min}, {desired} and {max}")]
pub struct ScalingError {
    min: u32,
    desired: u32,
    max: u32,
}

impl Scaling {
    /// Returns how many nodes there may be.
    ///
    /// # Errors
    /// Fails when the three numbers do not rise.
    pub fn limits(&self) -> Result<Limits, ScalingError> {
        let Self { min, desired, max, .. } = *self;
        if min <= desired && desired <= max {
            Ok(Limits { min, desired, max })
        } else {
            Err(ScalingError { min, desired, max })
        }
    }
}

/// How many nodes of one provider there may be, spot and on-demand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderLimits {
    /// The provider.
    pub provider: Provider,
    /// Never fewer, all its pools together.
    pub min: u32,
    /// Never more.
    pub max: u32,
}

/// Whether an optional term of the requirement is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Term {
    /// Left out.
    #[default]
    Off,
    /// In force.
    On,
}

/// How the planner goes about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PlannerConfig {
    /// Share of slots that streams may fill, to start with.
    #[serde(with = "percent")]
    #[schemars(with = "String")]
    pub target: Ratio,
    /// Late starts do not lower it further.
    #[serde(with = "percent")]
    #[schemars(with = "String")]
    pub target_least: Ratio,
    /// Quiet hours do not raise it further.
    #[serde(with = "percent")]
    #[schemars(with = "String")]
    pub target_most: Ratio,
    /// Time without a late start that raises it.
    #[serde(with = "positive_duration")]
    #[schemars(with = "String")]
    pub target_raise_after: Duration,
    /// Share of sessions above soft slots, within ten minutes, beyond which it counts as trouble; all of them: never.
    #[serde(with = "percent")]
    #[schemars(with = "String")]
    pub over_share: Ratio,
    /// Room is kept for what demand rises by while a node boots, for this share of the time; none: no such room.
    #[serde(with = "percent")]
    #[schemars(with = "String")]
    pub rise_share: Ratio,
    /// The highest requirement of this long is what counts.
    #[serde(with = "positive_duration")]
    #[schemars(with = "String")]
    pub hold_down: Duration,
    /// Share of the fleet that may be drained within five minutes; one node always may.
    #[serde(with = "percent")]
    #[schemars(with = "String")]
    pub shrink_share: Ratio,
    /// A draining node's sessions are moved after this.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub clear_after: Duration,
    /// Most of the spot capacity that one zone may hold.
    #[serde(with = "percent")]
    #[schemars(with = "String")]
    pub zone_share: Ratio,
    /// A pool that was preempted gets no more nodes for this long.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub preempted_back_off: Duration,
    /// A pool that failed to launch gets no more nodes for this long.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub launch_back_off: Duration,
    /// A node that is there is kept unless another is cheaper by this much.
    #[serde(with = "percent")]
    #[schemars(with = "String")]
    pub keep: Ratio,
    /// Plan for the demand expected when a node ordered now is ready.
    pub forecast: Term,
    /// Keep room for what spot zones may take at once.
    pub spot_risk: Term,
    /// Limits per provider.
    pub providers: Vec<ProviderLimits>,
}

impl Default for PlannerConfig {
    fn default() -> Self {
        Self {
            target: Ratio::clamped(0.92),
            target_least: Ratio::clamped(0.65),
            target_most: Ratio::clamped(0.92),
            target_raise_after: Duration::from_secs(24 * 3600),
            over_share: Ratio::clamped(1.0),
            rise_share: Ratio::clamped(0.96),
            hold_down: Duration::from_secs(120),
            shrink_share: Ratio::clamped(0.5),
            clear_after: Duration::from_secs(60),
            zone_share: Ratio::clamped(0.4),
            preempted_back_off: Duration::from_secs(300),
            launch_back_off: Duration::from_secs(120),
            keep: Ratio::clamped(0.1),
            forecast: Term::Off,
            spot_risk: Term::Off,
            providers: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_do_not_rise_are_refused_with_their_values() {
        let wrong = Scaling { min: 5, desired: 4, ..Scaling::default() };
        assert_eq!(wrong.limits().unwrap_err().to_string(), "expected min <= desired <= max, got 5, 4 and 20");
        assert_eq!(Scaling::default().limits(), Ok(Limits { min: 2, desired: 4, max: 20 }));
    }

    #[test]
    fn scaling_reads_as_the_design_writes_it() {
        let text =
            r#"{ "min": 2, "desired": 4, "max": 20, "grow_when": { "gpu": "80%", "cpu": "70%", "queue": 100 } }"#;
        assert_eq!(serde_json::from_str::<Scaling>(text).unwrap(), Scaling::default());
    }
}
