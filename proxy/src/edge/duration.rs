//! Durations in the configuration as people write them: `5s`, `1m 30s`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Writes a duration as `1m 30s`.
pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

/// Reads a duration such as `5s`. Zero is none: a limit of no time would refuse everybody.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    match humantime::parse_duration(&text) {
        Ok(Duration::ZERO) => Err(D::Error::custom(format!("expected more than no time, got {text:?}"))),
        Ok(duration) => Ok(duration),
        Err(error) => Err(D::Error::custom(format!("expected a duration such as 5s, got {text:?}: {error}"))),
    }
}
