//! The service: agents report to it, proxies ask it where a session shall be served, people ask it why.
//!
//! * [`Config`] → [`App`] (sockets bound) → [`App::run`].
//! * `agents`: the report stream. `placement`: place, renew, outcomes. `admin`: HTTP and JSON for people and tools.
//! * `core`: the fleet, the leases and the ledger that all three share. `ledger`: what each session was, why, and what it cost.
//! * `decisions`: a sample of decisions in a file, to be made again.
//! * `watch`: notices nodes that fall silent. `sharing`: what agents say, to and from the other routers.
//!
//! No audio ever passes here.

mod admin;
mod agents;
mod app;
mod config;
mod core;
mod decisions;
mod ledger;
mod metrics;
mod placement;
mod sharing;
mod watch;

pub use app::{App, RouterError};
pub use config::{Config, Policy};
pub use decisions::{DecisionLogConfig, DecisionLogError};
