//! What one caller may cost the proxy before anybody knows who is calling.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use scheduler::units::{duration, positive_duration};

/// Bounds of the accept loop and of every connection. WebSocket traffic is bounded elsewhere: none of these apply once
/// a connection has been upgraded, except that it keeps its place among [`Limits::connections`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Time from the first byte of a request's head to its last, and from the accept to the end of the first head.
    #[serde(with = "positive_duration")]
    #[schemars(with = "String")]
    pub header_read: Duration,
    /// Bytes of a request line and its headers together; more is answered 431.
    pub header_bytes: NonZeroUsize,
    /// Headers of a request; more is answered 431.
    pub header_count: NonZeroUsize,
    /// Bytes of a request's target; more is answered 414.
    pub target_bytes: NonZeroUsize,
    /// Time a connection may wait for its next request, that request's head included.
    #[serde(with = "positive_duration")]
    #[schemars(with = "String")]
    pub keep_alive: Duration,
    /// How long callers still come in after a SIGTERM, while `/readyz` says that they should not, so that load balancers look
    /// away first. Not after a handover: then another process takes them.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub linger: Duration,
    /// Bytes per second that a body must bring while it is waited for; a slower one is answered 408.
    pub body_bytes_per_second: NonZeroU64,
    /// Time over which the speed of a body is judged.
    #[serde(with = "positive_duration")]
    #[schemars(with = "String")]
    pub body_window: Duration,
    /// Bytes of one request's body; more is answered 413.
    pub upload_bytes: NonZeroU64,
    /// Connections open at once; half of the file descriptors the process may have is a second bound. Callers beyond
    /// it are answered 503.
    pub connections: NonZeroUsize,
    /// New connections per second from one address (IPv6: one /64 network); those beyond it are answered 429. Off
    /// unless set, because many callers share an address behind a NAT or a load balancer.
    pub connections_per_second_and_address: Option<NonZeroU32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_read: Duration::from_secs(5),
            header_bytes: at_least_one(16 * 1024),
            header_count: at_least_one(64),
            target_bytes: at_least_one(8 * 1024),
            keep_alive: Duration::from_secs(60),
            linger: Duration::ZERO,
            body_bytes_per_second: NonZeroU64::MIN.saturating_add(8 * 1024 - 1),
            body_window: Duration::from_secs(10),
            upload_bytes: NonZeroU64::MIN.saturating_add((2 << 30) - 1),
            connections: at_least_one(50_000),
            connections_per_second_and_address: None,
        }
    }
}

impl Limits {
    /// Returns the bytes that a body must bring within one [`Limits::body_window`] of waiting.
    pub(super) fn body_bytes_per_window(&self) -> u64 {
        let window = u64::try_from(self.body_window.as_millis()).unwrap_or(u64::MAX);
        (self.body_bytes_per_second.get().saturating_mul(window) / 1000).max(1)
    }

    /// Returns the connections that may be open at once in this process.
    pub(super) fn seats(&self) -> usize {
        let by_descriptors = open_files_limit().map_or(usize::MAX, |files| (files / 2).max(1));
        self.connections.get().min(by_descriptors)
    }
}

const fn at_least_one(value: usize) -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(value.saturating_sub(1))
}

/// Reads the soft limit of open files from the kernel's own table: asking for it needs `unsafe` everywhere else.
/// `None` where there is no such table or no limit.
fn open_files_limit() -> Option<usize> {
    let table = std::fs::read_to_string("/proc/self/limits").ok()?;
    let row = table.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    row.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_written_and_read_as_people_write_them() {
        let written = serde_json::to_value(Limits::default()).unwrap();
        assert_eq!(written["header_read"], "5s");
        assert_eq!(written["keep_alive"], "1m");
        assert_eq!(written["upload_bytes"], 2_147_483_648_u64);
        assert_eq!(serde_json::from_value::<Limits>(written).unwrap(), Limits::default());
    }

    #[test]
    fn an_unknown_limit_is_an_error() {
        assert!(serde_json::from_str::<Limits>(r#"{"header_reed":"5s"}"#).is_err());
        assert!(serde_json::from_str::<Limits>(r#"{"header_read":"5 parsecs"}"#).is_err());
        assert!(serde_json::from_str::<Limits>(r#"{"header_read":"0s"}"#).is_err());
        assert!(serde_json::from_str::<Limits>(r#"{"connections":0}"#).is_err());
    }

    #[test]
    fn a_body_must_bring_80_kib_in_every_window() {
        assert_eq!(Limits::default().body_bytes_per_window(), 80 * 1024);
    }

    #[test]
    fn the_descriptors_of_the_process_bound_the_connections() {
        let files = open_files_limit().unwrap();
        let greedy = Limits { connections: NonZeroUsize::MAX, ..Limits::default() };
        assert_eq!(greedy.seats(), files / 2);
    }
}
