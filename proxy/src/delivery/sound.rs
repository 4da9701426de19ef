//! The sound of a spooled file, chunk by chunk: decoded on threads that may block, never more of it than the next chunk.
//! What can be heard as a stream is followed while it still comes in.

use std::time::Duration;

use audio::{AudioError, AudioStream, Chunk, Container, Cutter, Encoding, FileDecoder, Format, Progress, SampleRate};
use bytes::Bytes;
use session::CloseReason;
use tokio::task::{JoinError, spawn_blocking};

use super::Failure;
use super::spool::{Spool, Stage, broken_off};

/// The rate that every engine hears at.
pub(super) const RATE: SampleRate = SampleRate::HZ_16000;
/// Bytes read from the spool at once.
const PIECE: usize = 256 << 10;
/// Samples decoded at once, at least: five seconds.
const STEP: usize = 5 * 16_000;

/// A file's sound, of which some was taken.
pub(super) struct Sound {
    spool: Spool,
    /// Bytes that were read.
    place: u64,
    tape: Tape,
}

/// A decoder, and the sound it has made.
struct Tape {
    source: Source,
    cutter: Cutter,
    progress: Progress,
}

enum Source {
    Stream(Box<AudioStream>),
    File(Box<FileDecoder>),
}

/// The sound of one chunk.
#[derive(Debug)]
pub(super) struct Cut {
    /// Where it begins in the file.
    pub(super) start: Duration,
    /// How long it is.
    pub(super) length: Duration,
    /// Its samples, as engines take them: 16 bits, little endian.
    pub(super) bytes: Vec<u8>,
}

impl Sound {
    /// Opens a file that is of `format` if it is raw, to be cut into chunks of at most `longest`.
    pub(super) async fn open(spool: Spool, format: Option<Format>, longest: Duration) -> Result<Self, Failure> {
        let start = spool.read(0, Container::PREFIX).await.map_err(|error| unreadable(&error))?;
        let source = match format {
            Some(format) => Source::Stream(Box::new(AudioStream::raw(format, RATE))),
            None if Container::of(&start).is_packed() => Source::File(open_packed(&spool).await?),
            None => Source::Stream(Box::new(AudioStream::sniff(RATE))),
        };
        let cutter = Cutter::new(RATE, longest);
        Ok(Self { spool, place: 0, tape: Tape { source, cutter, progress: Progress::More } })
    }

    /// Takes the next chunk, or nothing once all of them were taken.
    pub(super) async fn next(self) -> Result<(Self, Option<Cut>), Failure> {
        let Self { spool, mut place, mut tape } = self;
        loop {
            if let Some(cut) = tape.cut() {
                return Ok((Self { spool, place, tape }, Some(cut)));
            }
            let piece = match &tape.source {
                Source::Stream(_) if tape.progress == Progress::More => {
                    spool.read(place, PIECE).await.map_err(|error| unreadable(&error))?
                }
                Source::Stream(_) | Source::File(_) => Bytes::new(),
            };
            place += piece.len() as u64;
            let step = spawn_blocking(move || tape.step(&piece)).await.map_err(|error| ended_early(&error))?;
            let cut;
            (tape, cut) = step.map_err(|error| Failure::of_audio(&error))?;
            if cut.is_some() || tape.progress == Progress::Ended {
                return Ok((Self { spool, place, tape }, cut));
            }
        }
    }

    /// Returns how much was decoded.
    pub(super) fn heard(&self) -> Duration {
        match &self.tape.source {
            Source::Stream(stream) => stream.heard(),
            Source::File(file) => file.heard(),
        }
    }

    /// Counts the channels of the file.
    pub(super) fn channels(&self) -> usize {
        match &self.tape.source {
            Source::Stream(stream) => stream.input_format().map_or(1, |format| format.channels.count()),
            Source::File(file) => file.channels().count(),
        }
    }
}

async fn open_packed(spool: &Spool) -> Result<Box<FileDecoder>, Failure> {
    if spool.settled().await.stage == Stage::Broken {
        return Err(unreadable(&broken_off()));
    }
    let reader = spool.reader();
    let opened = spawn_blocking(move || FileDecoder::open(reader, RATE)).await.map_err(|error| ended_early(&error))?;
    opened.map(Box::new).map_err(|error| Failure::of_audio(&error))
}

impl Tape {
    /// Decodes on, and takes out a chunk if there is one then. An empty piece of a stream is its end.
    fn step(mut self, piece: &[u8]) -> Result<(Self, Option<Cut>), AudioError> {
        if self.progress == Progress::More {
            let mut samples = Vec::new();
            self.progress = self.source.decode(piece, &mut samples)?;
            self.cutter.push(&samples);
        }
        let cut = self.cut();
        Ok((self, cut))
    }

    fn cut(&mut self) -> Option<Cut> {
        let chunk = match self.progress {
            Progress::More => self.cutter.chunk(),
            Progress::Ended => self.cutter.rest(),
        };
        chunk.map(Cut::from)
    }
}

