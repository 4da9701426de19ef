//! A stream of Opus in a container, heard as it comes: apart from files, which are pulled from something that can be
//! read again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::error::AudioError;
use crate::file::opus::{self, Opus};
use crate::file::sound::{Interleaved, Sound};
use crate::format::{Channels, Encoding, Format, SampleRate};
use crate::sniff::Container;
use crate::splitter::{Packets, SplitError, Splitter, Unit, UnitKind};

/// The most bytes of sound, at 16 bits in one channel, that a byte of a stream may hold: even silence takes some hundred
/// bytes a second.
const RATIO: u64 = 1_000;
/// What any stream may hold, however little has come.
const GRACE: Duration = Duration::from_secs(60);

/// Decodes one stream of Opus in Ogg or `WebM`.
#[derive(Debug)]
pub(super) struct Packed {
    container: Container,
    came: u64,
    splitter: Splitter,
    packets: Packets,
    voice: Option<Voice>,
    sound: Sound,
}

/// The decoder of one header's packets.
#[derive(Debug)]
struct Voice {
    decoder: Opus,
    /// Frames at the start that are still to be taken away: the encoder's.
    skip: usize,
    /// What the packets of a unit became.
    frames: Vec<i16>,
}

impl Packed {
    /// Waits for the first byte.
    pub(super) fn new(container: Container, target: SampleRate) -> Self {
        Self {
            container,
            came: 0,
            splitter: Splitter::sniff(),
            packets: Packets::default(),
            voice: None,
            sound: Sound::new(target),
        }
    }

    /// Takes the next bytes, cut anywhere, and appends the samples they complete to `mono`.
    pub(super) fn push(&mut self, bytes: &[u8], mono: &mut Vec<i16>) -> Result<(), AudioError> {
        let Self { container, came, splitter, packets, voice, sound } = self;
        *came += bytes.len() as u64;
        let mut heard = Ok(());
        let split = splitter.push(bytes, |unit, bytes| {
            if heard.is_ok() {
                heard = hear(voice, packets, (unit, bytes)).and_then(|()| tell(voice, unit, sound, mono));
            }
        });
        heard.map_err(|problem| AudioError::Corrupt { container: *container, problem })?;
        split.map_err(|error| explain(*container, &error))?;
        splitter.forget_before(splitter.end());
        if sound.heard() > GRACE && sound.bytes_heard() > came.saturating_mul(RATIO) {
            return Err(AudioError::Inflated { container: *container, times: RATIO });
        }
        Ok(())
    }

    /// Says that the input has ended and appends what was still on its way.
    pub(super) fn finish(&mut self, mono: &mut Vec<i16>) -> Result<(), AudioError> {
        self.sound.flush(mono);
        if self.heard().is_zero() { Err(AudioError::Empty) } else { Ok(()) }
    }

    /// Returns the format of the input, once it is known.
    pub(super) fn format(&self) -> Option<Format> {
        let channels = u32::try_from(self.voice.as_ref()?.decoder.channels()).ok()?;
        let channels = Channels::try_from(channels).ok()?;
        Some(Format { encoding: Encoding::Linear16, rate: SampleRate::HZ_48000, channels })
    }

    /// Returns how much sound has been decoded.
    pub(super) fn heard(&self) -> Duration {
        self.sound.heard()
    }
}

/// Decodes the packets that a unit completes. One that cannot be decoded is silent for as long as it would last.
fn hear(voice: &mut Option<Voice>, packets: &mut Packets, (unit, bytes): (Unit, &[u8])) -> Result<(), String> {
    if unit.kind == UnitKind::Header {
        let decoder = Opus::new(Packets::head(bytes)).map_err(|error| error.to_string())?;
        let skip = decoder.pre_skip();
        *voice = Some(Voice { decoder, skip, frames: Vec::new() });
    }
    let Some(voice) = voice else { return Ok(()) };
    voice.frames.clear();
    // A decoder is other people's, and sees whatever callers send.
    let decoding = AssertUnwindSafe(|| packets.take(unit, bytes, |packet| voice.hear(packet)));
    catch_unwind(decoding).map_err(|_| "no packet is built like this".to_owned())?;
    let lasts = unit.samples as usize * voice.decoder.channels();
    voice.frames.resize(lasts, 0);
    Ok(())
}

/// Passes on what a unit became, less what is the encoder's.
fn tell(voice: &mut Option<Voice>, unit: Unit, sound: &mut Sound, mono: &mut Vec<i16>) -> Result<(), String> {
    let Some(voice) = voice else { return Ok(()) };
    let skipped = voice.skip.min(unit.samples as usize);
    voice.skip -= skipped;
    let channels = voice.decoder.channels();
    let samples = &voice.frames[skipped * channels..];
    let channels = u32::try_from(channels).unwrap_or(u32::MAX);
    sound.push(Interleaved { samples, rate: opus::RATE, channels }, mono).map_err(|error| error.to_string())
}

