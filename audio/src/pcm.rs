//! Raw samples: bytes of any accepted layout in, one channel of 16-bit samples out, and back.

use crate::format::{Channels, Encoding, Format};
use crate::{g711, sample};

/// How one sample is laid out in bytes: the encodings callers may name, and what only a WAV header can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Unsigned8,
    Signed16,
    Signed24,
    Signed32,
    Float32,
    Mulaw,
    Alaw,
}

impl Layout {
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::Unsigned8 | Self::Mulaw | Self::Alaw => 1,
            Self::Signed16 => 2,
            Self::Signed24 => 3,
            Self::Signed32 | Self::Float32 => 4,
        }
    }

    /// The encoding whose precision decoded samples have.
    pub(crate) const fn encoding(self) -> Encoding {
        match self {
            Self::Mulaw => Encoding::Mulaw,
            Self::Alaw => Encoding::Alaw,
            Self::Unsigned8 | Self::Signed16 | Self::Signed24 | Self::Signed32 | Self::Float32 => Encoding::Linear16,
        }
    }
}

impl From<Encoding> for Layout {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Linear16 => Self::Signed16,
            Encoding::Mulaw => Self::Mulaw,
            Encoding::Alaw => Self::Alaw,
        }
    }
}

/// The widest frame: eight channels of four bytes.
const MAX_FRAME: usize = 32;

/// Decodes raw bytes to one channel; several channels are averaged.
///
/// Chunks may be cut anywhere: an incomplete frame waits for the next call. Nothing else is kept.
#[derive(Clone, Debug)]
pub struct PcmDecoder {
    layout: Layout,
    channels: Channels,
    partial: [u8; MAX_FRAME],
    partial_len: usize,
}

impl PcmDecoder {
    /// Starts at the first byte of a frame.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self::with_layout(format.encoding.into(), format.channels)
    }

    pub(crate) const fn with_layout(layout: Layout, channels: Channels) -> Self {
        Self { layout, channels, partial: [0; MAX_FRAME], partial_len: 0 }
    }

    /// Counts the bytes of one sample of every channel.
    #[must_use]
    pub const fn bytes_per_frame(&self) -> usize {
        self.layout.bytes() * self.channels.count()
    }

    /// Appends one sample to `mono` for every frame that `bytes` completes.
    pub fn push(&mut self, bytes: &[u8], mono: &mut Vec<i16>) {
        let rest = self.complete_partial(bytes, mono);
        let (whole, cut) = rest.split_at(rest.len() - rest.len() % self.bytes_per_frame());
        self.decode(whole, mono);
        self.keep(cut);
    }

    /// Fills up the frame that the last call left incomplete and returns the bytes after it.
    fn complete_partial<'a>(&mut self, bytes: &'a [u8], mono: &mut Vec<i16>) -> &'a [u8] {
        if self.partial_len == 0 {
            return bytes;
        }
        let frame = self.bytes_per_frame();
        let (head, rest) = bytes.split_at(bytes.len().min(frame - self.partial_len));
        self.keep(head);
        if self.partial_len == frame {
            self.partial_len = 0;
            let partial = self.partial;
            self.decode(&partial[..frame], mono);
        }
        rest
    }

    fn keep(&mut self, cut: &[u8]) {
        let end = self.partial_len + cut.len();
        self.partial[self.partial_len..end].copy_from_slice(cut);
        self.partial_len = end;
    }

    fn decode(&self, frames: &[u8], mono: &mut Vec<i16>) {
        match self.layout {
            Layout::Unsigned8 => self.mix(frames, mono, |[byte]: [u8; 1]| (i16::from(byte) - 128) << 8),
            Layout::Signed16 => self.mix(frames, mono, i16::from_le_bytes),
            Layout::Signed24 => self.mix(frames, mono, |[_, low, high]: [u8; 3]| i16::from_le_bytes([low, high])),
            Layout::Signed32 => self.mix(frames, mono, |[_, _, low, high]: [u8; 4]| i16::from_le_bytes([low, high])),
            Layout::Float32 => self.mix(frames, mono, |bytes| sample::round(f32::from_le_bytes(bytes) * 32_768.0)),
            Layout::Mulaw => self.mix(frames, mono, |[code]: [u8; 1]| g711::MULAW[usize::from(code)]),
            Layout::Alaw => self.mix(frames, mono, |[code]: [u8; 1]| g711::ALAW[usize::from(code)]),
        }
    }

    /// Averages the channels of whole frames of `N`-byte samples.
    fn mix<const N: usize>(&self, frames: &[u8], mono: &mut Vec<i16>, linear: impl Fn([u8; N]) -> i16) {
        let (samples, _) = frames.as_chunks::<N>();
        if self.channels == Channels::MONO {
            mono.extend(samples.iter().map(|bytes| linear(*bytes)));
            return;
        }
        let average = |frame: &[[u8; N]]| {
            let sum: i32 = frame.iter().map(|bytes| i32::from(linear(*bytes))).sum();
            sample::clip(sum / i32::from(u8::from(self.channels)))
        };
        mono.extend(samples.chunks_exact(self.channels.count()).map(average));
    }
}

