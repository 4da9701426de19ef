//! Days in UTC, as bills have them.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

const SECONDS: u64 = 86_400;

/// A day in UTC, written as `2026-11-20`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(u32);

/// Says that a text is no [`Day`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a day such as 2026-11-20, got {0:?}")]
pub struct BadDay(String);

impl Day {
    /// Returns the day of a moment; a moment before 1970 is of its first day.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        Self::of_seconds(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    /// Returns the day of a moment in seconds since 1970; what is beyond the year 9999 is of its last day.
    #[must_use]
    pub fn of_seconds(seconds: u64) -> Self {
        const LAST: u64 = 2_932_896;
        Self(u32::try_from((seconds / SECONDS).min(LAST)).unwrap_or_default())
    }

    /// Returns the day after.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Returns a day before.
    #[must_use]
    pub fn before(self, days: u32) -> Self {
        Self(self.0.saturating_sub(days))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = UNIX_EPOCH + Duration::from_secs(u64::from(self.0) * SECONDS);
        let text = humantime::format_rfc3339_seconds(moment).to_string();
        f.pad(text.split('T').next().unwrap_or(&text))
    }
}

impl FromStr for Day {
    type Err = BadDay;
    fn from_str(text: &str) -> Result<Self, BadDay> {
        let bad = || BadDay(text.chars().take(40).collect());
        if text.len() != "2026-11-20".len() {
            return Err(bad());
        }
        humantime::parse_rfc3339(&format!("{text}T00:00:00Z")).map(Self::of).map_err(|_| bad())
    }
}

impl TryFrom<String> for Day {
    type Error = BadDay;
    fn try_from(text: String) -> Result<Self, BadDay> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_read_as_it_is_written() {
        for text in ["1970-01-01", "2024-02-29", "2026-11-20", "9999-12-31"] {
            assert_eq!(text.parse::<Day>().map(|day| day.to_string()).as_deref(), Ok(text));
        }
        assert_eq!(Day::of_seconds(86_399).next().to_string(), "1970-01-02");
        assert_eq!(Day::of_seconds(u64::MAX).to_string(), "9999-12-31");
    }

    #[test]
    fn what_is_no_day_is_refused_with_its_words() {
        for text in ["", "today", "2026-13-01", "2026-02-30", "20261120", "2026-11-20T10", "2026-1-1"] {
            let expected = format!("expected a day such as 2026-11-20, got {text:?}");
            assert_eq!(text.parse::<Day>().map_err(|bad| bad.to_string()), Err(expected));
        }
    }
}
