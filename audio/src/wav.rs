//! WAV, read as a stream: the parser names the part of each chunk that is sound and never buffers any of it. Every
//! size in a WAV file is a hint here, because encoders that stream, and files cut short, do not know their own.

use std::time::Duration;

use thiserror::Error;

use crate::format::{Format, FormatError};
use crate::pcm::PcmDecoder;

mod header;

pub use header::header;
use header::{Samples, u32_at};

/// The most bytes that may come before the sound.
pub const MAX_HEADER: u64 = 64 * 1024;

/// The longest part of a chunk that is looked at: a whole `WAVE_FORMAT_EXTENSIBLE` description.
const MAX_FIELD: usize = 40;
/// The shortest format description.
const MIN_FMT: usize = 16;
/// The size of a 64-bit header's table, up to the length of the sound.
const DS64: usize = 16;
/// What encoders write for a length they do not know.
const UNKNOWN: u32 = u32::MAX;

/// Why a WAV file cannot be heard.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WavError {
    /// The file does not begin as a WAV file does.
    #[error("not a WAV file: expected RIFF or RF64 and WAVE in the first 12 bytes")]
    NotWav,
    /// The description of the format is shorter than it must be.
    #[error("WAV format chunk has {0} bytes, expected at least {MIN_FMT}")]
    ShortFormat(usize),
    /// The samples are coded in a way that is not supported.
    #[error(
        "unsupported WAV encoding {tag:#06x} with {bits} bits, expected PCM of 8, 16, 24 or 32 bits, 32-bit float, mu-law or A-law"
    )]
    Encoding {
        /// The format tag.
        tag: u16,
        /// The bits of one sample.
        bits: u16,
    },
    /// The rate or the channels are out of range.
    #[error("unsupported WAV format: {0}")]
    Format(#[from] FormatError),
    /// The size of a frame contradicts the channels and the bits.
    #[error("WAV block align is {declared}, but its channels and bits make {actual}")]
    BlockAlign {
        /// What the header says.
        declared: u16,
        /// What the channels and bits make.
        actual: usize,
    },
    /// The sound begins before its format was described.
    #[error("WAV data chunk comes before the format chunk")]
    NoFormat,
    /// The header goes on and on.
    #[error("no sound in the first {MAX_HEADER} bytes of the WAV file")]
    LongHeader,
    /// The input ended inside the header.
    #[error("WAV file ends after {0} bytes, before its sound begins")]
    Truncated(u64),
}

/// Where the parser is in the file.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Collecting the first 12 bytes.
    Riff,
    /// Collecting a chunk's name and size.
    Chunk,
    /// Collecting the beginning of a chunk of interest.
    Field { name: Name, wanted: usize, then_skip: u64 },
    /// Passing over bytes of no interest.
    Skip(u64),
    /// Passing on so many bytes of sound and nothing after them; `None` goes on until the input ends.
    Sound(Option<u64>),
}

/// A chunk whose content matters.
#[derive(Clone, Copy, Debug)]
enum Name {
    Format,
    Sizes64,
}

/// A push parser: bytes in, the sound among them out.
#[derive(Clone, Debug)]
pub struct WavParser {
    state: State,
    field: [u8; MAX_FIELD],
    field_len: usize,
    header_len: u64,
    sound_size64: Option<u64>,
    samples: Option<Samples>,
}

impl Default for WavParser {
    fn default() -> Self {
        Self::new()
    }
}

