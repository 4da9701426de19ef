//! Whole streams out of packets, as callers' recorders write them.

use super::ogg::checksum;
use super::opus::OpusHead;
use super::webm;

/// The number of the one stream in the file.
const SERIAL: u32 = 815;
/// The flags of the first page, and of any other.
const FIRST: u8 = 2;
const MIDDLE: u8 = 0;

/// Writes pages, each of some packets of `lasts` samples.
pub(crate) fn ogg<'a>(head: &[u8], pages: impl Iterator<Item = &'a [Vec<u8>]>, lasts: usize) -> Vec<u8> {
    let mut file = Pages::default();
    file.write(FIRST, 0, &[head]);
    file.write(MIDDLE, 0, &[b"OpusTags\0\0\0\0\0\0\0\0"]);
    let mut granule = 0;
    for packets in pages {
        granule += (packets.len() * lasts) as u64;
        let packets: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
        file.write(MIDDLE, granule, &packets);
    }
    file.bytes
}

#[derive(Debug, Default)]
struct Pages {
    bytes: Vec<u8>,
    number: u32,
}

impl Pages {
    /// Writes a page of whole packets, together at most 255 times 255 bytes (RFC 3533, section 6).
    fn write(&mut self, flags: u8, granule: u64, packets: &[&[u8]]) {
        let table: Vec<u8> = packets.iter().flat_map(|packet| lacing(packet.len())).collect();
        let mut page = [&b"OggS\0"[..], &[flags], &granule.to_le_bytes(), &SERIAL.to_le_bytes()].concat();
        page.extend_from_slice(&self.number.to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        page.push(u8::try_from(table.len()).unwrap_or(u8::MAX));
        page.extend_from_slice(&table);
        packets.iter().for_each(|packet| page.extend_from_slice(packet));
        let sum = checksum(&page);
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        self.bytes.append(&mut page);
        self.number += 1;
    }
}

fn lacing(len: usize) -> impl Iterator<Item = u8> {
    let last = u8::try_from(len % 255).unwrap_or_default();
    std::iter::repeat_n(255, len / 255).chain([last])
}

/// Writes a block for every packet of `lasts` samples. Nothing where the header is none.
pub(crate) fn webm(head: &[u8], packets: &[Vec<u8>], lasts: usize) -> Vec<u8> {
    let Some(read) = OpusHead::read(head) else { return Vec::new() };
    let (mut file, mut blocks) = (webm::header(read, head), webm::Blocks::default());
    for (index, packet) in packets.iter().enumerate() {
        blocks.write((index * lasts) as u64, packet, &mut file);
    }
    file
}
