//! The policy: by which method a node is chosen, what it is judged by, and the limits that hold whatever the method.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admission::{Fairness, QueueLimits};
use crate::decide::Knobs;
use crate::health::{BreakerLimits, OutlierLimits};
use crate::open::OpenLimits;
use crate::pool::Pool;
use crate::rules::Rules;
use crate::score::Scoring;
use crate::units::{MicroDollars, Ratio, positive_duration};

/// How a node is chosen among those that may serve. All but the first are what others do, each with one knob, and are there
/// to be compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The cheapest pools by score, two choices inside.
    #[default]
    Score,
    /// One node after the other.
    RoundRobin,
    /// Any node.
    Random,
    /// The node with the smallest share of its slots in use.
    LeastLoaded,
    /// The least loaded of some drawn at random.
    TwoChoices,
    /// Of two drawn at random, the one with the smaller product of recent peak latency and sessions.
    PeakEwma,
    /// Pools by fixed shares, two choices inside.
    Weighted,
    /// The cheapest node that has room, the fullest first.
    Cheapest,
}

impl Method {
    /// Every method, the default first.
    pub const ALL: [Self; 8] = [
        Self::Score,
        Self::RoundRobin,
        Self::Random,
        Self::LeastLoaded,
        Self::TwoChoices,
        Self::PeakEwma,
        Self::Weighted,
        Self::Cheapest,
    ];

    /// Returns the method as one word, as configuration spells it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::LeastLoaded => "least_loaded",
            Self::TwoChoices => "two_choices",
            Self::PeakEwma => "peak_ewma",
            Self::Weighted => "weighted",
            Self::Cheapest => "cheapest",
        }
    }
}

/// What every method keeps to, and the knobs of those that are not the score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// A node at or above this load is hot: among hot nodes the emptier wins, among cold ones the cheaper.
    pub hot_load: Ratio,
    /// Pools within this share of the best mean score count as equal, so that routers do not herd.
    pub band: Ratio,
    /// The band is never narrower than this.
    pub band_least: MicroDollars,
    /// How long a node that just became ready takes to get all its slots.
    #[serde(with = "positive_duration")]
    #[schemars(with = "String")]
    pub slow_start: Duration,
    /// A pool with more than this share of its nodes silent, while their streams go on, is judged by its last reports.
    pub panic: Ratio,
    /// Which nodes new sessions are steered to.
    pub open: OpenLimits,
    /// Which nodes rest because they behave worse than their pool.
    pub outliers: OutlierLimits,
    /// When a pool without agents rests.
    pub breaker: BreakerLimits,
    /// Streams that wait for a slot.
    pub queue: QueueLimits,
    /// What one tenant may take while others wait.
    pub fairness: Fairness,
    /// The knobs of the other methods.
    pub knobs: Knobs,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hot_load: Ratio::clamped(0.8),
            band: Ratio::clamped(0.05),
            band_least: MicroDollars(500),
            slow_start: Duration::from_secs(30),
            panic: Ratio::clamped(0.5),
            open: OpenLimits::default(),
            outliers: OutlierLimits::default(),
            breaker: BreakerLimits::default(),
            queue: QueueLimits::default(),
            fairness: Fairness::default(),
            knobs: Knobs::default(),
        }
    }
}

/// Everything that a decision is made by, beside the fleet, the request, the time and the dice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// How a node is chosen.
    pub method: Method,
    /// The weights of the score.
    pub scoring: Scoring,
    /// The limits.
    pub limits: Limits,
    /// Who may be served where.
    #[serde(default)]
    pub rules: Rules,
}

/// Names a policy by its content: routers whose hashes differ decide differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyHash(u64);

impl fmt::Display for PolicyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// FNV-1a, 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>), of a text that is written to it.
struct Fnv(u64);

impl fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = text.bytes().fold(self.0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
        Ok(())
    }
}

impl Policy {
    /// Returns the policy with its rules made ready for these pools.
    pub(crate) fn on(&self, pools: &[Pool]) -> Cow<'_, Self> {
        if self.rules.is_empty() {
            return Cow::Borrowed(self);
        }
        Cow::Owned(Self { rules: self.rules.on(pools), ..self.clone() })
    }

    /// Returns the hash of everything in it.
    #[must_use]
    pub fn hash(&self) -> PolicyHash {
        let mut hash = Fnv(0xCBF2_9CE4_8422_2325);
        // Writing to a number cannot fail.
        let _ = write!(hash, "{self:?}");
        PolicyHash(hash.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_labelled_as_configuration_spells_it() {
        for method in Method::ALL {
            assert_eq!(serde_json::to_value(method).unwrap(), method.label());
        }
    }

    #[test]
    fn every_change_has_its_own_hash() {
        let heavier = Policy { scoring: Scoring { errors: 0.6, ..Scoring::default() }, ..Policy::default() };
        let random = Policy { method: Method::Random, ..Policy::default() };
        assert_eq!(Policy::default().hash(), Policy::default().hash());
        assert_ne!(Policy::default().hash(), heavier.hash());
        assert_ne!(Policy::default().hash(), random.hash());
        assert_eq!(heavier.hash().to_string().len(), 16);
    }
}
