//! Files in containers: FLAC, MP3, Ogg, `WebM`, M4A, AAC and AIFF. Apart from streams because parts of such a file
//! refer to each other: an M4A may keep at its end what is needed to understand its beginning, so a decoder pulls from
//! something it can seek in, one packet at a time, and blocks while that is read.
//!
//! The parsers are other people's and see whatever callers send. So they read through a meter, their panics end in an
//! error, and what they make of a file is bounded against its size.

mod access;
mod bounds;
mod codec;
mod metered;
pub(crate) mod opus;
pub(crate) mod sound;

use std::io::{Error as IoError, ErrorKind, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use symphonia::core::common::Limit;
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType, probe::Hint};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use self::bounds::{Budget, Damage};
use self::codec::Codec;
use self::metered::{Meter, Metered};
use self::sound::Sound;
use crate::error::AudioError;
use crate::format::{Channels, SampleRate};
use crate::sniff::Container;

/// Whether there may be more sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// One more packet was decoded.
    More,
    /// The file has ended, or broken off; what was on its way has come out.
    Ended,
}

/// Decodes one file to mono samples at a target rate, a packet at a time, in bounded memory whatever comes.
pub struct FileDecoder {
    container: Container,
    reader: Box<dyn FormatReader>,
    track: Track,
    meter: Meter,
    sound: Sound,
    budget: Budget,
    damage: Damage,
}

/// The track that is heard.
struct Track {
    id: u32,
    codec: Codec,
    channels: Channels,
    promised: Option<Duration>,
}

impl FileDecoder {
    /// Reads the start of a file, and of some kinds the end. Blocks while `file` does.
    ///
    /// # Errors
    /// When the file cannot be read, is of a kind that is not decoded, is damaged, or holds no sound.
    pub fn open<R>(mut file: R, target: SampleRate) -> Result<Self, AudioError>
    where
        R: Read + Seek + Send + Sync + 'static,
    {
        let container = sniff(&mut file)?;
        let metered = Metered::new(file, container).map_err(unreadable)?;
        let (meter, file_len) = (metered.meter(), metered.len());
        let opening = caught(container, || {
            let reader = probe(metered).map_err(Failure::in_container)?;
            let track = Track::choose(reader.as_ref())?;
            Ok((reader, track))
        });
        let (reader, track) = opening.map_err(|failure| failure.into_error(container, &meter))?;
        let (sound, budget, damage) = (Sound::new(target), Budget::new(file_len), Damage::default());
        Ok(Self { container, reader, track, meter, sound, budget, damage })
    }

    /// Ends with an error once the file has lasted longer than `limit` instead of [`crate::MAX_DURATION`].
    #[must_use]
    pub const fn with_limit(mut self, limit: Duration) -> Self {
        self.budget.limit = limit;
        self
    }

    /// Decodes one packet and appends its samples to `mono`: at most a few seconds. Blocks while the file is read.
    ///
    /// A packet that cannot be decoded is left out and counted. A file that breaks off ends there.
    ///
    /// # Errors
    /// When the file is damaged, holds too much sound or none at all; the decoder must then be dropped.
    pub fn decode(&mut self, mono: &mut Vec<i16>) -> Result<Progress, AudioError> {
        self.meter.next_packet();
        let container = self.container;
        let step = caught(container, || self.step(mono)).map_err(|failure| failure.into_error(container, &self.meter));
        if step? == Progress::More {
            return self.budget.check(container, &self.sound).map(|()| Progress::More);
        }
        self.sound.flush(mono);
        if self.sound.heard().is_zero() { Err(self.damage.explain(container)) } else { Ok(Progress::Ended) }
    }

    /// Returns what kind of file it is.
    #[must_use]
    pub const fn container(&self) -> Container {
        self.container
    }

    /// Returns how many channels are mixed into the one that comes out.
    #[must_use]
    pub const fn channels(&self) -> Channels {
        self.track.channels
    }

    /// Returns how long the file promises to be, where it does. Files lie.
    #[must_use]
    pub const fn promised(&self) -> Option<Duration> {
        self.track.promised
    }

    /// Returns how much sound has been decoded.
    #[must_use]
    pub fn heard(&self) -> Duration {
        self.sound.heard()
    }

    /// Counts the packets that were left out because they could not be decoded.
    #[must_use]
    pub const fn damaged(&self) -> u64 {
        self.damage.packets
    }

