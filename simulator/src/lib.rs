//! The rehearsal: the production scheduler over recorded or drawn days, beside baselines and under bounds.

pub mod scenario;
pub mod traces;
pub mod workload;
