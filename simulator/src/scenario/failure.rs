//! What goes wrong in a scenario. Preemption is not here: it comes with the spot set.

use std::time::Duration;

use scheduler::{PoolName, Provider, Timestamp};
use serde::{Deserialize, Serialize};

/// A time span in which something is wrong.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// When it begins, from the start of the scenario.
    #[serde(with = "scheduler::units::duration")]
    pub at: Duration,
    /// How long it lasts.
    #[serde(rename = "for", with = "scheduler::units::duration")]
    pub lasts: Duration,
}

impl Outage {
    /// Tells whether the span covers `now`.
    #[must_use]
    pub fn covers(&self, now: Timestamp) -> bool {
        let begins = Timestamp::at(self.at);
        now >= begins && now < begins + self.lasts
    }
}

/// One kind of failure.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// X1: nodes die without a word, so many times per node-hour.
    Crashes(f64),
    /// X2: a zone is lost, after the notice of its spot pools.
    ZoneLoss {
        /// The zone.
        zone: String,
        /// When.
        #[serde(flatten)]
        span: Outage,
    },
    /// X3: a provider is lost without notice.
    ProviderLoss {
        /// The provider.
        provider: Provider,
        /// When.
        #[serde(flatten)]
        span: Outage,
    },
    /// X4: a share of a pool's nodes answers late.
    Gray {
        /// The pool.
        pool: PoolName,
        /// Which share of its nodes.
        share: f64,
        /// How many times slower.
        factor: f64,
        /// When.
        #[serde(flatten)]
        span: Outage,
    },
    /// X5: no report of any node arrives.
    TelemetryLoss(Outage),
    /// X6: this share of launches fails.
    LaunchFailures(f64),
    /// X7: the first router replica hears nothing and goes on deciding.
    RouterPartition(Outage),
    /// X8: spot nodes cost this many times more.
    SpotPrice(f64),
}
