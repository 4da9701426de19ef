//! What a WAV header says of its samples, read and written. Apart from the parser, which only knows where chunks lie.

use super::{MAX_FIELD, UNKNOWN, WavError};
use crate::format::{Channels, Format, SampleRate};
use crate::pcm::Layout;

/// What a header says about the samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Samples {
    pub(super) layout: Layout,
    pub(super) rate: SampleRate,
    pub(super) channels: Channels,
}

impl Samples {
    /// Reads the content of a format chunk of at least 16 bytes.
    pub(super) fn read(fmt: &[u8]) -> Result<Self, WavError> {
        let bits = u16_at(fmt, 14);
        let layout = layout(tag(fmt), bits)?;
        let channels = Channels::try_from(u32::from(u16_at(fmt, 2)))?;
        let rate = SampleRate::try_from(u32_at(fmt, 4))?;
        let (declared, actual) = (u16_at(fmt, 12), layout.bytes() * channels.count());
        if declared != 0 && usize::from(declared) != actual {
            return Err(WavError::BlockAlign { declared, actual });
        }
        Ok(Self { layout, rate, channels })
    }
}

/// Reads the format tag, through the indirection of `WAVE_FORMAT_EXTENSIBLE`.
fn tag(fmt: &[u8]) -> u16 {
    match u16_at(fmt, 0) {
        0xfffe if fmt.len() >= MAX_FIELD => u16_at(fmt, 24),
        tag => tag,
    }
}

const fn layout(tag: u16, bits: u16) -> Result<Layout, WavError> {
    match (tag, bits) {
        (1, 8) => Ok(Layout::Unsigned8),
        (1, 16) => Ok(Layout::Signed16),
        (1, 24) => Ok(Layout::Signed24),
        (1, 32) => Ok(Layout::Signed32),
        (3, 32) => Ok(Layout::Float32),
        (6, _) => Ok(Layout::Alaw),
        (7, _) => Ok(Layout::Mulaw),
        _ => Err(WavError::Encoding { tag, bits }),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

/// Writes the header of a WAV file of `data_len` bytes of sound; `None` when the length is not known yet.
#[must_use]
pub fn header(format: Format, data_len: Option<u32>) -> [u8; 44] {
    let Format { encoding, rate, channels } = format;
    Samples { layout: encoding.into(), rate, channels }.header(data_len)
}

impl Samples {
    /// Writes the header of a file of such samples.
    pub(super) fn header(self, data_len: Option<u32>) -> [u8; 44] {
        let channels = u32::from(self.channels);
        let bits = bits(self.layout);
        let block = channels * bits / 8;
        let size = data_len.unwrap_or(UNKNOWN);
        let words = [
            u32::from_le_bytes(*b"RIFF"),
            size.saturating_add(36),
            u32::from_le_bytes(*b"WAVE"),
            u32::from_le_bytes(*b"fmt "),
            16,
            wave_tag(self.layout) | channels << 16,
            self.rate.hertz(),
            self.rate.hertz() * block,
            block | bits << 16,
            u32::from_le_bytes(*b"data"),
            size,
        ];
        let mut header = [0; 44];
        for (place, word) in header.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        header
    }
}

const fn wave_tag(layout: Layout) -> u32 {
    match layout {
        Layout::Unsigned8 | Layout::Signed16 | Layout::Signed24 | Layout::Signed32 => 1,
        Layout::Float32 => 3,
        Layout::Alaw => 6,
        Layout::Mulaw => 7,
    }
}

const fn bits(layout: Layout) -> u32 {
    match layout {
        Layout::Unsigned8 | Layout::Alaw | Layout::Mulaw => 8,
        Layout::Signed16 => 16,
        Layout::Signed24 => 24,
        Layout::Signed32 | Layout::Float32 => 32,
    }
}
