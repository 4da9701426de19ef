//! A live stream as units, the smallest pieces that can be cut, and a valid new stream from any of them on: what a
//! session needs to go on at another engine in the middle of a caller's stream. Nothing is decoded, no size in the
//! stream is trusted, and memory holds one unfinished unit and the headers.
//!
//! Times are samples of the session's clock ([`Splitter::clock`]): of the declared rate, and of 48 kHz for Opus. A
//! unit's `start` is the sample that an engine hears first when its stream begins there. (Every decoder of Opus drops
//! the encoder's `pre_skip` again; so the first sound of a stream that begins at packet `p` is the one that lies
//! `pre_skip` after it, and an unbroken decoder, which dropped as much once, counts that one as `p`.)

mod error;
mod frames;
mod ogg;
mod opus;
mod packets;
mod webm;
pub(crate) mod write;
mod writer;

use crate::format::{Format, SampleRate};
use crate::pcm::PcmDecoder;
use crate::sniff::Container;
use crate::wav::WavParser;
pub use error::SplitError;
use frames::Frames;
use ogg::Ogg;
pub(crate) use packets::Packets;
use webm::Webm;
pub use writer::LegWriter;

/// The longest header of a container that is kept, in bytes.
pub const MAX_STREAM_HEADER: usize = 64 * 1024;
/// How often a stream may begin anew within what is kept of it.
const MAX_HEADERS: usize = 4;

/// Samples of Opus that a decoder needs to hear before what it hears counts: 80 ms (RFC 7845, section 4.6).
const OPUS_PREROLL: u64 = 3_840;

/// A piece of a stream that is sent whole or not at all. Its bytes are as they came, but for `WebM`, where they are the
/// packet alone, and for headers, which are as an engine shall get them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The sample that an engine hears first whose stream begins here; where the last unit ended.
    pub start: u64,
    /// How many samples it lasts.
    pub samples: u32,
    /// What may be done with it.
    pub kind: UnitKind,
}

/// What may be done with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitKind {
    /// The header of a container: at the start, and again where the caller's stream begins anew.
    Header,
    /// Raw samples, at most 20 ms of them. A stream may begin here; neighbours may be joined to one unit.
    Frames,
    /// Whole packets, or the beginning of one. A stream may begin here.
    Packets,
    /// Begins with the rest of a packet; no stream may begin here.
    Continued,
}

impl Unit {
    /// Returns where the next unit starts.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start + u64::from(self.samples)
    }

    /// Tells whether a stream may begin here.
    #[must_use]
    pub const fn may_begin(&self) -> bool {
        match self.kind {
            UnitKind::Frames | UnitKind::Packets => true,
            UnitKind::Header | UnitKind::Continued => false,
        }
    }
}

/// Cuts one live stream into units. After an error it must be dropped.
#[derive(Clone, Debug)]
pub struct Splitter {
    source: Source,
    /// Where each header that may be needed begins to hold, oldest first.
    headers: Vec<(u64, Box<[u8]>)>,
    end: u64,
}

#[derive(Clone, Debug)]
enum Source {
    /// Not enough bytes yet to tell what they are.
    Sniffing(Vec<u8>),
    Raw(Frames),
    /// A WAV file, and its sound once the header has told of it.
    Wav(Box<WavParser>, Option<Frames>),
    Ogg(Ogg),
    Webm(Webm),
}

impl Splitter {
    /// Splits raw audio, whose format the caller has told.
    #[must_use]
    pub const fn raw(format: Format) -> Self {
        Self::of(Source::Raw(Frames::new(format.bytes_per_frame(), format.rate)))
    }

    /// Splits a container, which its first bytes name.
    #[must_use]
    pub const fn sniff() -> Self {
        Self::of(Source::Sniffing(Vec::new()))
    }

    const fn of(source: Source) -> Self {
        Self { source, headers: Vec::new(), end: 0 }
    }

    /// Takes the next bytes, cut anywhere, and shows every unit that they complete, with its bytes. The units follow
    /// each other without a gap.
    ///
    /// # Errors
    /// When the stream cannot be cut into units from here on; those before it were shown.
    pub fn push(&mut self, bytes: &[u8], mut show: impl FnMut(Unit, &[u8])) -> Result<(), SplitError> {
        let Source::Sniffing(start) = &mut self.source else { return self.split(bytes, &mut show) };
        start.extend_from_slice(bytes);
        if start.len() < Container::PREFIX {
            return Ok(());
        }
        let start = std::mem::take(start);
        self.source = Source::known(&start)?;
        self.split(&start, &mut show)
    }

    fn split(&mut self, bytes: &[u8], show: &mut dyn FnMut(Unit, &[u8])) -> Result<(), SplitError> {
        let Self { source, headers, end } = self;
        let container = source.container();
        let mut kept = Ok(());
        let mut tell = |piece: Piece, bytes: &[u8]| {
            let unit = Unit { start: *end, samples: piece.samples, kind: piece.kind };
            *end = unit.end();
            if piece.kind == UnitKind::Header && kept.is_ok() {
                kept = keep(headers, container, (unit.start, bytes));
            }
            show(unit, bytes);
        };
        source.push(bytes, &mut tell)?;
        kept
    }

