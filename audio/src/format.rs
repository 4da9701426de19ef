//! What a stream of sound is made of: how a sample is written, how many there are a second, how many side by side.
//! Each part is a type that only holds what the rest of the crate can decode.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How one sample of raw audio is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Signed 16-bit, little endian.
    Linear16,
    /// G.711 mu-law, 8 bits: telephony in North America and Japan.
    Mulaw,
    /// G.711 A-law, 8 bits: telephony elsewhere.
    Alaw,
}

impl Encoding {
    /// Every encoding, in the order in which errors list them.
    pub const ALL: [Self; 3] = [Self::Linear16, Self::Mulaw, Self::Alaw];

    /// Names the encoding as callers write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear16 => "linear16",
            Self::Mulaw => "mulaw",
            Self::Alaw => "alaw",
        }
    }

    /// Counts the bytes of one sample of one channel.
    #[must_use]
    pub const fn bytes_per_sample(self) -> usize {
        match self {
            Self::Linear16 => 2,
            Self::Mulaw | Self::Alaw => 1,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Encoding {
    type Err = FormatError;

    fn from_str(name: &str) -> Result<Self, FormatError> {
        let found = Self::ALL.into_iter().find(|encoding| encoding.name() == name);
        found.ok_or_else(|| FormatError::Encoding(name.to_owned()))
    }
}

/// Samples of one channel per second, from 8,000 to 192,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct SampleRate(u32);

impl SampleRate {
    /// Telephony, and the slowest rate accepted.
    pub const HZ_8000: Self = Self(8_000);
    /// What speech engines work at.
    pub const HZ_16000: Self = Self(16_000);
    /// What browsers and studios record at.
    pub const HZ_48000: Self = Self(48_000);
    /// The fastest rate accepted.
    pub const HZ_192000: Self = Self(192_000);

    /// Returns the rate in hertz.
    #[must_use]
    pub const fn hertz(self) -> u32 {
        self.0
    }

    /// Returns how long `samples` of one channel last.
    #[must_use]
    pub fn duration_of(self, samples: u64) -> Duration {
        let rate = u64::from(self.0);
        Duration::from_secs(samples / rate) + Duration::from_nanos(samples % rate * 1_000_000_000 / rate)
    }

    /// Counts the whole samples of one channel that fit into `duration`.
    #[must_use]
    pub fn samples_in(self, duration: Duration) -> u64 {
        let rate = u64::from(self.0);
        let whole = duration.as_secs().saturating_mul(rate);
        whole.saturating_add(u64::from(duration.subsec_nanos()) * rate / 1_000_000_000)
    }
}

impl TryFrom<u32> for SampleRate {
    type Error = FormatError;

    fn try_from(hertz: u32) -> Result<Self, FormatError> {
        let range = Self::HZ_8000.0..=Self::HZ_192000.0;
        if range.contains(&hertz) { Ok(Self(hertz)) } else { Err(FormatError::SampleRate(hertz)) }
    }
}

impl From<SampleRate> for u32 {
    fn from(rate: SampleRate) -> Self {
        rate.0
    }
}

impl fmt::Display for SampleRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.0)
    }
}

/// Channels side by side in every frame, from 1 to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Channels(u8);

impl Channels {
    /// One channel.
    pub const MONO: Self = Self(1);
    /// Two channels.
    pub const STEREO: Self = Self(2);
    /// The most channels accepted.
    pub const MAX: Self = Self(8);

    /// Returns how many channels there are.
    #[must_use]
    pub const fn count(self) -> usize {
        self.0 as usize
    }
}

impl TryFrom<u32> for Channels {
    type Error = FormatError;

    fn try_from(count: u32) -> Result<Self, FormatError> {
        let narrow = u8::try_from(count).ok().filter(|count| (1..=Self::MAX.0).contains(count));
        narrow.map(Self).ok_or(FormatError::Channels(count))
    }
}

impl From<Channels> for u8 {
    fn from(channels: Channels) -> Self {
        channels.0
    }
}

impl From<Channels> for u32 {
    fn from(channels: Channels) -> Self {
        Self::from(channels.0)
    }
}

