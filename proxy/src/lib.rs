//! The door: caller APIs on one side, engine adapters on the other, one session between them.
//!
//! * [`Config`] → [`App`] (sockets bound) → [`App::run`].
//! * [`edge`]: the accept loop, its deadlines and bounds. `callers`: the APIs callers speak. `engines`: how legs speak to nodes.
//! * `keys`: who a caller is and what it may do.
//! * `pump`: the shell around one stream's state machine: two sockets, one timer, no lock.
//! * `parking`: streams whose callers may come back after a lost connection, and what they come back with.
//! * `delivery`: a file's way to a node, or in chunks to many, whichever API it came by.
//! * `quota`: how much of what its limits allow a key has used.
//! * `router`: asks where to go and tells how it went. `record`: one session's life as the ledger will see it. `trace`: the
//!   trace that it belongs to. `usage`: what sessions use, journalled until a router has it.
//!
//! Callers and engines never know each other: both speak the events of crate `session`.

mod app;
mod budget;
mod callers;
mod config;
mod delivery;
pub mod edge;
mod engines;
mod facts;
mod handover;
mod keys;
mod metrics;
mod overload;
mod parking;
mod pump;
mod quota;
mod record;
mod router;
mod trace;
mod transcript;
mod usage;
mod wire;

pub use app::{App, ProxyError, Reins};
pub use callers::Origin;
pub use config::Config;
pub use delivery::{BadChunkLength, ChunkLength, FileLimits};
pub use facts::{BadFactHeader, CountriesError, FactHeader, FactsConfig};
pub use handover::HandoverError;
pub use keys::{IssuerConfig, IssuerKeyError, JwtConfig};
pub use parking::{ResumeConfig, ResumeSecretError};
pub use pump::SpillLimits;
pub use usage::UsageJournal;
