//! The hands: one per GPU host, it reports what the host can do.
//!
//! An agent never touches audio. It looks at two things, the engine's pages and the GPUs, and tells one router about them:
//! once per interval, and at once when something changed that a placement depends on. When it dies, nothing that streams
//! notices; the node only gets no new sessions.
//!
//! # Layout
//! * [`Config`] → [`App`] → [`App::run`]: the three steps of its life.
//! * `link`: which router hears the reports, and what happens when it goes away. `stream`: one connection to it.
//! * `reporter`: what a report says, and which changes cannot wait.
//! * `engine`: the engine as its `/health` and `/metrics` show it. `page`: the metrics page, parsed.
//! * `gpus`: the host's cards, through NVML, simulated, or none.
//! * `check`: the line at start that says what was found and what is missing.

mod app;
mod backoff;
mod check;
mod config;
mod engine;
mod gauges;
mod gpus;
mod link;
mod page;
mod reporter;
mod stream;

pub use app::App;
pub use config::{AgentError, Config, EngineConfig, GpuSource, SlotsConfig};