impl Voice {
    fn hear(&mut self, packet: &[u8]) {
        if let Ok(frames) = self.decoder.decode(packet) {
            self.frames.extend_from_slice(frames);
        }
    }
}

fn explain(container: Container, error: &SplitError) -> AudioError {
    match error {
        SplitError::Container { .. } | SplitError::Codec { .. } => AudioError::not_streamed(container),
        SplitError::Wav(_)
        | SplitError::Layout { .. }
        | SplitError::Damaged { .. }
        | SplitError::LongHeader { .. }
        | SplitError::ManyHeaders { .. } => AudioError::Corrupt { container, problem: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coded::{Ear, Recorder, Script, record};
    use crate::stream::AudioStream;

    const RATE: SampleRate = SampleRate::HZ_16000;
    const SCRIPT: Script = Script { session: 77, words: 25 };

    fn hear(file: &[u8], piece: usize) -> (Vec<i16>, AudioStream) {
        let (mut stream, mut mono) = (AudioStream::sniff(RATE), Vec::new());
        file.chunks(piece).for_each(|piece| stream.push(piece, &mut mono).unwrap());
        stream.finish(&mut mono).unwrap();
        (mono, stream)
    }

    #[test]
    fn every_word_of_a_recording_is_heard_as_it_comes() {
        for recorder in Recorder::ALL {
            let file = record(SCRIPT, recorder).unwrap();
            let (mono, stream) = hear(&file, 999);
            let (mut ear, mut heard) = (Ear::new(RATE), Vec::new());
            ear.push(&mono, &mut heard);
            ear.finish(&mut heard);
            let heard: Vec<_> = heard.iter().map(|word| (word.session, word.word_index)).collect();
            let said: Vec<_> = SCRIPT.words().map(|word| (SCRIPT.session, word.index)).collect();
            assert_eq!(heard, said, "{recorder:?}");
            let strays = stream.heard().abs_diff(SCRIPT.duration());
            assert!(strays < Duration::from_millis(30), "{strays:?} of {recorder:?}");
            assert_eq!(stream.input_format().unwrap().channels, Channels::MONO);
        }
    }

    #[test]
    fn streams_sound_like_files_however_they_are_cut() {
        use crate::file::{FileDecoder, Progress};
        let files: [&[u8]; 2] =
            [include_bytes!("../../fixtures/mono.opus"), include_bytes!("../../fixtures/stereo.webm")];
        for file in files {
            let mut decoder = FileDecoder::open(std::io::Cursor::new(file.to_vec()), RATE).unwrap();
            let mut whole = Vec::new();
            while decoder.decode(&mut whole).unwrap() == Progress::More {}
            let (mono, _) = hear(file, 100);
            assert!(mono == hear(file, file.len()).0);
            let shorter = mono.len().min(whole.len());
            assert!(
                mono[..shorter] == whole[..shorter] && mono.len().abs_diff(whole.len()) < 1_000,
                "{} and {}",
                mono.len(),
                whole.len()
            );
        }
    }

    #[test]
    fn a_bomb_is_given_up() {
        use crate::splitter::write;
        let head = [&b"OpusHead\x01\x01\0\0"[..], &48_000_u32.to_le_bytes(), &[0, 0, 0]].concat();
        // A packet of one byte may last 60 ms, and a page has room for 255.
        let packets = vec![vec![0x18]; 255];
        let file = write::ogg(&head, std::iter::repeat_n(&packets[..], 60), 2_880);
        let mut mono = Vec::new();
        let error = AudioStream::sniff(RATE).push(&file, &mut mono).unwrap_err();
        assert_eq!(error, AudioError::Inflated { container: Container::Ogg, times: 1_000 });
        assert!(mono.len() < 16_000 * 300, "{} samples came of {} bytes", mono.len(), file.len());
    }

    #[test]
    fn another_codec_and_damage_are_named() {
        let mut torn = record(SCRIPT, Recorder::Ogg).unwrap();
        torn[5_000] ^= 1;
        let error = AudioStream::sniff(RATE).push(&torn, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("Ogg is damaged"), "{error}");
        let vorbis = include_bytes!("../../fixtures/stereo-22k.ogg");
        let error = AudioStream::sniff(RATE).push(vorbis, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("cannot be heard as a stream"), "{error}");
    }
}
