//! Units as one leg's engine gets them: a valid stream from its first byte, whatever was cut away before it.

use super::ogg::{NO_GRANULE, Page, checksum};
use super::webm::{Blocks, is_header};
use super::{Unit, UnitKind};

/// Writes the units of one leg, in order and without a gap. Made by [`super::Splitter::restart`], or empty for a leg that
/// is given every unit from the first on.
#[derive(Clone, Copy, Debug, Default)]
pub struct LegWriter {
    form: Form,
}

/// How units become a stream, as the header at its start tells.
#[derive(Clone, Copy, Debug, Default)]
enum Form {
    /// As they are.
    #[default]
    Plain,
    /// As pages that are numbered anew, from the next number on.
    Ogg { next: u32, origin: Option<u64> },
    /// As blocks in clusters.
    Webm { blocks: Blocks, origin: Option<u64> },
}

impl LegWriter {
    /// Begins a leg that gets the stream from its first unit on.
    #[must_use]
    pub const fn new() -> Self {
        Self { form: Form::Plain }
    }

    /// Appends a unit to `out`.
    pub fn write(&mut self, unit: Unit, bytes: &[u8], out: &mut Vec<u8>) {
        match (unit.kind, &mut self.form) {
            (UnitKind::Header, form) => {
                *form = Form::after(bytes);
                out.extend_from_slice(bytes);
            }
            (UnitKind::Frames | UnitKind::Packets | UnitKind::Continued, Form::Plain) => out.extend_from_slice(bytes),
            (UnitKind::Frames | UnitKind::Packets | UnitKind::Continued, Form::Ogg { next, origin }) => {
                let origin = *origin.get_or_insert(unit.start);
                write_page(bytes, *next, unit.end().saturating_sub(origin), out);
                *next = next.wrapping_add(1);
            }
            (UnitKind::Frames | UnitKind::Packets | UnitKind::Continued, Form::Webm { blocks, origin }) => {
                let origin = *origin.get_or_insert(unit.start);
                blocks.write(unit.start.saturating_sub(origin), bytes, out);
            }
        }
    }
}

impl Form {
    fn after(header: &[u8]) -> Self {
        if header.starts_with(b"OggS") {
            Self::Ogg { next: count_pages(header), origin: None }
        } else if is_header(header) {
            Self::Webm { blocks: Blocks::default(), origin: None }
        } else {
            Self::Plain
        }
    }
}

fn count_pages(mut header: &[u8]) -> u32 {
    let mut pages = 0;
    while let Some(page) = Page::first_of(header) {
        header = &header[page.len()..];
        pages += 1;
    }
    pages
}

/// Writes a page with another number, end and checksum. (RFC 3533, section 6: bytes 6 to 13, 18 to 21, 22 to 25.)
fn write_page(bytes: &[u8], number: u32, end: u64, out: &mut Vec<u8>) {
    let from = out.len();
    out.extend_from_slice(bytes);
    let Some(granule) = Page::first_of(bytes).map(|page| page.granule()) else { return };
    let granule = if granule == NO_GRANULE { NO_GRANULE } else { end };
    let page = &mut out[from..];
    page[6..14].copy_from_slice(&granule.to_le_bytes());
    page[18..22].copy_from_slice(&number.to_le_bytes());
    let sum = checksum(page);
    page[22..26].copy_from_slice(&sum.to_le_bytes());
}