impl Encoding {
    /// Appends the bytes of `samples` to `bytes`.
    pub fn encode(self, samples: &[i16], bytes: &mut Vec<u8>) {
        match self {
            Self::Linear16 => bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes())),
            Self::Mulaw => bytes.extend(samples.iter().map(|sample| g711::encode_mulaw(*sample))),
            Self::Alaw => bytes.extend(samples.iter().map(|sample| g711::encode_alaw(*sample))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAYOUTS: [Layout; 7] = [
        Layout::Unsigned8,
        Layout::Signed16,
        Layout::Signed24,
        Layout::Signed32,
        Layout::Float32,
        Layout::Mulaw,
        Layout::Alaw,
    ];

    fn decode(decoder: &mut PcmDecoder, bytes: &[u8]) -> Vec<i16> {
        let mut mono = Vec::new();
        decoder.push(bytes, &mut mono);
        mono
    }

    #[test]
    fn channels_are_averaged() {
        let mut decoder = PcmDecoder::new(Format { channels: Channels::STEREO, ..Format::SPEECH });
        let mut bytes = Vec::new();
        Encoding::Linear16.encode(&[100, 300, i16::MIN, i16::MIN, i16::MAX, i16::MIN], &mut bytes);
        assert_eq!(decode(&mut decoder, &bytes), [200, i16::MIN, 0]);
    }

    #[test]
    fn full_scale_means_the_same_in_every_depth() {
        let loud: [(Layout, &[u8]); 4] = [
            (Layout::Unsigned8, &[0x00]),
            (Layout::Signed24, &[0, 0, 0x80]),
            (Layout::Signed32, &[0, 0, 0, 0x80]),
            (Layout::Float32, &[0x00, 0x00, 0x80, 0xbf]),
        ];
        for (layout, bytes) in loud {
            let mut decoder = PcmDecoder::with_layout(layout, Channels::MONO);
            assert_eq!(decode(&mut decoder, bytes), [i16::MIN], "{layout:?}");
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_chunks_are_cut(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            cuts in prop::collection::vec(0_usize..40, 0..40),
            layout in prop::sample::select(LAYOUTS.to_vec()),
            channels in 1_u32..=8,
        ) {
            let channels = Channels::try_from(channels).unwrap();
            let whole = decode(&mut PcmDecoder::with_layout(layout, channels), &bytes);
            let mut decoder = PcmDecoder::with_layout(layout, channels);
            let mut pieces = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (head, tail) = rest.split_at(cut.min(rest.len()));
                decoder.push(head, &mut pieces);
                rest = tail;
            }
            decoder.push(rest, &mut pieces);
            prop_assert_eq!(whole.len(), bytes.len() / decoder.bytes_per_frame());
            prop_assert_eq!(pieces, whole);
        }
    }
}
