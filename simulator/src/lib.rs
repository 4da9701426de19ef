//! The rehearsal: the production scheduler over recorded or drawn days, beside baselines and under bounds.
//!
//! # Layout
//! * [`scenario`]: what a scenario file says; [`library`]: those that are built in. [`traces`]: the recorded days behind it.
//!   [`case`]: both, ready to be drawn from.
//! * [`workload`]: the streams and files of one seed. [`world`]: nodes, streams and files in simulated time.
//! * [`router`]: who places streams, with the production scheduler inside. [`policy`]: what is compared.
//! * [`ideal`]: the same without one imperfection. [`replay`]: recorded decisions made again by another policy. [`bound`]: what nobody can beat. [`run`]: every contender on every seed. [`outcome`]: what came of it, in figures;
//!   [`statistics`]: of several seeds; [`plot`]: in drawings.

pub mod bound;
pub mod case;
mod commitment;
pub mod ideal;
pub mod library;
pub mod outcome;
pub mod plot;
pub mod policy;
pub mod replay;
pub mod router;
pub mod run;
pub mod scenario;
pub mod statistics;
#[cfg(test)]
mod testing;
pub mod traces;
pub mod workload;
pub mod world;
