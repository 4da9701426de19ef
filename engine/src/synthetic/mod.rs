//! The synthetic voice: reads coded audio exactly, so that lost and doubled words can be counted, and misbehaves on
//! request.

mod faults;
mod voice;

use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use faults::{Door, Doors, Garbler};
pub(crate) use voice::Synthetic;

use crate::span;

/// How the synthetic voice behaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SyntheticConfig {
    /// How many times faster than real time a stream is heard at most.
    pub speed: NonZeroU32,
    /// How long a result takes after its audio was heard.
    #[serde(with = "span")]
    #[schemars(with = "String")]
    pub latency: Duration,
    /// How far word times and latency stray, to either side.
    #[serde(with = "span")]
    #[schemars(with = "String")]
    pub jitter: Duration,
    /// What goes wrong on purpose.
    pub faults: Faults,
}

impl Default for SyntheticConfig {
    fn default() -> Self {
        Self {
            speed: NonZeroU32::MIN.saturating_add(7),
            latency: Duration::from_millis(20),
            jitter: Duration::from_millis(20),
            faults: Faults::default(),
        }
    }
}

/// What goes wrong on purpose, for tests of those who must cope with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The first so many requests are refused as if no slot were free.
    pub refuse_first: u32,
    /// Of the requests after those, one in so many is refused.
    pub refuse_one_in: Option<NonZeroU32>,
    /// A stream's connection breaks without a word after it has heard so much audio.
    #[serde(with = "span::optional")]
    #[schemars(with = "Option<String>")]
    pub die_after: Option<Duration>,
    /// A stream stops reading, answering and speaking after it has heard so much audio.
    #[serde(with = "span::optional")]
    #[schemars(with = "Option<String>")]
    pub hang_after: Option<Duration>,
    /// One message in so many is garbage: broken JSON, impossible times, words never said.
    pub garble_one_in: Option<NonZeroU32>,
}

impl Faults {
    /// Nothing goes wrong.
    pub(crate) const NONE: Self =
        Self { refuse_first: 0, refuse_one_in: None, die_after: None, hang_after: None, garble_one_in: None };
}