impl WavParser {
    /// Starts at the first byte of a file.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::Riff,
            field: [0; MAX_FIELD],
            field_len: 0,
            header_len: 0,
            sound_size64: None,
            samples: None,
        }
    }

    /// Takes the next bytes of the file and returns those that are sound, in [`WavParser::format`].
    ///
    /// # Errors
    /// When the header cannot be used; the parser must then be dropped.
    pub fn push<'a>(&mut self, mut bytes: &'a [u8]) -> Result<&'a [u8], WavError> {
        while !bytes.is_empty() && !self.sound_reached() {
            let within = clamp(MAX_HEADER - self.header_len, bytes.len());
            if within == 0 {
                return Err(WavError::LongHeader);
            }
            let taken = self.take_header(&bytes[..within])?;
            self.header_len += taken as u64;
            bytes = &bytes[taken..];
        }
        Ok(self.take_sound(bytes))
    }

    /// Says that the input has ended.
    ///
    /// # Errors
    /// When the header is not complete.
    pub const fn finish(&self) -> Result<(), WavError> {
        if self.sound_reached() { Ok(()) } else { Err(WavError::Truncated(self.header_len)) }
    }

    /// Returns the format, once the header has told it. Linear samples of any depth are reported as 16-bit, which is
    /// what they are decoded to.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        let Samples { layout, rate, channels } = self.samples?;
        Some(Format { encoding: layout.encoding(), rate, channels })
    }

    /// Returns how long the sound lasts of which `heard` bytes were returned, when `rest` bytes of the file are yet to
    /// come. What the header claims beyond them does not count.
    #[must_use]
    pub fn lasts(&self, heard: u64, rest: u64) -> Option<Duration> {
        let State::Sound(left) = self.state else { return None };
        let Samples { layout, rate, channels } = self.samples?;
        let bytes = heard + left.map_or(rest, |left| left.min(rest));
        Some(rate.duration_of(bytes / (layout.bytes() * channels.count()) as u64))
    }

    /// Returns a decoder for the sound, once the header has described it.
    #[must_use]
    pub fn decoder(&self) -> Option<PcmDecoder> {
        self.samples.map(|samples| PcmDecoder::with_layout(samples.layout, samples.channels))
    }

    /// Returns the header of a new file of the same samples and of unknown length, once the header has described them.
    pub(crate) fn new_header(&self) -> Option<[u8; 44]> {
        self.samples.map(|samples| samples.header(None))
    }

    /// Counts the bytes of sound that the header promises and that have not come yet; nothing where it promises nothing,
    /// or has not got that far.
    #[must_use]
    pub const fn sound_left(&self) -> Option<u64> {
        match self.state {
            State::Sound(left) => left,
            State::Riff | State::Chunk | State::Field { .. } | State::Skip(_) => None,
        }
    }

    const fn sound_reached(&self) -> bool {
        matches!(self.state, State::Sound(_))
    }

    fn take_sound<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let State::Sound(left) = &mut self.state else { return &[] };
        let Some(left) = left else { return bytes };
        let sound = &bytes[..clamp(*left, bytes.len())];
        *left -= sound.len() as u64;
        sound
    }

    /// Moves through bytes that are not sound and returns how many it took.
    fn take_header(&mut self, bytes: &[u8]) -> Result<usize, WavError> {
        match self.state {
            State::Riff => self.collect(12, bytes, Self::riff),
            State::Chunk => self.collect(8, bytes, Self::chunk),
            State::Field { name, wanted, then_skip } => {
                self.collect(wanted, bytes, |parser, field| parser.described(name, field, then_skip))
            }
            State::Skip(left) => {
                let taken = clamp(left, bytes.len());
                self.state = skip(left - taken as u64);
                Ok(taken)
            }
            State::Sound(_) => Ok(0),
        }
    }

    /// Gathers `wanted` bytes across calls, then lets `then` read them.
    fn collect<F>(&mut self, wanted: usize, bytes: &[u8], then: F) -> Result<usize, WavError>
    where
        F: FnOnce(&mut Self, &[u8]) -> Result<(), WavError>,
    {
        let taken = (wanted - self.field_len).min(bytes.len());
        let end = self.field_len + taken;
        self.field[self.field_len..end].copy_from_slice(&bytes[..taken]);
        self.field_len = end;
        if end == wanted {
            self.field_len = 0;
            let field = self.field;
            then(self, &field[..wanted])?;
        }
        Ok(taken)
    }

    fn riff(&mut self, field: &[u8]) -> Result<(), WavError> {
        let known = is_wave(field);
        self.state = State::Chunk;
        if known { Ok(()) } else { Err(WavError::NotWav) }
    }

    fn chunk(&mut self, field: &[u8]) -> Result<(), WavError> {
        let size = u32_at(field, 4);
        match &field[..4] {
            b"data" if self.samples.is_none() => return Err(WavError::NoFormat),
            b"data" => self.state = State::Sound(self.sound_size(size)),
            b"fmt " if (size as usize) < MIN_FMT => return Err(WavError::ShortFormat(size as usize)),
            b"fmt " => self.state = look_at(Name::Format, size, MAX_FIELD),
            b"ds64" if size as usize >= DS64 => self.state = look_at(Name::Sizes64, size, DS64),
            _ => self.state = skip(padded(size)),
        }
        Ok(())
    }

    /// Believes a length only if it can be one; a lie that is too large ends with the input.
    fn sound_size(&self, size: u32) -> Option<u64> {
        match size {
            0 => None,
            UNKNOWN => self.sound_size64,
            known => Some(u64::from(known)),
        }
    }

    fn described(&mut self, name: Name, field: &[u8], then_skip: u64) -> Result<(), WavError> {
        match name {
            Name::Format => self.samples = Some(Samples::read(field)?),
            Name::Sizes64 => {
                let size = u64::from(u32_at(field, 8)) | u64::from(u32_at(field, 12)) << 32;
                self.sound_size64 = Some(size).filter(|size| (1..u64::MAX).contains(size));
            }
        }
        self.state = skip(then_skip);
        Ok(())
    }
}

