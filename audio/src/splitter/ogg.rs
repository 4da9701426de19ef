//! Ogg pages (RFC 3533) of one stream of Opus (RFC 7845), taken apart as far as a new stream needs: which page begins
//! with a whole packet, and how long each lasts.

use super::opus::{self, OpusHead};
use super::{MAX_STREAM_HEADER, Piece, SplitError, Tell, UnitKind};
use crate::sniff::Container;

/// The bytes of a page before its table of segments.
const FIXED: usize = 27;
/// The bit of a page that begins with the rest of a packet.
const CONTINUED: u8 = 1;
/// The bits of the first and of the last page of a stream.
const FIRST: u8 = 2;
const LAST: u8 = 4;
/// What stands in place of a granule where no packet ends.
pub(super) const NO_GRANULE: u64 = u64::MAX;

/// A page, whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a> {
    bytes: &'a [u8],
}

impl<'a> Page<'a> {
    /// Counts the bytes that must be there before more can be told: of a whole page, all of them. At most 65,307.
    fn wanted(start: &[u8]) -> usize {
        let Some(segments) = start.get(FIXED - 1).map(|segments| usize::from(*segments)) else { return FIXED };
        let table = start.get(FIXED..FIXED + segments).map(|table| table.iter().map(|len| usize::from(*len)).sum());
        FIXED + segments + table.unwrap_or(0)
    }

    /// Returns the page that `bytes` begin with, if all of it is there.
    pub(super) fn first_of(bytes: &'a [u8]) -> Option<Self> {
        let whole = bytes.get(..Self::wanted(bytes))?;
        (Self::wanted(whole) == whole.len()).then_some(Self { bytes: whole })
    }

    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    const fn has(&self, flag: u8) -> bool {
        self.bytes[5] & flag != 0
    }

    pub(super) fn granule(&self) -> u64 {
        self.bytes[6..].first_chunk().map_or(NO_GRANULE, |granule| u64::from_le_bytes(*granule))
    }

    fn serial(&self) -> [u8; 4] {
        self.bytes[14..].first_chunk().copied().unwrap_or_default()
    }

    fn is_whole(&self) -> bool {
        self.bytes.starts_with(b"OggS\0") && self.bytes[22..26] == checksum(self.bytes).to_le_bytes()
    }

    /// Lists the pieces of packets in the page, in order.
    pub(super) fn parts(&self) -> Parts<'a> {
        let (table, body) = self.bytes[FIXED..].split_at(usize::from(self.bytes[FIXED - 1]));
        Parts { table, body }
    }
}

/// A packet in a page, or the part of one.
pub(super) struct Part<'a> {
    pub(super) bytes: &'a [u8],
    /// Whether the packet ends in this page.
    pub(super) ends: bool,
}

pub(super) struct Parts<'a> {
    table: &'a [u8],
    body: &'a [u8],
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        if self.table.is_empty() {
            return None;
        }
        let last = self.table.iter().position(|len| *len < 255);
        let (segments, table) = self.table.split_at(last.map_or(self.table.len(), |last| last + 1));
        let len: usize = segments.iter().map(|len| usize::from(*len)).sum();
        let (bytes, body) = self.body.split_at(len.min(self.body.len()));
        (self.table, self.body) = (table, body);
        Some(Part { bytes, ends: last.is_some() })
    }
}

/// Sums up a page as its bytes 22 to 25 tell it, which count as zero.
pub(super) fn checksum(page: &[u8]) -> u32 {
    let (head, rest) = page.split_at(page.len().min(22));
    let rest = rest.get(4..).unwrap_or_default();
    head.iter()
        .chain(&[0; 4])
        .chain(rest)
        .fold(0, |sum, byte| sum << 8 ^ TABLE[((sum >> 24) ^ u32::from(*byte)) as usize])
}

/// The remainders of the polynomial 0x04c11db7, highest bit first (RFC 3533, section 6).
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index: u32 = 0;
    while index < 256 {
        let mut rest = index << 24;
        let mut bit = 0;
        while bit < 8 {
            rest = if rest >> 31 == 1 { rest << 1 ^ 0x04c1_1db7 } else { rest << 1 };
            bit += 1;
        }
        table[index as usize] = rest;
        index += 1;
    }
    table
};

/// Takes a stream of pages apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Ogg {
    page: Vec<u8>,
    link: Link,
}

/// One stream from its first page to its last.
#[derive(Clone, Debug, Default)]
struct Link {
    stage: Stage,
    serial: [u8; 4],
    /// The pages of the header so far.
    header: Vec<u8>,
    /// How long the packet lasts whose end is yet to come.
    open: Option<u32>,
    /// The granule of the last page in which a packet ended.
    granule: u64,
}

