//! The promise: one session's life, sans-IO. Sockets, clocks and dice stay outside: they are a thin shell around this.
//!
//! * [`Session`]: the state machine of a stream, from the first open to exactly one [`CloseReason`], across its nodes.
//! * [`Candidates`]: the nodes a file may still try, and those that already failed it.
//! * [`captions`]: words to SRT and VTT.
//! * [`CloseReason`]: why a session ended; close code, HTTP status, metric label and log field come from it alone.

mod absence;
mod asked;
mod candidates;
pub mod captions;
mod close;
mod events;
mod health;
mod kept;
mod leg;
mod merge;
mod owed;
mod pauses;
mod prospects;
mod replies;
mod ring;
mod sense;
mod stream;
#[cfg(test)]
mod testing;
mod timeline;
mod track;
mod units;

pub use absence::{Earlier, Merged, Parking, Progress};
pub use candidates::{Candidates, Next};
pub use close::{Blame, CloseReason};
pub use events::{
    Action, Answers, Cause, Change, Control, Heard, Kind, Layout, Leaving, LegClose, Limits, Said, Told, Usage,
    Verdict, Word,
};
pub use kept::Kept;
pub use pauses::Noticed;
pub use stream::{Begun, MoveEnd, Outgoing, Session};
pub use units::{Failover, Unit, UnitKind};