/// How raw audio is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Format {
    /// How one sample is written.
    pub encoding: Encoding,
    /// Samples of one channel per second.
    pub rate: SampleRate,
    /// Channels side by side in every frame.
    pub channels: Channels,
}

impl Format {
    /// Signed 16-bit mono at 16 kHz: what speech engines take.
    pub const SPEECH: Self =
        Self { encoding: Encoding::Linear16, rate: SampleRate::HZ_16000, channels: Channels::MONO };
    /// Mu-law mono at 8 kHz: a telephone call.
    pub const TELEPHONE: Self = Self { encoding: Encoding::Mulaw, rate: SampleRate::HZ_8000, channels: Channels::MONO };

    /// Counts the bytes of one sample of every channel.
    #[must_use]
    pub const fn bytes_per_frame(&self) -> usize {
        self.encoding.bytes_per_sample() * self.channels.count()
    }

    /// Counts the bytes of one second.
    #[must_use]
    pub const fn bytes_per_second(&self) -> u64 {
        self.bytes_per_frame() as u64 * self.rate.0 as u64
    }

    /// Counts the whole frames in `bytes` bytes.
    #[must_use]
    pub const fn frames(&self, bytes: u64) -> u64 {
        bytes / self.bytes_per_frame() as u64
    }

    /// Counts the bytes of the whole frames that fit into `duration`.
    #[must_use]
    pub fn bytes_in(&self, duration: Duration) -> u64 {
        self.rate.samples_in(duration).saturating_mul(self.bytes_per_frame() as u64)
    }

    /// Returns how long `bytes` bytes last; an incomplete frame at the end does not count.
    #[must_use]
    pub fn duration_of(&self, bytes: u64) -> Duration {
        self.rate.duration_of(self.frames(bytes))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}, {} channel(s)", self.encoding, self.rate, self.channels.0)
    }
}

/// Why a description of raw audio is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    /// The encoding is not known.
    #[error("unknown encoding {0:?}, expected one of linear16, mulaw, alaw")]
    Encoding(String),
    /// The sample rate is out of range.
    #[error("expected a sample rate from 8000 to 192000 Hz, got {0}")]
    SampleRate(u32),
    /// The number of channels is out of range.
    #[error("expected 1 to 8 channels, got {0}")]
    Channels(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_is_read_by_its_own_name() {
        for encoding in Encoding::ALL {
            assert_eq!(encoding.to_string().parse(), Ok(encoding));
        }
    }

    #[test]
    fn an_unknown_encoding_is_named_together_with_the_known_ones() {
        let error = "opus".parse::<Encoding>().unwrap_err().to_string();
        assert_eq!(error, "unknown encoding \"opus\", expected one of linear16, mulaw, alaw");
    }

    #[test]
    fn rates_and_channels_out_of_range_are_refused() {
        for hertz in [0, 7_999, 192_001, u32::MAX] {
            assert_eq!(SampleRate::try_from(hertz), Err(FormatError::SampleRate(hertz)));
        }
        for count in [0, 9, 257, u32::MAX] {
            assert_eq!(Channels::try_from(count), Err(FormatError::Channels(count)));
        }
        assert_eq!(SampleRate::try_from(16_000), Ok(SampleRate::HZ_16000));
        assert_eq!(Channels::try_from(8), Ok(Channels::MAX));
    }

    #[test]
    fn bytes_and_durations_convert_without_drift() {
        let format = Format { channels: Channels::STEREO, ..Format::SPEECH };
        assert_eq!((format.bytes_per_frame(), format.bytes_per_second()), (4, 64_000));
        assert_eq!(format.duration_of(64_003), Duration::from_secs(1));
        assert_eq!(format.bytes_in(Duration::from_millis(1_500)), 96_000);
        let day = Duration::from_secs(86_400);
        assert_eq!(Format::TELEPHONE.duration_of(Format::TELEPHONE.bytes_in(day)), day);
        assert_eq!(Format::SPEECH.rate.samples_in(Duration::MAX), u64::MAX);
    }
}
