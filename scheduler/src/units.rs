//! Measures: time, money, ratios and bandwidth, each with its own type and its own way to be written in configuration.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Microseconds of one process's monotonic clock. Only ages cross between processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The start of the process's clock.
    pub const ZERO: Self = Self(0);

    /// Places a moment `since_start` after the start of the clock.
    #[must_use]
    pub fn at(since_start: Duration) -> Self {
        Self(u64::try_from(since_start.as_micros()).unwrap_or(u64::MAX))
    }

    /// Returns the microseconds since the start of the clock.
    #[must_use]
    pub fn micros(self) -> u64 {
        self.0
    }

    /// Returns the time from `earlier` to `self`, zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// Money, in millionths of a US dollar. Written in configuration as dollars (`0.526`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "f64")]
pub struct MicroDollars(pub i64);

impl MicroDollars {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Rounds a dollar amount to the nearest millionth; what is not a number is zero.
    #[must_use]
    pub fn from_dollars(dollars: f64) -> Self {
        Self(crate::numbers::whole(dollars * 1e6))
    }

    /// Returns the amount in dollars.
    #[must_use]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Returns the amount in cents.
    #[must_use]
    pub fn cents(self) -> f64 {
        self.0 as f64 / 1e4
    }
}

impl Add for MicroDollars {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for MicroDollars {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for MicroDollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${:.6}", self.dollars())
    }
}

impl Serialize for MicroDollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.dollars())
    }
}

impl<'de> Deserialize<'de> for MicroDollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        if !(0.0..=1e9).contains(&dollars) {
            return Err(serde::de::Error::custom(format!("expected dollars from 0 to 1000000000, got {dollars}")));
        }
        Ok(Self::from_dollars(dollars))
    }
}

/// A share from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f32", into = "f32")]
#[schemars(with = "f32")]
pub struct Ratio(f32);

/// Says why a number is no [`Ratio`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("expected a ratio from 0 to 1, got {0}")]
pub struct BadRatio(f32);

impl Ratio {
    /// None of it.
    pub const ZERO: Self = Self(0.0);

    /// Forces a number into the range; what is not a number is zero.
    #[must_use]
    pub fn clamped(value: f32) -> Self {
        if value.is_nan() { Self::ZERO } else { Self(value.clamp(0.0, 1.0)) }
    }

    /// Returns the share as a number.
    #[must_use]
    pub fn get(self) -> f32 {
        self.0
    }
}

impl TryFrom<f32> for Ratio {
    type Error = BadRatio;
    fn try_from(value: f32) -> Result<Self, BadRatio> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(BadRatio(value)) }
    }
}

impl From<Ratio> for f32 {
    fn from(ratio: Ratio) -> Self {
        ratio.0
    }
}

/// Bits per second, written as `10Gbps`, `400Mbps` or `64kbps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Bandwidth(pub u64);

/// Says why a text is no [`Bandwidth`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a bandwidth such as 10Gbps, 400Mbps or 64kbps, got {0:?}")]
pub struct BadBandwidth(String);

const BANDWIDTHS: [(&str, u64); 3] = [("Gbps", 1_000_000_000), ("Mbps", 1_000_000), ("kbps", 1_000)];

impl FromStr for Bandwidth {
    type Err = BadBandwidth;
    fn from_str(text: &str) -> Result<Self, BadBandwidth> {
        BANDWIDTHS
            .iter()
            .find_map(|(unit, factor)| {
                text.strip_suffix(unit).and_then(|number| number.trim().parse::<u64>().ok()?.checked_mul(*factor))
            })
            .map(Self)
            .ok_or_else(|| BadBandwidth(text.to_owned()))
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) =
            BANDWIDTHS.into_iter().find(|(_, factor)| self.0.is_multiple_of(*factor)).unwrap_or(("bps", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl TryFrom<String> for Bandwidth {
    type Error = BadBandwidth;
    fn try_from(text: String) -> Result<Self, BadBandwidth> {
        text.parse()
    }
}

impl From<Bandwidth> for String {
    fn from(bandwidth: Bandwidth) -> Self {
        bandwidth.to_string()
    }
}

/// Durations in configuration: `15ms`, `5s`, `2min 30s`. Use as `#[serde(with = "scheduler::units::duration")]`.
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes a duration the way people do.
    ///
    /// # Errors
    /// Only those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    /// Reads a duration with its unit.
    ///
    /// # Errors
    /// Fails on a text without a unit, with the text in the message.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(|_| {
            serde::de::Error::custom(format!("expected a duration such as 15ms, 5s or 2min, got {text:?}"))
        })
    }
}

/// Durations that may be left out.
pub mod optional_duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Written(#[serde(with = "super::duration")] Duration);

    /// Writes a duration the way people do, or null.
    ///
    /// # Errors
    /// Only those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        duration.map(Written).serialize(serializer)
    }

    /// Reads a duration with its unit, or null.
    ///
    /// # Errors
    /// Fails on a text without a unit, with the text in the message.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Written>::deserialize(deserializer)?.map(|written| written.0))
    }
}

/// Durations that may not be zero, for limits: a limit of no time would refuse everybody.
pub mod positive_duration {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    use super::duration;

    /// Writes a duration the way people do.
    ///
    /// # Errors
    /// Only those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        duration::serialize(duration, serializer)
    }

    /// Reads a duration with its unit.
    ///
    /// # Errors
    /// Fails on a text without a unit, and on zero.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let duration = duration::deserialize(deserializer)?;
        if duration.is_zero() {
            return Err(serde::de::Error::custom("expected more than no time, got 0"));
        }
        Ok(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_is_refused_with_its_value() {
        assert_eq!(Ratio::try_from(87.0).unwrap_err().to_string(), "expected a ratio from 0 to 1, got 87");
        assert!(Ratio::try_from(f32::NAN).is_err());
    }

    #[test]
    fn money_keeps_millionths() {
        assert_eq!(MicroDollars::from_dollars(0.526), MicroDollars(526_000));
        assert_eq!(MicroDollars(8_300).cents(), 0.83);
    }

    #[test]
    fn a_bandwidth_reads_back_as_it_was_written() {
        for text in ["10Gbps", "400Mbps", "64kbps"] {
            assert_eq!(text.parse::<Bandwidth>().unwrap().to_string(), text);
        }
        assert!("10".parse::<Bandwidth>().is_err());
    }

    #[test]
    fn an_age_is_never_negative() {
        let early = Timestamp::at(Duration::from_secs(1));
        assert_eq!(early.since(early + Duration::from_secs(1)), Duration::ZERO);
    }
}
