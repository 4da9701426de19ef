//! The door: caller APIs on one side, engines on the other, one session between.

pub mod edge;
