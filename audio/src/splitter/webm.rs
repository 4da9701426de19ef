//! `WebM` with Opus, taken apart down to its packets. The sizes of segments, clusters and groups are never looked at,
//! and their times neither: every element is told by its number wherever it stands, and every packet by its own
//! length. What an engine gets is written anew, since the caller's tables would not be true of it.

use super::opus::{self, OpusHead};
use super::{MAX_STREAM_HEADER, Piece, SplitError, Tell, UnitKind};
use crate::sniff::Container;

mod write;

pub(super) use write::{Blocks, header, is_header};

/// The longest element that is passed over after the header: a picture of a film, in bytes.
const MAX_SKIPPED: u64 = 8 << 20;
/// The longest packet: 48 frames of 1,275 bytes and their table (RFC 6716, section 3.2), of one stream.
const MAX_PACKET: u64 = 64 << 10;
/// The most tracks side by side.
const MAX_TRACKS: usize = 16;
/// The longest value of the header that is read: the description of the codec.
const MAX_VALUE: u64 = 4 << 10;

/// Elements (RFC 9559, section 5), by number.
mod id {
    pub(super) const EBML: u32 = 0x1a45_dfa3;
    pub(super) const SEGMENT: u32 = 0x1853_8067;
    pub(super) const INFO: u32 = 0x1549_a966;
    pub(super) const TRACKS: u32 = 0x1654_ae6b;
    pub(super) const TRACK: u32 = 0xae;
    pub(super) const AUDIO: u32 = 0xe1;
    pub(super) const TRACK_NUMBER: u32 = 0xd7;
    pub(super) const CODEC: u32 = 0x86;
    pub(super) const CODEC_PRIVATE: u32 = 0x63a2;
    pub(super) const ENCODINGS: u32 = 0x6d80;
    pub(super) const CLUSTER: u32 = 0x1f43_b675;
    pub(super) const CLUSTER_TIME: u32 = 0xe7;
    pub(super) const SIMPLE_BLOCK: u32 = 0xa3;
    pub(super) const GROUP: u32 = 0xa0;
    pub(super) const BLOCK: u32 = 0xa1;
}

/// Takes a stream of elements apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Webm {
    state: State,
    held: Vec<u8>,
    /// The bytes of the header so far; nothing once its clusters have begun.
    header: Option<usize>,
    tracks: Vec<Track>,
    /// The number of the track that is heard.
    heard: u64,
}

/// A track, as far as it has been described.
#[derive(Clone, Debug, Default)]
struct Track {
    number: u64,
    codec: Vec<u8>,
    private: Vec<u8>,
    packing: Packing,
}

/// Whether packets are as the encoder made them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Packing {
    #[default]
    Plain,
    /// Compressed or encrypted.
    Packed,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// An element's number and size.
    #[default]
    Element,
    /// A value of the header.
    Value { id: u32, size: usize },
    /// The beginning of a block of so many bytes: track, time and flags.
    Block { size: u64 },
    /// A packet.
    Packet { size: usize },
    /// Bytes of no interest.
    Skip(u64),
}

