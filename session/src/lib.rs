//! The promise: one session's life, sans-IO. Sockets, clocks and dice stay outside: they are a thin shell around this.
//!
//! * [`Session`]: the state machine of a stream, from the first open to exactly one [`CloseReason`].
//! * [`Candidates`]: the nodes a session may still try, and those that already failed it.
//! * [`Ring`]: what the caller sent and no node has answered for good: it is replayed to the next node.
//! * [`captions`]: words to SRT and VTT.
//! * [`CloseReason`]: why a session ended; close code, HTTP status, metric label and log field come from it alone.

mod candidates;
pub mod captions;
mod close;
mod events;
mod owed;
mod ring;
mod stream;
#[cfg(test)]
mod testing;

pub use candidates::{Candidates, Next};
pub use close::{Blame, CloseReason};
pub use events::{Action, Control, LegClose, Limits, Said, Usage, Verdict};
pub use ring::{Kept, Ring};
pub use stream::Session;
