//! The promise: one session's life as a sans-IO state machine.

pub mod captions;
