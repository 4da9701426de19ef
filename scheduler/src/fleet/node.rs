//! A node as whoever is not a decision looks at it.

use std::time::Duration;

use crate::fleet::line::{Line, Side, Standing};
use crate::fleet::pool::PoolLine;
use crate::fleet::promises::Promised;
use crate::report::Report;
use crate::units::{Ratio, Timestamp};

/// A node of a view.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// What its agent said last.
    pub report: &'a Report,
    /// When the agent said it, on this process's clock.
    pub reported_at: Timestamp,
    pub(crate) line: &'a Line,
    pub(crate) pool: &'a PoolLine,
    pub(crate) promised: Promised,
    pub(crate) others: u32,
}

impl Node<'_> {
    /// Returns how old the last report is.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        now.since(self.reported_at)
    }

    /// Estimates the slots in use: those reported, those promised since, and what other routers have likely promised.
    #[must_use]
    pub fn used_estimate(&self, now: Timestamp) -> u32 {
        self.line.used_estimate(self.promised, self.others, now)
    }

    /// Returns the share of opens that failed lately, halved every 30 s.
    #[must_use]
    pub fn error_share(&self, now: Timestamp) -> Ratio {
        self.line.error_share(now)
    }

    /// Returns the slots that batch chunks hold, as far as this process knows.
    #[must_use]
    pub fn batch_slots(&self) -> u32 {
        self.line.batch.into()
    }

    /// Tells whether new sessions are steered here: the node is in the open set.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.line.side == Side::Open
    }

    /// Tells whether the node rests because it behaved worse than its pool.
    #[must_use]
    pub fn is_ejected(&self) -> bool {
        self.line.standing == Standing::Ejected
    }
}