impl Webm {
    pub(super) fn push(&mut self, mut bytes: &[u8], tell: &mut Tell<'_>) -> Result<(), SplitError> {
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                State::Skip(left) => skip(left, bytes),
                State::Element | State::Value { .. } | State::Block { .. } | State::Packet { .. } => {
                    self.hold(bytes)?
                }
            };
            self.count_header(taken)?;
            bytes = &bytes[taken..];
            self.go_on(tell)?;
        }
        Ok(())
    }

    /// Keeps what is missing of the piece at hand and returns how much that was.
    fn hold(&mut self, bytes: &[u8]) -> Result<usize, SplitError> {
        let missing = self.wanted()? - self.held.len();
        let taken = missing.min(bytes.len());
        self.held.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// Counts the bytes that must be held before the piece at hand can be read, as far as can be told yet.
    fn wanted(&self) -> Result<usize, SplitError> {
        match self.state {
            State::Element => wanted_element(&self.held),
            State::Value { size, .. } | State::Packet { size } => Ok(size),
            State::Block { .. } => self.held.first().map_or(Ok(1), |first| Ok(width(*first, 4)? + 3)),
            State::Skip(_) => Ok(0),
        }
    }

    fn count_header(&mut self, taken: usize) -> Result<(), SplitError> {
        let Some(header) = &mut self.header else { return Ok(()) };
        *header += taken;
        if *header > MAX_STREAM_HEADER { Err(SplitError::LongHeader { container: Container::Webm }) } else { Ok(()) }
    }

    /// Reads every piece that is complete.
    fn go_on(&mut self, tell: &mut Tell<'_>) -> Result<(), SplitError> {
        match self.state {
            State::Skip(0) => self.state = State::Element,
            State::Skip(_) => return Ok(()),
            State::Element | State::Value { .. } | State::Block { .. } | State::Packet { .. } => {}
        }
        while !self.held.is_empty() && self.held.len() == self.wanted()? {
            let held = std::mem::take(&mut self.held);
            self.state = self.read(&held, tell)?;
            self.held = held;
            self.held.clear();
        }
        Ok(())
    }

    fn read(&mut self, held: &[u8], tell: &mut Tell<'_>) -> Result<State, SplitError> {
        match self.state {
            State::Element => self.element(held, tell),
            State::Value { id, .. } => {
                self.value(id, held);
                Ok(State::Element)
            }
            State::Block { size } => self.block(size, held),
            State::Packet { .. } => {
                let samples = opus::samples(held).map_err(damaged)?;
                tell(Piece { samples, kind: UnitKind::Packets }, held);
                Ok(State::Element)
            }
            State::Skip(left) => Ok(State::Skip(left)),
        }
    }

    /// Chooses what becomes of an element by its number; those that hold others are gone into.
    fn element(&mut self, held: &[u8], tell: &mut Tell<'_>) -> Result<State, SplitError> {
        let (id, size) = head(held)?;
        match id {
            id::EBML => self.begin(),
            id::SEGMENT | id::GROUP => return Ok(State::Element),
            id::CLUSTER => return self.end_header(tell),
            id::TRACKS | id::AUDIO | id::TRACK if self.header.is_some() => return self.describe(id),
            id::ENCODINGS => {
                self.tracks.iter_mut().last().into_iter().for_each(|track| track.packing = Packing::Packed)
            }
            _ => {}
        }
        let size = size.ok_or(damaged("an element without a size holds what cannot be"))?;
        match id {
            id::SIMPLE_BLOCK | id::BLOCK => Ok(State::Block { size }),
            id::TRACK_NUMBER | id::CODEC | id::CODEC_PRIVATE
                if self.header.is_some() && (1..=MAX_VALUE).contains(&size) =>
            {
                Ok(State::Value { id, size: usize::try_from(size).unwrap_or_default() })
            }
            _ => skipping(size),
        }
    }

    /// Goes into what describes tracks.
    fn describe(&mut self, id: u32) -> Result<State, SplitError> {
        if id == id::TRACK {
            self.tracks.push(Track::default());
        }
        if self.tracks.len() > MAX_TRACKS { Err(layout("more tracks than people record")) } else { Ok(State::Element) }
    }

    /// Begins a stream, the first or, where a caller's recorder was started again, another.
    fn begin(&mut self) {
        self.header = Some(self.header.unwrap_or_default());
        self.tracks.clear();
    }

    fn value(&mut self, id: u32, value: &[u8]) {
        let Some(track) = self.tracks.last_mut() else { return };
        match id {
            id::TRACK_NUMBER => track.number = number(value),
            id::CODEC => value.clone_into(&mut track.codec),
            id::CODEC_PRIVATE => value.clone_into(&mut track.private),
            _ => {}
        }
    }

    fn end_header(&mut self, tell: &mut Tell<'_>) -> Result<State, SplitError> {
        if self.header.take().is_none() {
            return Ok(State::Element);
        }
        let track = self.tracks.iter().find(|track| track.codec == b"A_OPUS");
        let track = track.ok_or(SplitError::Codec { container: Container::Webm })?;
        if track.packing == Packing::Packed {
            return Err(layout("packets that are packed or encrypted"));
        }
        let head = OpusHead::read(&track.private).ok_or(SplitError::Codec { container: Container::Webm })?;
        self.heard = track.number;
        tell(Piece::HEADER, &header(head, &track.private));
        Ok(State::Element)
    }

    /// Looks at the beginning of a block: whether it is of the track that is heard, and one packet.
    fn block(&self, size: u64, held: &[u8]) -> Result<State, SplitError> {
        let (track, rest) = held.split_at(held.len() - 3);
        let packet = size.checked_sub(held.len() as u64).ok_or(damaged("a block ends inside its head"))?;
        if self.header.is_some() {
            return Err(damaged("sound begins before its description has ended"));
        }
        if vint(track) != Some(self.heard) || packet == 0 {
            return skipping(packet);
        }
        match rest {
            [_, _, flags] if flags & 0x06 != 0 => Err(layout("several packets in a block")),
            _ if packet > MAX_PACKET => Err(damaged("a packet is too long to be one")),
            _ => Ok(State::Packet { size: usize::try_from(packet).unwrap_or_default() }),
        }
    }
}

/// Passes over an element's content.
const fn skipping(size: u64) -> Result<State, SplitError> {
    match size {
        0 => Ok(State::Element),
        1..=MAX_SKIPPED => Ok(State::Skip(size)),
        _ => Err(damaged("an element is too long to be passed over")),
    }
}

fn skip(left: &mut u64, bytes: &[u8]) -> usize {
    let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
    *left -= taken as u64;
    taken
}

fn wanted_element(held: &[u8]) -> Result<usize, SplitError> {
    let Some(first) = held.first() else { return Ok(1) };
    let id = width(*first, 4)?;
    held.get(id).map_or(Ok(id + 1), |size| Ok(id + width(*size, 8)?))
}

/// Counts the bytes of a number by its first one (RFC 8794, section 4): as many as it has leading zeros, and one.
fn width(first: u8, most: usize) -> Result<usize, SplitError> {
    let width = first.leading_zeros() as usize + 1;
    if width > most { Err(damaged("an element's number or size is none")) } else { Ok(width) }
}

/// Reads an element's number and, unless it is left open, its size.
fn head(held: &[u8]) -> Result<(u32, Option<u64>), SplitError> {
    let (id, size) = held.split_at(width(held.first().copied().unwrap_or_default(), 4)?);
    Ok((u32::try_from(number(id)).unwrap_or_default(), vint(size)))
}

/// Reads a number without the bit that tells its width; nothing if all others are ones, which means unknown.
fn vint(bytes: &[u8]) -> Option<u64> {
    let mask = (1_u64 << (7 * bytes.len())) - 1;
    Some(number(bytes) & mask).filter(|value| *value != mask)
}

/// Reads up to eight bytes, highest first; more have overflowed.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

const fn damaged(problem: &'static str) -> SplitError {
    SplitError::Damaged { container: Container::Webm, problem }
}

const fn layout(what: &'static str) -> SplitError {
    SplitError::Layout { container: Container::Webm, what }
}