    fn step(&mut self, mono: &mut Vec<i16>) -> Result<Progress, Failure> {
        match self.reader.next_packet() {
            Ok(Some(packet)) => self.hear(&packet, mono)?,
            Ok(None) => return Ok(Progress::Ended),
            Err(Error::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Progress::Ended),
            Err(Error::ResetRequired) => self.track = Track::choose(self.reader.as_ref())?,
            Err(error) => return Err(error.into()),
        }
        Ok(Progress::More)
    }

    fn hear(&mut self, packet: &Packet, mono: &mut Vec<i16>) -> Result<(), Failure> {
        self.budget.count_packet()?;
        if packet.track_id != self.track.id {
            return Ok(());
        }
        match self.track.codec.decode(packet) {
            Ok(decoded) => self.sound.push(decoded, mono).map_err(|error| Failure::Codec(error.to_string())),
            Err(problem) => {
                self.damage.count(problem);
                Ok(())
            }
        }
    }
}

impl Track {
    fn choose(reader: &dyn FormatReader) -> Result<Self, Failure> {
        let missing = || Failure::Codec("no track of sound".to_owned());
        let track = reader.default_track(TrackType::Audio).ok_or_else(missing)?;
        let codec = Codec::new(track)?;
        let channels = codec.channels()?;
        Ok(Self { id: track.id, codec, channels, promised: promised(track) })
    }
}

fn promised(track: &symphonia::core::formats::Track) -> Option<Duration> {
    let length = track.time_base?.calc_duration(track.duration?)?;
    Duration::try_from_secs_f64(length.as_secs_f64()).ok().filter(|length| !length.is_zero())
}

/// What went wrong inside, before it is known which file it was.
#[derive(Debug)]
enum Failure {
    /// The parser or the meter says no.
    Damaged(String),
    /// The container is fine, its content is not decoded here.
    Codec(String),
    /// The file cannot be read.
    Unreadable(ErrorKind),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Self::Damaged("it ends before its sound begins".to_owned())
            }
            Error::IoError(error) => Self::Unreadable(error.kind()),
            Error::Unsupported(what) => Self::Codec(what.to_owned()),
            Error::DecodeError(what) | Error::LimitError(what) => Self::Damaged(what.to_owned()),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl Failure {
    /// The parsers call a container unsupported when a part of it is missing.
    fn in_container(error: Error) -> Self {
        match Self::from(error) {
            Self::Codec(problem) => Self::Damaged(problem),
            other => other,
        }
    }

    fn into_error(self, container: Container, meter: &Meter) -> AudioError {
        match self {
            Self::Unreadable(_) if meter.is_empty() => {
                AudioError::Corrupt { container, problem: "its parts are too far from each other".to_owned() }
            }
            Self::Unreadable(kind) => AudioError::Unreadable(kind),
            Self::Damaged(problem) => AudioError::Corrupt { container, problem },
            Self::Codec(problem) => AudioError::Codec { container, problem },
        }
    }
}

/// Turns a panic of a parser into an error: it has seen bytes that its author had not thought of.
fn caught<T>(container: Container, parse: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let panicked = |_| Err(Failure::Damaged(format!("no {container} is built like this")));
    catch_unwind(AssertUnwindSafe(parse)).unwrap_or_else(panicked)
}

fn sniff(file: &mut (impl Read + Seek)) -> Result<Container, AudioError> {
    let mut start = Vec::with_capacity(Container::PREFIX);
    file.rewind().map_err(unreadable)?;
    file.by_ref().take(Container::PREFIX as u64).read_to_end(&mut start).map_err(unreadable)?;
    let container = Container::of(&start);
    if start.is_empty() {
        Err(AudioError::Empty)
    } else if container.is_packed() {
        Ok(container)
    } else {
        Err(AudioError::Unsupported { container })
    }
}

fn probe<R>(file: Metered<R>) -> Result<Box<dyn FormatReader>, Error>
where
    R: Read + Seek + Send + Sync + 'static,
{
    let stream = MediaSourceStream::new(Box::new(file), Default::default());
    let metadata = MetadataOptions::default().limit_visual_bytes(Limit::Maximum(0));
    symphonia::default::get_probe().probe(&Hint::new(), stream, FormatOptions::default(), metadata)
}

#[expect(clippy::needless_pass_by_value, reason = "it is the shape that map_err takes")]
fn unreadable(error: IoError) -> AudioError {
    AudioError::Unreadable(error.kind())
}

#[cfg(test)]
mod tests;
