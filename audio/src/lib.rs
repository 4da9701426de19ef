//! The sound: formats, containers, resampling, pauses and coded test audio. Pure: no I/O, no clock, no dice.
//!
//! * [`Format`]: how raw audio is laid out; [`PcmDecoder`] turns its bytes into samples.
//! * [`AudioStream`]: bytes of a session in, mono samples at an engine's rate out; made of [`wav`] and [`Resampler`].
//! * [`PauseDetector`]: where people speak and where they pause.
//! * [`coded`]: test audio that counts its own words.

pub mod coded;
mod format;
mod g711;
mod pauses;
mod pcm;
mod resample;
mod sample;
mod sniff;
mod stream;
pub mod wav;

pub use format::{Channels, Encoding, Format, FormatError, SampleRate};
pub use pauses::{PauseDetector, PauseEvent};
pub use pcm::PcmDecoder;
pub use resample::Resampler;
pub use sniff::Container;
pub use stream::{AudioError, AudioStream, MAX_DURATION};
