//! One input of a session: bytes as the caller sent them in, one channel at the engine's rate out. Apart from the
//! parsers because it owns the order they work in and the bounds on all of them.

use std::time::Duration;

use crate::error::AudioError;
use crate::format::{Format, SampleRate};
use crate::pcm::PcmDecoder;
use crate::resample::Resampler;
use crate::sniff::Container;
use crate::wav::WavParser;
use packed::Packed;

mod packed;

/// The longest sound that one stream may hold.
pub const MAX_DURATION: Duration = Duration::from_secs(12 * 60 * 60);

/// Bytes are decoded in pieces of this size, which bounds the scratch space.
const PIECE: usize = 4096;

/// Decodes one stream to mono samples at a target rate, in bounded memory whatever comes.
#[derive(Debug)]
pub struct AudioStream {
    source: Source,
    target: SampleRate,
    limit: Duration,
}

#[derive(Debug)]
enum Source {
    /// Not enough bytes yet to tell what they are.
    Sniffing { start: Vec<u8> },
    /// Inside a WAV file's header.
    Header(WavParser),
    /// Sound from a WAV file.
    Wav(WavParser, Box<Decoder>),
    /// Opus in Ogg or `WebM`.
    Packed(Box<Packed>),
    /// Sound and nothing else.
    Raw(Box<Decoder>),
}

impl AudioStream {
    /// Decodes raw audio, whose format the caller has told.
    #[must_use]
    pub fn raw(format: Format, target: SampleRate) -> Self {
        let decoder = Decoder::new(format, PcmDecoder::new(format), target);
        Self { source: Source::Raw(Box::new(decoder)), target, limit: MAX_DURATION }
    }

    /// Decodes a file, whose first bytes tell what it is.
    #[must_use]
    pub const fn sniff(target: SampleRate) -> Self {
        Self { source: Source::Sniffing { start: Vec::new() }, target, limit: MAX_DURATION }
    }

    /// Ends the stream with an error once it has lasted longer than `limit` instead of [`MAX_DURATION`].
    #[must_use]
    pub const fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Takes the next bytes, cut anywhere, and appends the samples they complete to `mono`.
    ///
    /// # Errors
    /// When the bytes are not sound that can be decoded, or too much of it; the stream must then be dropped.
    pub fn push(&mut self, bytes: &[u8], mono: &mut Vec<i16>) -> Result<(), AudioError> {
        for piece in bytes.chunks(PIECE) {
            match &mut self.source {
                Source::Sniffing { start } => {
                    start.extend_from_slice(piece);
                    self.leave_sniffing(mono)?;
                }
                Source::Header(_) => self.push_header(piece, mono)?,
                Source::Wav(parser, decoder) => decoder.push(parser.push(piece)?, mono),
                Source::Packed(packed) => packed.push(piece, mono)?,
                Source::Raw(decoder) => decoder.push(piece, mono),
            }
            self.check_limit()?;
        }
        Ok(())
    }

    /// Says that the input has ended and appends what was still on its way.
    ///
    /// # Errors
    /// When a file held no sound at all.
    pub fn finish(&mut self, mono: &mut Vec<i16>) -> Result<(), AudioError> {
        match &mut self.source {
            Source::Sniffing { start } if start.is_empty() => return Err(AudioError::Empty),
            Source::Sniffing { start } => return Err(AudioError::not_streamed(Container::of(start))),
            Source::Header(parser) => parser.finish()?,
            Source::Wav(_, decoder) if decoder.heard == 0 => return Err(AudioError::Empty),
            Source::Packed(packed) => packed.finish(mono)?,
            Source::Wav(_, decoder) | Source::Raw(decoder) => decoder.resampler.flush(mono),
        }
        Ok(())
    }

    /// Returns the format of the input, once it is known. Linear samples of any depth count as 16-bit, and so does Opus.
    #[must_use]
    pub fn input_format(&self) -> Option<Format> {
        match &self.source {
            Source::Sniffing { .. } | Source::Header(_) => None,
            Source::Packed(packed) => packed.format(),
            Source::Wav(_, decoder) | Source::Raw(decoder) => Some(decoder.format),
        }
    }

    /// Returns how much sound has been decoded.
    #[must_use]
    pub fn heard(&self) -> Duration {
        match &self.source {
            Source::Sniffing { .. } | Source::Header(_) => Duration::ZERO,
            Source::Packed(packed) => packed.heard(),
            Source::Wav(_, decoder) | Source::Raw(decoder) => decoder.format.rate.duration_of(decoder.heard),
        }
    }

    fn leave_sniffing(&mut self, mono: &mut Vec<i16>) -> Result<(), AudioError> {
        let Source::Sniffing { start } = &mut self.source else { return Ok(()) };
        if start.len() < Container::PREFIX {
            return Ok(());
        }
        let start = std::mem::take(start);
        match Container::of(&start) {
            Container::Wav => {
                self.source = Source::Header(WavParser::new());
                self.push_header(&start, mono)
            }
            container @ (Container::Ogg | Container::Webm) => {
                let mut packed = Packed::new(container, self.target);
                packed.push(&start, mono)?;
                self.source = Source::Packed(Box::new(packed));
                Ok(())
            }
            container => Err(AudioError::not_streamed(container)),
        }
    }

