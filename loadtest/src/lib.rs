//! The proof: virtual callers and benchmarks.
//!
//! * [`streams`]: what the proxy costs a stream: added latency, processor time, memory, and words lost (none).
//! * [`relay`]: what a message costs the proxy, beside nginx, HAProxy and a bare relay.
//! * [`uploads`]: what a file costs the proxy, beside nginx.
//! * [`seams`]: what words cost where a real engine's node is killed.
//! * [`decisions`]: what a placement decision costs on a large fleet.
//! * [`place`]: what asking a router for a place costs, beside a bare gRPC echo, and what agents' reports cost it.
//! * [`chaos`]: what callers notice when processes die, hang and lose each other.
//! * [`caller`]: one virtual caller who speaks coded audio and checks every word that comes back.
//! * [`children`]: Crosspoint's own processes, started and ended by a test or a benchmark.
//! * [`kernel`]: what the kernel says of a process: processor time and memory.

pub mod caller;
pub mod chaos;
pub mod children;
pub mod decisions;
pub mod kernel;
pub mod place;
mod progress;
pub mod relay;
pub mod seams;
mod spread;
pub mod streams;
mod timings;
pub mod uploads;

pub use progress::Progress;
pub use spread::Spread;
