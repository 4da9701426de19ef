//! The three things of which a stream is always in one state or the other.

use crate::close::CloseReason;

/// Whether a node serves the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not yet, or not any more: the next leg is being opened, or a node for it is being asked for.
    Opening,
    /// A leg is open.
    Live,
    /// Never again.
    Closed(CloseReason),
}

/// Whether another node could serve the stream from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cover {
    /// Everything the caller sent is kept, and nothing final was told.
    Whole,
    /// Something final was told, or more was sent than is kept.
    Gone,
}

/// Whether the caller has sent its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    Speaking,
    Finished,
}