/// Tells whether `start`, the first 12 bytes of a file, begin a WAV file.
#[must_use]
pub(crate) fn is_wave(start: &[u8]) -> bool {
    start.len() >= 12 && matches!(&start[..4], b"RIFF" | b"RF64" | b"BW64") && &start[8..12] == b"WAVE"
}

const fn skip(left: u64) -> State {
    if left == 0 { State::Chunk } else { State::Skip(left) }
}

/// Chunks end on an even byte.
fn padded(size: u32) -> u64 {
    u64::from(size) + u64::from(size % 2)
}

fn look_at(name: Name, size: u32, most: usize) -> State {
    let wanted = (size as usize).min(most);
    State::Field { name, wanted, then_skip: padded(size) - wanted as u64 }
}

/// The smaller of a count left in the file and a count at hand.
fn clamp(left: u64, at_hand: usize) -> usize {
    usize::try_from(left).map_or(at_hand, |left| left.min(at_hand))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Channels, Encoding, SampleRate};
    use proptest::prelude::*;

    fn file(chunks: &[(&[u8; 4], u32, &[u8])]) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WAVE".to_vec();
        for (name, size, content) in chunks {
            file.extend_from_slice(*name);
            file.extend_from_slice(&size.to_le_bytes());
            file.extend_from_slice(content);
        }
        file
    }

    fn fmt(tag: u16, channels: u16, rate: u32, block_bits: (u16, u16)) -> Vec<u8> {
        let mut fmt = [tag.to_le_bytes(), channels.to_le_bytes()].concat();
        fmt.extend_from_slice(&rate.to_le_bytes());
        fmt.extend_from_slice(&[0; 4]);
        fmt.extend_from_slice(&block_bits.0.to_le_bytes());
        fmt.extend_from_slice(&block_bits.1.to_le_bytes());
        fmt
    }

    #[test]
    fn the_length_is_told_from_the_beginning_of_a_file_and_never_by_a_lie() {
        let sound = [7; 6 * 16_000];
        for (claimed, rest, seconds) in
            [(96_000, 0, 2), (48_000, 0, 1), (0, 0, 2), (400_000, 48_000, 3), (96_000, 9, 2)]
        {
            let file = file(&[(b"fmt ", 16, &fmt(1, 1, 16_000, (3, 24))), (b"data", claimed, &sound)]);
            let mut parser = WavParser::new();
            assert_eq!(parser.lasts(0, 9), None);
            let heard = parser.push(&file).unwrap().len() as u64;
            assert_eq!(parser.lasts(heard, rest), Some(Duration::from_secs(seconds)), "{claimed} and {rest}");
        }
    }

    fn parse(file: &[u8]) -> Result<(Format, Vec<u8>), WavError> {
        parse_in(file, &[])
    }

    fn parse_in(mut file: &[u8], cuts: &[usize]) -> Result<(Format, Vec<u8>), WavError> {
        let mut parser = WavParser::new();
        let mut sound = Vec::new();
        for cut in cuts {
            let (head, tail) = file.split_at((*cut).min(file.len()));
            sound.extend_from_slice(parser.push(head)?);
            file = tail;
        }
        sound.extend_from_slice(parser.push(file)?);
        parser.finish()?;
        Ok((parser.format().unwrap(), sound))
    }

    #[test]
    fn a_written_header_is_read_back() {
        for encoding in Encoding::ALL {
            for (rate, channels) in [(SampleRate::HZ_8000, Channels::MONO), (SampleRate::HZ_192000, Channels::MAX)] {
                let format = Format { encoding, rate, channels };
                for (len, heard) in [(Some(3), 3), (None, 5), (Some(0), 5), (Some(u32::MAX), 5), (Some(99), 5)] {
                    let file = [&header(format, len)[..], &[1, 2, 3, 4, 5]].concat();
                    assert_eq!(parse(&file), Ok((format, vec![1, 2, 3, 4, 5][..heard].to_vec())), "{len:?}");
                }
            }
        }
    }

    #[test]
    fn chunks_of_no_interest_are_passed_over_before_and_after_the_sound() {
        let pcm = fmt(1, 1, 16_000, (2, 16));
        let odd: (&[u8; 4], u32, &[u8]) = (b"LIST", 3, &[9, 9, 9, 0]);
        let file = file(&[odd, (b"fmt ", 16, &pcm), odd, (b"data", 2, &[5, 6]), odd]);
        assert_eq!(parse(&file), Ok((Format::SPEECH, vec![5, 6])));
    }

    #[test]
    fn an_extensible_description_is_looked_into() {
        let mut fmt = fmt(0xfffe, 1, 8_000, (1, 8));
        fmt.extend_from_slice(&[
            22, 0, 8, 0, 4, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71,
        ]);
        let file = file(&[(b"fmt ", 40, &fmt), (b"data", 1, &[5])]);
        assert_eq!(parse(&file), Ok((Format::TELEPHONE, vec![5])));
    }

    #[test]
    fn the_sizes_of_a_64_bit_header_are_used() {
        let pcm = fmt(1, 1, 16_000, (2, 16));
        let sizes = [[0; 8], 2_u64.to_le_bytes(), [0; 8], [0; 8]].concat();
        let mut file = file(&[(b"ds64", 32, &sizes), (b"fmt ", 16, &pcm), (b"data", u32::MAX, &[5, 6, 7, 8])]);
        file[..4].copy_from_slice(b"RF64");
        assert_eq!(parse(&file), Ok((Format::SPEECH, vec![5, 6])));
    }

    #[test]
    fn a_format_that_cannot_be_heard_is_refused() {
        let cases = [
            (fmt(1, 0, 16_000, (0, 16)), "unsupported WAV format: expected 1 to 8 channels, got 0"),
            (fmt(1, 65_535, 16_000, (0, 16)), "unsupported WAV format: expected 1 to 8 channels, got 65535"),
            (fmt(1, 1, 0, (0, 16)), "unsupported WAV format: expected a sample rate from 8000 to 192000 Hz, got 0"),
            (fmt(1, 2, 16_000, (2, 16)), "WAV block align is 2, but its channels and bits make 4"),
        ];
        for (fmt, message) in cases {
            assert_eq!(parse(&file(&[(b"fmt ", 16, &fmt)])).unwrap_err().to_string(), message);
        }
        let adpcm = parse(&file(&[(b"fmt ", 16, &fmt(2, 1, 16_000, (0, 4)))]));
        assert_eq!(adpcm, Err(WavError::Encoding { tag: 2, bits: 4 }));
    }

    #[test]
    fn a_broken_order_or_an_early_end_is_told() {
        assert_eq!(parse(b"RIFF\0\0\0\0AVI LIST"), Err(WavError::NotWav));
        assert_eq!(parse(&file(&[(b"data", 2, &[5, 6])])), Err(WavError::NoFormat));
        assert_eq!(parse(&file(&[(b"fmt ", 15, &[0; 16])])), Err(WavError::ShortFormat(15)));
        assert_eq!(parse(&file(&[(b"fmt ", 16, &[])])), Err(WavError::Truncated(20)));
        assert_eq!(parse(b""), Err(WavError::Truncated(0)));
    }

    #[test]
    fn a_block_align_of_zero_is_no_more_than_a_hint() {
        let file = file(&[(b"fmt ", 16, &fmt(1, 1, 16_000, (0, 16))), (b"data", 2, &[5, 6])]);
        assert_eq!(parse(&file), Ok((Format::SPEECH, vec![5, 6])));
    }

    #[test]
    fn an_endless_list_is_given_up_after_64_kib() {
        let mut parser = WavParser::new();
        parser.push(&file(&[(b"LIST", u32::MAX, &[])])).unwrap();
        let errors: Vec<_> = (0..70).map_while(|_| parser.push(&[0; 1000]).err().map_or(Some(()), |_| None)).collect();
        assert_eq!(errors.len(), 65);
    }

    /// Bytes that look like WAV often enough to reach every state.
    fn nearly_wav() -> impl Strategy<Value = Vec<u8>> {
        let name = prop::sample::select(vec![*b"fmt ", *b"data", *b"LIST", *b"ds64", *b"junk"]);
        let size = prop_oneof![0_u32..50, Just(u32::MAX), Just(70_000), any::<u32>()];
        let content = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..50),
            Just(fmt(1, 2, 48_000, (4, 16))),
            Just(fmt(7, 1, 8_000, (1, 8))),
        ];
        let chunk = (name, size, content, any::<bool>()).prop_map(|(name, size, content, honest)| {
            let size = if honest { u32::try_from(content.len()).unwrap() } else { size };
            [&name[..], &size.to_le_bytes(), &content].concat()
        });
        prop::collection::vec(chunk, 0..6).prop_map(|chunks| [&file(&[])[..], &chunks.concat()].concat())
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_a_file_is_cut(
            file in prop_oneof![nearly_wav(), prop::collection::vec(any::<u8>(), 0..200)],
            cuts in prop::collection::vec(0_usize..30, 0..40),
        ) {
            prop_assert_eq!(parse_in(&file, &cuts), parse(&file));
        }

        #[test]
        fn the_header_bound_falls_on_the_same_byte_however_a_file_is_cut(
            padding in 65_440_u32..65_540,
            cut in 65_400_usize..65_600,
        ) {
            let list = vec![0; padding as usize];
            let pcm = fmt(1, 1, 16_000, (2, 16));
            let file = file(&[(b"LIST", padding, &list), (b"fmt ", 16, &pcm), (b"data", 2, &[5, 6])]);
            prop_assert_eq!(parse_in(&file, &[cut]), parse(&file));
        }
    }
}