/// What the next page of a link holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// The first page.
    #[default]
    Head,
    /// Tags, which end with a page.
    Tags,
    Sound,
}

impl Ogg {
    pub(super) fn push(&mut self, mut bytes: &[u8], tell: &mut Tell<'_>) -> Result<(), SplitError> {
        while !bytes.is_empty() {
            let missing = Page::wanted(&self.page) - self.page.len();
            let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
            self.page.extend_from_slice(taken);
            bytes = rest;
            if let Some(page) = Page::first_of(&self.page) {
                self.link.take(page, tell)?;
                self.page.clear();
            }
        }
        Ok(())
    }
}

impl Link {
    fn take(&mut self, page: Page<'_>, tell: &mut Tell<'_>) -> Result<(), SplitError> {
        if !page.is_whole() {
            return Err(damaged("a page does not begin where the last one ended, or its checksum is wrong"));
        }
        if page.has(FIRST) {
            return self.begin(page);
        }
        if self.stage == Stage::Head || page.serial() != self.serial {
            return Err(layout("more than one stream side by side"));
        }
        match self.stage {
            Stage::Head | Stage::Tags => self.take_tags(page, tell),
            Stage::Sound => self.take_sound(page, tell),
        }
    }

    fn begin(&mut self, page: Page<'_>) -> Result<(), SplitError> {
        if self.stage == Stage::Tags {
            return Err(layout("more than one stream side by side"));
        }
        let mut parts = page.parts();
        let (Some(head), None) = (parts.next(), parts.next()) else { return Err(damaged("its first page is none")) };
        if !head.ends || OpusHead::read(head.bytes).is_none() {
            return Err(SplitError::Codec { container: Container::Ogg });
        }
        *self = Self { stage: Stage::Tags, serial: page.serial(), header: page.bytes.to_vec(), ..Self::default() };
        Ok(())
    }

    fn take_tags(&mut self, page: Page<'_>, tell: &mut Tell<'_>) -> Result<(), SplitError> {
        if self.header.len() + page.len() > MAX_STREAM_HEADER {
            return Err(SplitError::LongHeader { container: Container::Ogg });
        }
        self.header.extend_from_slice(page.bytes);
        let mut ends = page.parts().map(|part| part.ends);
        match (ends.next(), ends.next()) {
            (Some(true), None) => {
                tell(Piece::HEADER, &std::mem::take(&mut self.header));
                self.stage = Stage::Sound;
                Ok(())
            }
            (Some(false) | None, None) => Ok(()),
            (_, Some(_)) => Err(damaged("sound begins in a page of its tags")),
        }
    }

    fn take_sound(&mut self, page: Page<'_>, tell: &mut Tell<'_>) -> Result<(), SplitError> {
        let kind = if page.has(CONTINUED) { UnitKind::Continued } else { UnitKind::Packets };
        let samples = self.count(page, kind)?;
        let samples = samples - self.padding(page, samples);
        tell(Piece { samples, kind }, page.bytes);
        Ok(())
    }

    /// Counts the samples of the packets that end in the page.
    fn count(&mut self, page: Page<'_>, kind: UnitKind) -> Result<u32, SplitError> {
        let mut samples = 0;
        let begun = self.open.take();
        // The rest of a packet whose beginning never came counts for nothing.
        let mut open = (kind == UnitKind::Continued).then(|| begun.unwrap_or_default());
        for part in page.parts() {
            let lasts = open.take().map_or_else(|| opus::samples(part.bytes), Ok).map_err(damaged)?;
            if part.ends {
                samples += lasts;
            } else {
                self.open = Some(lasts);
            }
        }
        Ok(samples)
    }

    /// Counts the samples at the end of the last page that are not to be heard: its granule comes too early for them.
    fn padding(&mut self, page: Page<'_>, samples: u32) -> u32 {
        let granule = page.granule();
        let expected = self.granule.saturating_add(u64::from(samples));
        if granule != NO_GRANULE {
            self.granule = granule;
        }
        let early = u32::try_from(expected.saturating_sub(granule)).unwrap_or(u32::MAX);
        if page.has(LAST) && early <= samples { early } else { 0 }
    }
}

const fn damaged(problem: &'static str) -> SplitError {
    SplitError::Damaged { container: Container::Ogg, problem }
}

const fn layout(what: &'static str) -> SplitError {
    SplitError::Layout { container: Container::Ogg, what }
}