    fn push_header(&mut self, bytes: &[u8], mono: &mut Vec<i16>) -> Result<(), AudioError> {
        let Source::Header(parser) = &mut self.source else { return Ok(()) };
        let sound = parser.push(bytes)?;
        if let (Ok(()), Some(format), Some(pcm)) = (parser.finish(), parser.format(), parser.decoder()) {
            let mut decoder = Decoder::new(format, pcm, self.target);
            decoder.push(sound, mono);
            self.source = Source::Wav(parser.clone(), Box::new(decoder));
        }
        Ok(())
    }

    fn check_limit(&self) -> Result<(), AudioError> {
        if self.heard() > self.limit { Err(AudioError::TooLong { limit: self.limit }) } else { Ok(()) }
    }
}

/// From bytes of sound to samples at the target rate.
#[derive(Clone, Debug)]
struct Decoder {
    format: Format,
    pcm: PcmDecoder,
    resampler: Resampler,
    scratch: Vec<i16>,
    heard: u64,
}

impl Decoder {
    fn new(format: Format, pcm: PcmDecoder, target: SampleRate) -> Self {
        Self { format, pcm, resampler: Resampler::new(format.rate, target), scratch: Vec::new(), heard: 0 }
    }

    fn push(&mut self, bytes: &[u8], mono: &mut Vec<i16>) {
        self.scratch.clear();
        self.pcm.push(bytes, &mut self.scratch);
        self.heard += self.scratch.len() as u64;
        self.resampler.push(&self.scratch, mono);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Channels, Encoding};
    use crate::wav;
    use proptest::prelude::*;

    const TARGET: SampleRate = SampleRate::HZ_16000;

    fn hear(mut stream: AudioStream, pieces: &[&[u8]]) -> Result<Vec<i16>, AudioError> {
        let mut mono = Vec::new();
        for piece in pieces {
            stream.push(piece, &mut mono)?;
        }
        stream.finish(&mut mono)?;
        Ok(mono)
    }

    #[test]
    fn a_wav_file_sounds_like_its_raw_samples() {
        let format = Format { encoding: Encoding::Alaw, channels: Channels::STEREO, rate: SampleRate::HZ_8000 };
        let sound: Vec<u8> = (0..20_000_u32).map(|n| (n * n / 7).to_le_bytes()[0]).collect();
        let file = [&wav::header(format, None)[..], &sound].concat();
        let raw = hear(AudioStream::raw(format, TARGET), &[&sound]).unwrap();
        assert_eq!(hear(AudioStream::sniff(TARGET), &[&file]), Ok(raw.clone()));
        let bytes: Vec<&[u8]> = file.chunks(1).collect();
        assert_eq!(hear(AudioStream::sniff(TARGET), &bytes), Ok(raw));
    }

    #[test]
    fn what_is_not_sound_is_named() {
        let files: [(&[u8], &str); 4] = [
            (b"fLaC\0\x02\0\0\0\0\0\0\0\0", "FLAC cannot be heard as a stream, send it as a file"),
            (b"<!DOCTYPE html><html>", "it looks like HTML or XML;"),
            (b"PK\x03\x04", "it looks like an archive;"),
            (b"hello", "it looks like an unknown format;"),
        ];
        for (file, words) in files {
            let error = hear(AudioStream::sniff(TARGET), &[file]).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_file_without_sound_is_empty_but_a_silent_call_is_not_an_error() {
        assert_eq!(hear(AudioStream::sniff(TARGET), &[]), Err(AudioError::Empty));
        assert_eq!(hear(AudioStream::sniff(TARGET), &[&wav::header(Format::SPEECH, None)]), Err(AudioError::Empty));
        assert_eq!(hear(AudioStream::raw(Format::SPEECH, TARGET), &[]), Ok(Vec::new()));
    }

    #[test]
    fn a_stream_ends_at_its_limit() {
        let limit = Duration::from_millis(500);
        let stream = || AudioStream::raw(Format::TELEPHONE, TARGET).with_limit(limit);
        assert!(hear(stream(), &[&[0; 4_000]]).is_ok());
        assert_eq!(hear(stream(), &[&[0; 4_000], &[0]]), Err(AudioError::TooLong { limit }));
    }

    #[test]
    fn a_stream_knows_what_it_hears_and_how_much() {
        let mut stream = AudioStream::sniff(TARGET);
        assert_eq!((stream.input_format(), stream.heard()), (None, Duration::ZERO));
        let mut mono = Vec::new();
        stream.push(&wav::header(Format::TELEPHONE, None), &mut mono).unwrap();
        stream.push(&[0; 8_000], &mut mono).unwrap();
        assert_eq!((stream.input_format(), stream.heard()), (Some(Format::TELEPHONE), Duration::from_secs(1)));
    }

    proptest! {
        #[test]
        fn whatever_comes_ends_in_samples_or_an_error(
            magic in prop::sample::select(vec![&b""[..], b"OggS\0\x02", b"\x1a\x45\xdf\xa3", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0"]),
            noise in prop::collection::vec(any::<u8>(), 0..300),
            cut in 0_usize..300,
        ) {
            let file = [magic, &noise].concat();
            let (head, tail) = file.split_at(cut.min(file.len()));
            prop_assert_eq!(hear(AudioStream::sniff(TARGET), &[head, tail]), hear(AudioStream::sniff(TARGET), &[&file]));
        }
    }
}
