//! The frame: what every Crosspoint process needs and no crate should write twice.
//!
//! * [`Bound`]: a listener with its address.
//! * [`Shutdown`]: drain, then insist; the only way to spawn a task.
//! * [`Memory`]: how much of what this process may have is in use.
//! * [`logs`]: one subscriber, JSON lines or words for people.
//! * [`Metrics`]: the recorder, and the page Prometheus scrapes.
//! * [`reload`]: the configuration, read again on SIGHUP and when its file changes.
//! * [`health`]: `/metrics`, `/livez` and `/readyz` on one listener.

mod bound;
pub mod health;
pub mod logs;
mod memory;
mod metrics_page;
pub mod reload;
mod shutdown;

pub use bound::{BindError, Bound};
pub use memory::Memory;
pub use metrics_page::{Metrics, MetricsError};
pub use shutdown::{Shutdown, ShutdownToken};
