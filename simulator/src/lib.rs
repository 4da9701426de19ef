//! The rehearsal: the production scheduler over recorded or drawn days, beside baselines and under bounds.
//!
//! # Layout
//! * [`scenario`]: what a scenario file says. [`traces`]: the recorded days behind it. [`case`]: both, ready to be run.
//! * [`workload`]: the streams and files of one seed. [`world`]: nodes, streams and files in simulated time.
//! * [`router`]: who places streams, with the production scheduler inside. [`policy`]: what is compared.

pub mod bound;
pub mod case;
mod commitment;
pub mod library;
pub mod policy;
pub mod router;
pub mod scenario;
#[cfg(test)]
mod testing;
pub mod traces;
pub mod workload;
pub mod world;
