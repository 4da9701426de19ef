//! Health, judged by what sessions meet and not by what a node says of itself: outliers of a pool rest, and a pool without
//! agents is left alone after failures.

mod breaker;
mod outliers;

pub use breaker::{Breaker, BreakerLimits};
pub use outliers::OutlierLimits;
pub(crate) use outliers::{Peer, misfits};
