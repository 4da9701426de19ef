//! How files are heard: which go to a node as they are, which are cut, and how much of them is on its way at one time.

use std::num::NonZeroU16;
use std::time::Duration;

use scheduler::units::duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How files are heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FileLimits {
    /// From this length on a file is cut into chunks; a shorter one goes to one node, while it still comes in.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub cut_from: Duration,
    /// The longest chunk.
    pub chunk: ChunkLength,
    /// Chunks of one file that are on their way at one time.
    pub in_flight: NonZeroU16,
    /// Chunks of all files together; each is up to 960 kB of memory.
    pub in_flight_together: NonZeroU16,
    /// How long a node may take to answer a chunk.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub chunk_timeout: Duration,
    /// How long a file waits without a chunk being heard before it ends with an error.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub patience: Duration,
}

impl Default for FileLimits {
    fn default() -> Self {
        let eight = NonZeroU16::MIN.saturating_add(7);
        Self {
            cut_from: Duration::from_secs(60),
            chunk: ChunkLength::LONGEST,
            in_flight: eight,
            in_flight_together: eight.saturating_mul(eight),
            chunk_timeout: Duration::from_secs(120),
            patience: Duration::from_secs(300),
        }
    }
}

/// How long a chunk may be: 5 s to 30 s, so that a stream that needs its slot never waits long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
#[schemars(with = "String")]
pub struct ChunkLength(Duration);

/// A length as it stands in the configuration.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Written(#[serde(with = "duration")] Duration);

/// Says that chunks cannot be that long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a chunk of 5 s to 30 s, got {} s", .0.as_secs_f64())]
pub struct BadChunkLength(Duration);

impl ChunkLength {
    const SHORTEST: Duration = Duration::from_secs(5);
    /// As long as a chunk may be.
    pub const LONGEST: Self = Self(Duration::from_secs(30));

    /// Returns the length.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl TryFrom<Duration> for ChunkLength {
    type Error = BadChunkLength;

    fn try_from(length: Duration) -> Result<Self, BadChunkLength> {
        let allowed = (Self::SHORTEST..=Self::LONGEST.0).contains(&length);
        if allowed { Ok(Self(length)) } else { Err(BadChunkLength(length)) }
    }
}

impl TryFrom<Written> for ChunkLength {
    type Error = BadChunkLength;

    fn try_from(written: Written) -> Result<Self, BadChunkLength> {
        written.0.try_into()
    }
}

impl From<ChunkLength> for Written {
    fn from(length: ChunkLength) -> Self {
        Self(length.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_long_enough_to_be_worth_it_and_short_enough_to_wait_for() {
        let read = |text: &str| serde_json::from_value::<ChunkLength>(text.into());
        assert_eq!(read("20s").unwrap().get(), Duration::from_secs(20));
        assert_eq!(read("31s").unwrap_err().to_string(), "expected a chunk of 5 s to 30 s, got 31 s");
        assert!(read("1s").is_err());
    }
}
