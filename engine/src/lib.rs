//! A voice: a speech engine that answers `/v1/listen` as a Deepgram engine would, with PocketSphinx behind it or, for
//! tests and benchmarks, a synthetic voice that reads coded audio.
//!
//! A stream's way through the files, in order:
//!
//! * [`App`] binds and serves; `engine` lists the paths and what all requests share.
//! * `admission` lets a request in: `query`, `fence` (legs of a session), `slots`; or says why not: `refusal`.
//! * `stream` is the WebSocket, `file` the upload (`upload` reads it, `spool` keeps what can only be heard as a whole);
//!   `answer` and `transcript` are what they say, `ending` how they end.
//! * `pump` queues the sound, `transcriber` cuts it into results by the rules of `segment`, `recognizer` is the seam to the voice.
//! * `voices` starts one of the two: `sphinx` or `synthetic`.

mod admission;
mod answer;
mod app;
mod config;
mod ending;
mod engine;
mod fence;
mod file;
mod gauges;
mod link;
mod pauses;
mod pump;
mod query;
mod recognizer;
mod refusal;
mod segment;
mod slots;
mod span;
mod sphinx;
mod spool;
mod stream;
mod synthetic;
mod transcriber;
mod transcript;
mod upload;
mod voices;

pub use app::{App, BuildError};
pub use config::{Config, Voice};
pub use sphinx::{SphinxConfig, SphinxError};
pub use synthetic::{Faults, SyntheticConfig};
