//! Bounds: what nobody can beat, and what theory says of what is simple enough.

mod erlang;
mod rejection;

pub use erlang::{blocking, peaked_blocking};
pub use rejection::fewest_rejections;
