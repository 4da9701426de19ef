//! What a caller is told who has used what it may: 429, what the limit is, and when to come again.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use session::CloseReason;
use store::{Allowance, Exceeded, Limits};

use crate::callers::header_value;
use crate::delivery::Failure;

/// The limit that a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limited {
    /// When it may succeed, spread so that callers do not come back all at once.
    pub(crate) retry_after: Duration,
    /// Where the key stands with its new sessions.
    pub(crate) allowance: Option<Allowance>,
}

/// How long after midnight callers come back whose audio was spent.
const MORNING: Duration = Duration::from_secs(30);

/// Tells what stopped a session.
pub(super) fn refusal(limits: &Limits, by: Exceeded, wait: Duration, allowance: Option<Allowance>) -> Failure {
    let shown = |limit: Option<u64>| limit.unwrap_or_default();
    let (reason, text, retry_after) = match by {
        Exceeded::Sessions => {
            let limit = shown(limits.sessions_per_minute.map(u64::from));
            (CloseReason::RateLimited, format!("limit: {limit} new sessions per minute"), spread(2 * wait))
        }
        Exceeded::Uploads => {
            let limit = shown(limits.upload_bytes_per_minute);
            (CloseReason::RateLimited, format!("limit: {limit} bytes of uploads per minute"), spread(2 * wait))
        }
        Exceeded::Audio => {
            let limit = shown(limits.audio_minutes_per_day.map(u64::from));
            (CloseReason::QuotaSpent, format!("limit: {limit} minutes of audio per day"), wait + spread(MORNING))
        }
    };
    Failure { limited: Some(Limited { retry_after, allowance }), ..Failure::new(reason, text) }
}

/// Spreads a time by half of itself to both sides.
pub(crate) fn spread(time: Duration) -> Duration {
    time.mul_f64(rand::random_range(0.5..1.5))
}

/// Returns when a caller should try again: when the limit says so, or where the reason leaves hope.
pub(crate) fn retry_after(reason: CloseReason, limited: Option<Limited>) -> Option<Duration> {
    let hoped = || reason.retry_after_seconds().map(|seconds| spread(Duration::from_secs(seconds.into())));
    limited.map(|limited| limited.retry_after).or_else(hoped)
}

impl Limited {
    /// Writes a time to wait in whole seconds, one at least.
    pub(crate) fn write(after: Duration, headers: &mut HeaderMap) {
        let seconds = after.as_millis().div_ceil(1_000).max(1);
        headers.insert(header::RETRY_AFTER, header_value(&seconds.to_string()));
    }
}

/// Writes `x-ratelimit-*` as OpenAI does.
pub(crate) fn write_allowance(allowance: Option<Allowance>, headers: &mut HeaderMap) {
    let Some(Allowance { limit, remaining, reset }) = allowance else { return };
    headers.insert("x-ratelimit-limit-requests", HeaderValue::from(limit));
    headers.insert("x-ratelimit-remaining-requests", HeaderValue::from(remaining));
    headers.insert("x-ratelimit-reset-requests", header_value(&written(reset)));
}

/// Writes a time as OpenAI does: `120ms`, `1s`, `6m0s`.
fn written(time: Duration) -> String {
    let milliseconds = time.as_millis();
    match (milliseconds / 60_000, milliseconds % 60_000) {
        (0, rest) if rest < 1_000 => format!("{rest}ms"),
        (0, rest) => format!("{}s", rest.div_ceil(1_000)),
        (minutes, rest) => format!("{minutes}m{}s", rest / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_openai_writes_them() {
        for (milliseconds, text) in
            [(0, "0ms"), (120, "120ms"), (1_000, "1s"), (1_001, "2s"), (60_000, "1m0s"), (360_000, "6m0s")]
        {
            assert_eq!(written(Duration::from_millis(milliseconds)), text);
        }
    }

    #[test]
    fn who_was_told_to_wait_is_never_told_to_come_too_early() {
        let limits = Limits { sessions_per_minute: Some(6), ..Limits::default() };
        let wait = Duration::from_secs(10);
        for _ in 0..1_000 {
            let after = refusal(&limits, Exceeded::Sessions, wait, None).limited.unwrap().retry_after;
            assert!(after >= wait && after < 3 * wait, "{after:?}");
        }
    }
}
