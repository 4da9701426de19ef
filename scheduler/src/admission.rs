//! Admission: who waits, who goes first and who is told to come back when slots are short. Pure data structures; whoever
//! owns the clock and the sockets drives them.

mod batch;
mod fairness;
mod queue;
mod rate;

pub use batch::{BatchLease, to_revoke};
pub use fairness::{Fairness, Pace, RetryBudget, Tenants};
pub use queue::{Queue, QueueLimits, Waiting, predicted_wait, retry_after};
pub use rate::Rate;
