//! Drawings, as SVG written by hand: what cost buys in service, and how a fleet went through its days.

mod frontier;
mod svg;
mod timeline;

pub use frontier::frontier;
pub use timeline::timeline;
