//! Reports: what nodes said last, shared by the routers. Ages cross between processes, clocks never do.

use std::time::Duration;

use async_trait::async_trait;
use scheduler::{Report, Timestamp};

use crate::StoreAway;

/// How long a report is kept after the agent said it.
pub const REPORT_LIFE: Duration = Duration::from_secs(60);

/// Reports that one call may write or read; what is more takes more calls, so that claims between them wait for a few
/// milliseconds at most.
pub const REPORT_BATCH: usize = 200;

/// A report and how long ago the agent said it.
#[derive(Clone, Debug, PartialEq)]
pub struct Aged {
    /// What the agent said.
    pub report: Report,
    /// How long ago.
    pub age: Duration,
}

/// How far a reader has come. It starts at the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(pub(crate) u64);

/// What was written since a cursor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Each node's last report, at most [`REPORT_BATCH`] of them, those written first before others.
    pub reports: Vec<Aged>,
    /// Values that are no reports of a known version. Their owners write over them.
    pub ignored: usize,
    /// Where to read on.
    pub next: Cursor,
    /// Whether there is more to read at once.
    pub rest: Rest,
}

/// Whether a reader has seen everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rest {
    /// Everything was read.
    #[default]
    Nothing,
    /// There may be more.
    More,
}

/// What nodes said last.
#[async_trait]
pub trait Reports: Send + Sync {
    /// Writes each node's last report. What is older than [`REPORT_LIFE`] goes.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn put(&self, reports: &[Aged], now: Timestamp) -> Result<(), StoreAway>;

    /// Reads what was written since `cursor`, or everything when the store was emptied since.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn changed_since(&self, cursor: Cursor, now: Timestamp) -> Result<Changes, StoreAway>;
}