impl Source {
    fn decode(&mut self, piece: &[u8], samples: &mut Vec<i16>) -> Result<Progress, AudioError> {
        match self {
            Self::Stream(stream) if piece.is_empty() => {
                stream.finish(samples)?;
                if stream.heard().is_zero() { Err(AudioError::Empty) } else { Ok(Progress::Ended) }
            }
            Self::Stream(stream) => stream.push(piece, samples).map(|()| Progress::More),
            Self::File(file) => {
                let mut progress = Progress::More;
                while samples.len() < STEP && progress == Progress::More {
                    progress = file.decode(samples)?;
                }
                Ok(progress)
            }
        }
    }
}

impl From<Chunk> for Cut {
    fn from(Chunk { start, samples }: Chunk) -> Self {
        let mut bytes = Vec::with_capacity(samples.len() * Encoding::Linear16.bytes_per_sample());
        Encoding::Linear16.encode(&samples, &mut bytes);
        Self { start: RATE.duration_of(start), length: RATE.duration_of(samples.len() as u64), bytes }
    }
}

impl Failure {
    /// Tells why a file cannot be heard, in the words of an engine that was given it.
    pub(super) fn of_audio(error: &AudioError) -> Self {
        match error {
            AudioError::TooLong { .. } | AudioError::Inflated { .. } => {
                Self::new(CloseReason::UploadTooBig, error.to_string())
            }
            AudioError::Unreadable(kind) => unreadable(&(*kind).into()),
            AudioError::Unsupported { .. }
            | AudioError::NotStreamed { .. }
            | AudioError::Codec { .. }
            | AudioError::Corrupt { .. }
            | AudioError::Empty
            | AudioError::Wav(_) => {
                let text = format!("Bad Request: failed to process audio: corrupt or unsupported data: {error}");
                Self::new(CloseReason::BadAudio, text)
            }
        }
    }
}

/// A spool that breaks off has said so to its caller already.
fn unreadable(error: &std::io::Error) -> Failure {
    tracing::warn!(%error, "a spooled file cannot be read");
    Failure::new(CloseReason::NoCapacity, "the upload cannot be read again, please try again")
}

fn ended_early(error: &JoinError) -> Failure {
    tracing::error!(%error, "decoder of a file ended early");
    Failure::new(CloseReason::NoCapacity, "the upload cannot be decoded now, please try again")
}

#[cfg(test)]
mod tests {
    use audio::wav;
    use axum::body::Body;

    use super::super::Spools;
    use super::*;

    async fn cuts(file: Vec<u8>, format: Option<Format>) -> Result<(Vec<Cut>, Duration, usize), Failure> {
        let (intake, spool) = Spools::default().open(None);
        let opened = async {
            let mut sound = Sound::open(spool, format, Duration::from_secs(5)).await?;
            let mut cuts = Vec::new();
            loop {
                let (rest, cut) = sound.next().await?;
                sound = rest;
                let Some(cut) = cut else { return Ok((cuts, sound.heard(), sound.channels())) };
                cuts.push(cut);
            }
        };
        let (taken, cuts) = tokio::join!(intake.take_body(Body::from(file)), opened);
        taken.and(cuts)
    }

    #[tokio::test]
    async fn a_file_is_decoded_to_its_last_sample_while_it_comes_in() {
        let format = Format { channels: audio::Channels::STEREO, ..Format::SPEECH };
        let bytes: Vec<u8> = (0..17 * 64_000).map(|n: u32| (n / 640 % 50).to_le_bytes()[0]).collect();
        let file = [&wav::header(format, None)[..], &bytes].concat();
        for (file, format) in [(file, None), (bytes, Some(format))] {
            let (cuts, heard, channels) = cuts(file, format).await.unwrap();
            assert_eq!((heard, channels), (Duration::from_secs(17), 2));
            let mut place = Duration::ZERO;
            for cut in &cuts {
                assert_eq!(cut.start, place);
                assert_eq!(cut.bytes.len() as u64, RATE.samples_in(cut.length) * 2);
                place += cut.length;
            }
            assert_eq!((place, cuts.len()), (heard, 4));
        }
    }

    #[tokio::test]
    async fn a_packed_file_is_decoded_once_it_is_here() {
        let flac = include_bytes!("../../../audio/fixtures/mono-8k.flac").to_vec();
        let (cuts, heard, channels) = cuts(flac, None).await.unwrap();
        assert_eq!((heard, channels, cuts.len()), (Duration::from_millis(6_976), 1, 2));
    }

    #[tokio::test]
    async fn what_cannot_be_heard_is_refused_in_an_engines_words() {
        let bad = "Bad Request: failed to process audio: corrupt or unsupported data: ";
        let flac = include_bytes!("../../../audio/fixtures/mono-8k.flac");
        for (file, words) in [
            (wav::header(Format::SPEECH, None).to_vec(), "the audio is empty"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), "unsupported audio: it looks like a picture"),
            (flac[..100].to_vec(), "the FLAC"),
        ] {
            let failure = cuts(file, None).await.unwrap_err();
            assert_eq!(failure.reason, CloseReason::BadAudio);
            assert!(failure.text.starts_with(&format!("{bad}{words}")), "{}", failure.text);
        }
    }
}
