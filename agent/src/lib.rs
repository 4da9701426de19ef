//! The hands: one per GPU host, it reports what the host can do.
//!
//! An agent never touches audio. It looks at the engine's pages, the GPUs and what the cloud has in mind, and tells one router
//! about them: once per interval, and at once when something changed that a placement depends on. When it dies, nothing that streams
//! notices; the node only gets no new sessions.
//!
//! # Layout
//! * [`Config`] → [`App`] → [`App::run`]: the three steps of its life.
//! * `link`: which router hears the reports, and what happens when it goes away. `stream`: one connection to it. `token`: what
//!   it may want to see.
//! * `drain`: when an agent that was told to end does so.
//! * `reporter`: what a report says, and which changes cannot wait.
//! * `engine`: the engine as its pages show it. `page`: a metrics page, parsed. `window`: what its counters did lately.
//! * `gpus`: the host's cards, through NVML, simulated, or none.
//! * `notices`: what the cloud has in mind for this host.
//! * [`SelfCheck`]: what was found and what is missing.

mod app;
mod backoff;
mod check;
mod config;
mod drain;
mod engine;
mod error;
mod gauges;
mod gpus;
mod link;
mod notices;
mod page;
mod reporter;
mod stream;
mod token;
mod window;

pub use app::App;
pub use check::{Finding, SelfCheck, State, What};
pub use config::{Config, EngineConfig, GpuSource, ServerConfig, SlotsConfig};
pub use error::AgentError;
pub use notices::{CloudConfig, NoticesConfig, OnRebalance};
