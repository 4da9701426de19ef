//! Outliers: nodes that fail or dawdle far more than their pool. Which of them may rest is decided where the whole pool is
//! seen; here is only who stands out.

use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fleet::NodeIndex;
use crate::units::{Ratio, Timestamp, positive_duration};

/// When a node rests, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutlierLimits {
    /// After this many opens that failed in a row …
    pub failures: NonZeroU32,
    /// … or above this share of failed opens, if it is also above the pool's mean by …
    pub errors: Ratio,
    /// … this many standard deviations …
    pub deviations: f32,
    /// … or at this many times the pool's median latency …
    pub slowness: f32,
    /// … for this long.
    #[serde(with = "positive_duration")]
    #[schemars(with = "String")]
    pub slow_for: Duration,
    /// The first rest; each further one is twice as long.
    #[serde(with = "positive_duration")]
    #[schemars(with = "String")]
    pub rest: Duration,
    /// The longest rest.
    #[serde(with = "positive_duration")]
    #[schemars(with = "String")]
    pub rest_most: Duration,
    /// Never more than one in this many nodes of a pool rest.
    pub one_in: NonZeroU32,
}

impl Default for OutlierLimits {
    fn default() -> Self {
        let three = NonZeroU32::MIN.saturating_add(2);
        Self {
            failures: three,
            errors: Ratio::clamped(0.05),
            deviations: 3.0,
            slowness: 3.0,
            slow_for: Duration::from_secs(10),
            rest: Duration::from_secs(15),
            rest_most: Duration::from_secs(300),
            one_in: three,
        }
    }
}

impl OutlierLimits {
    /// Returns how long a node rests that has rested so many times.
    pub(crate) fn rest_after(&self, rests: u32) -> Duration {
        self.rest.saturating_mul(1 << rests.min(16)).min(self.rest_most)
    }
}

/// A node as it is compared with its pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) node: NodeIndex,
    /// Share of opens that failed lately.
    pub(crate) errors: f32,
    /// Opens that failed in a row.
    pub(crate) failures: u32,
    /// Since when its latency is a multiple of the pool's.
    pub(crate) slow_since: Option<Timestamp>,
}

/// Returns the nodes that should rest, those that fail most first.
pub(crate) fn misfits(peers: &[Peer], limits: &OutlierLimits, now: Timestamp) -> Vec<NodeIndex> {
    let count = peers.len().max(1) as f32;
    let mean = peers.iter().map(|peer| peer.errors).sum::<f32>() / count;
    let variance = peers.iter().map(|peer| (peer.errors - mean).powi(2)).sum::<f32>() / count;
    let failing = (mean + limits.deviations * variance.sqrt()).max(limits.errors.get());
    let stands_out = |peer: &&Peer| {
        let slow = peer.slow_since.is_some_and(|since| now.since(since) >= limits.slow_for);
        peer.failures >= limits.failures.get() || peer.errors > failing || slow
    };
    let mut misfits: Vec<&Peer> = peers.iter().filter(stands_out).collect();
    misfits.sort_by(|a, b| b.errors.total_cmp(&a.errors));
    misfits.into_iter().map(|peer| peer.node).collect()
}
