//! The sound: formats, containers, resampling, pauses and coded test audio. Pure: no I/O but
//! through readers that callers give, no clock, no dice.
//!
//! * [`Format`]: how raw audio is laid out; [`PcmDecoder`] turns its bytes into samples.
//! * [`AudioStream`]: bytes of a session in, mono samples at an engine's rate out; made of [`wav`], Opus and [`Resampler`].
//! * [`FileDecoder`]: a file of any common container in, samples out, never whole in memory.
//! * [`PauseDetector`]: where people speak and where they pause. [`Cutter`]: cuts long recordings there.
//! * [`Splitter`]: a live stream as units, and a valid new stream from any of them on.
//! * [`Length`]: what the first bytes of a file tell of how long it is.
//! * [`coded`]: test audio that counts its own words.

pub mod coded;
mod cutter;
mod error;
mod file;
mod format;
mod g711;
mod length;
mod pauses;
mod pcm;
mod resample;
mod sample;
mod sniff;
mod splitter;
mod stream;
pub mod wav;

pub use cutter::{Chunk, Cutter};
pub use error::AudioError;
pub use file::{FileDecoder, Progress};
pub use format::{Channels, Encoding, Format, FormatError, SampleRate};
pub use length::Length;
pub use pauses::{PauseDetector, PauseEvent};
pub use pcm::PcmDecoder;
pub use resample::Resampler;
pub use sniff::Container;
pub use splitter::{LegWriter, MAX_STREAM_HEADER, SplitError, Splitter, Unit, UnitKind};
pub use stream::{AudioStream, MAX_DURATION};
