//! The service: agents report to it, proxies ask it where a session shall be served, people ask it why.
//!
//! * [`Config`] → [`App`] (sockets bound) → [`App::run`].
//! * `agents`: the report stream. `tokens`: which agents may open it.
//! * `placement`: place, renew, outcomes. `admin`: HTTP and JSON for people and tools.
//! * `core`: the fleet, the leases and the ledger that all three share. `ledger`: what each session was, why, and what it cost.
//! * `decisions`: a sample of decisions in a file, to be made again.
//! * `outcomes`: what became of sessions that asked to be placed.
//! * `affinity`: sessions that come back to their node.
//! * `concurrency`: sessions that count against their key's limit.
//! * `keys`: the API keys that were made or revoked here.
//! * `billing`: usage is priced, charged once, and acknowledged when it is safe. `costs`: what it comes to, for people and callers.
//! * `planning`: how many nodes every pool should have; one router works it out, all show it.
//! * `watch`: notices nodes that fall silent. `sharing`: what agents say, to and from the other routers. `owed`: leases to give back.
//!
//! No audio ever passes here.

mod admin;
mod affinity;
mod agents;
mod app;
mod billing;
mod concurrency;
mod config;
mod core;
mod costs;
mod decisions;
mod endpoints;
mod keys;
mod ledger;
mod metrics;
mod outcomes;
mod owed;
mod placement;
mod planning;
mod sharing;
mod tokens;
mod watch;

pub use app::{App, Charges, Reins, RouterError};
pub use config::{Config, Policy};
pub use decisions::{DecisionLogConfig, DecisionLogError};
pub use keys::Registry;
pub use tokens::TokensError;