    /// Returns what the samples of units count, once that is known.
    #[must_use]
    pub const fn clock(&self) -> Option<SampleRate> {
        match &self.source {
            Source::Raw(frames) | Source::Wav(_, Some(frames)) => Some(frames.rate()),
            Source::Ogg(_) | Source::Webm(_) => Some(SampleRate::HZ_48000),
            Source::Sniffing(_) | Source::Wav(_, None) => None,
        }
    }

    /// Returns how many samples before the first that counts a stream must begin: its decoder needs them.
    #[must_use]
    pub const fn preroll(&self) -> u64 {
        match &self.source {
            Source::Ogg(_) | Source::Webm(_) => OPUS_PREROLL,
            Source::Sniffing(_) | Source::Raw(_) | Source::Wav(..) => 0,
        }
    }

    /// Returns a decoder of the bytes of a WAV stream's units, once its header has described them.
    #[must_use]
    pub fn wav_decoder(&self) -> Option<PcmDecoder> {
        match &self.source {
            Source::Wav(parser, Some(_)) => parser.decoder(),
            Source::Sniffing(_) | Source::Raw(_) | Source::Wav(_, None) | Source::Ogg(_) | Source::Webm(_) => None,
        }
    }

    /// Returns where the last unit ended.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Begins a new stream at `first`, which is the next unit to be written: writes the header to `out` and returns what
    /// writes the units. Its engine counts from `first.start`. Nothing when no stream can begin there.
    #[must_use]
    pub fn restart(&self, first: Unit, out: &mut Vec<u8>) -> Option<LegWriter> {
        if !first.may_begin() {
            return None;
        }
        let mut writer = LegWriter::new();
        if let Some((from, header)) = self.headers.iter().rfind(|(from, _)| *from <= first.start) {
            writer.write(Unit { start: *from, samples: 0, kind: UnitKind::Header }, header, out);
        }
        Some(writer)
    }

    /// Forgets the headers that no stream needs which begins at `from` or later.
    pub fn forget_before(&mut self, from: u64) {
        let needed = self.headers.iter().rposition(|(start, _)| *start <= from).unwrap_or_default();
        self.headers.drain(..needed);
    }
}

/// A unit that does not know its place yet.
#[derive(Clone, Copy, Debug)]
struct Piece {
    samples: u32,
    kind: UnitKind,
}

impl Piece {
    const HEADER: Self = Self { samples: 0, kind: UnitKind::Header };
}

/// What parsers show pieces to.
type Tell<'a> = dyn FnMut(Piece, &[u8]) + 'a;

fn keep(
    headers: &mut Vec<(u64, Box<[u8]>)>,
    container: Container,
    (from, header): (u64, &[u8]),
) -> Result<(), SplitError> {
    headers.retain(|(start, _)| *start < from);
    if headers.len() >= MAX_HEADERS {
        return Err(SplitError::ManyHeaders { container });
    }
    headers.push((from, header.into()));
    Ok(())
}

impl Source {
    fn known(start: &[u8]) -> Result<Self, SplitError> {
        match Container::of(start) {
            Container::Wav => Ok(Self::Wav(Box::default(), None)),
            Container::Ogg => Ok(Self::Ogg(Ogg::default())),
            Container::Webm => Ok(Self::Webm(Webm::default())),
            container => Err(SplitError::Container { container }),
        }
    }

    const fn container(&self) -> Container {
        match self {
            Self::Sniffing(_) | Self::Raw(_) => Container::Unknown,
            Self::Wav(..) => Container::Wav,
            Self::Ogg(_) => Container::Ogg,
            Self::Webm(_) => Container::Webm,
        }
    }

    fn push(&mut self, bytes: &[u8], tell: &mut Tell<'_>) -> Result<(), SplitError> {
        match self {
            Self::Sniffing(_) => Ok(()),
            Self::Raw(frames) => {
                frames.push(bytes, tell);
                Ok(())
            }
            Self::Wav(parser, frames) => push_wav(parser, frames, bytes, tell),
            Self::Ogg(ogg) => ogg.push(bytes, tell),
            Self::Webm(webm) => webm.push(bytes, tell),
        }
    }
}

fn push_wav(
    parser: &mut WavParser,
    frames: &mut Option<Frames>,
    bytes: &[u8],
    tell: &mut Tell<'_>,
) -> Result<(), SplitError> {
    let sound = parser.push(bytes)?;
    if let (None, Ok(())) = (&frames, parser.finish())
        && let (Some(header), Some(format), Some(decoder)) = (parser.new_header(), parser.format(), parser.decoder())
    {
        tell(Piece::HEADER, &header);
        *frames = Some(Frames::new(decoder.bytes_per_frame(), format.rate));
    }
    if let Some(frames) = frames {
        frames.push(sound, tell);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
