//! Packets of Opus out of units: what an engine decodes. Apart from the parsers because a packet may begin in one page
//! and end in another.

use super::ogg::Page;
use super::{MAX_STREAM_HEADER, Unit, UnitKind};

/// How the header of Opus begins, in whatever container.
const HEAD: &[u8] = b"OpusHead";

/// Puts the packets of one stream together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packets {
    /// The beginning of a packet whose end is yet to come; nothing where its beginning never came.
    open: Option<Vec<u8>>,
}

impl Packets {
    /// Finds the header of Opus in the header of a container, from its first byte on.
    pub(crate) fn head(header: &[u8]) -> &[u8] {
        let at = header.windows(HEAD.len()).position(|bytes| bytes == HEAD);
        at.map_or(&[], |at| &header[at..])
    }

    /// Takes a unit and shows every packet that it completes.
    pub(crate) fn take(&mut self, unit: Unit, bytes: &[u8], mut show: impl FnMut(&[u8])) {
        match unit.kind {
            UnitKind::Header => self.open = None,
            UnitKind::Frames => {}
            UnitKind::Packets | UnitKind::Continued => {
                match Page::first_of(bytes).filter(|page| page.len() == bytes.len()) {
                    Some(page) => self.take_page(page, unit.kind, &mut show),
                    None => show(bytes),
                }
            }
        }
    }

    fn take_page(&mut self, page: Page<'_>, kind: UnitKind, show: &mut impl FnMut(&[u8])) {
        let mut begun = self.open.take().filter(|_| kind == UnitKind::Continued);
        let mut is_rest = kind == UnitKind::Continued;
        for part in page.parts() {
            let packet = match (is_rest, begun.take()) {
                (false, _) => Some(part.bytes.to_vec()),
                (true, begun) => begun.map(|begun| [&begun[..], part.bytes].concat()),
            };
            is_rest = false;
            match packet {
                Some(packet) if part.ends => show(&packet),
                packet => self.open = packet.filter(|packet| packet.len() <= MAX_STREAM_HEADER),
            }
        }
    }
}
