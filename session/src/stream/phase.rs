//! The things of which a stream is always in one state or the other.

use scheduler::{Placement, Timestamp};

use crate::close::CloseReason;

/// Whether the stream has begun, and whether it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No leg has been open yet, and the caller was not answered.
    Admitting,
    /// A leg is open, or was: the stream goes on.
    Serving,
    /// Never again.
    Closed(CloseReason),
}

/// How the next node is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// None is.
    Idle,
    /// A leg to it is being opened.
    Opening { epoch: u32, placement: Placement, hunt: Hunt },
    /// A router is being asked.
    Asking(Hunt),
    /// A router will be asked again.
    Pausing { until: Timestamp, hunt: Hunt },
}

/// Since when a node is looked for, and how often a router was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hunt {
    pub(super) began: Timestamp,
    pub(super) asks: u32,
}

/// Whether another node could serve the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cover {
    /// What it would need is kept.
    Whole,
    /// More was sent than is kept.
    Gone,
}

/// Whether the caller has sent its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    Speaking,
    Finished,
}
