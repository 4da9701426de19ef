//! Bounds: what nobody can beat, and what theory says of what is simple enough.

mod clairvoyant;
mod erlang;
mod lp;
mod rejection;
mod supply;

pub use clairvoyant::{Clairvoyant, OVERFLOW_SHARE};
pub use erlang::blocking;
pub use rejection::fewest_rejections;

#[cfg(test)]
mod tests;
