//! `WebM` as an engine gets it: one track, and clusters of five seconds that begin where its leg begins.

use super::super::opus::OpusHead;
use super::id;

/// Samples at 48 kHz in a millisecond, in which `WebM` counts.
const PER_MILLI: u64 = 48;
/// The longest cluster in milliseconds; the times inside must fit into 16 bits.
const CLUSTER: u64 = 5_000;
/// What a decoder must hear before what it hears counts, in nanoseconds: 80 ms (RFC 7845, section 4.6).
const SEEK_PREROLL: u32 = 80_000_000;
/// The head of a block of track 1 is its track, two bytes of time and the flags of a packet that stands alone.
const BLOCK_HEAD: usize = 4;
const TRACK_ONE: u8 = 0x81;
const KEYFRAME: u8 = 0x80;
/// The size of what goes on until another of its kind begins.
const OPEN: [u8; 8] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// Tells whether a header is one of `WebM`.
pub(in crate::splitter) fn is_header(header: &[u8]) -> bool {
    header.starts_with(&id::EBML.to_be_bytes())
}

/// Writes everything that stands before the first cluster. `private` is the header of Opus as the caller sent it.
pub(in crate::splitter) fn header(head: OpusHead, private: &[u8]) -> Vec<u8> {
    let delay = u64::from(head.pre_skip) * 1_000_000 / PER_MILLI;
    let audio = [element(0xb5, &48_000_f32.to_be_bytes()), element(0x9f, &[u8::from(head.channels)])].concat();
    let track = [
        element(id::TRACK_NUMBER, &[1]),
        element(0x73c5, &[1]), // its number in other files too
        element(0x83, &[2]),   // sound
        element(id::CODEC, b"A_OPUS"),
        element(id::CODEC_PRIVATE, private),
        element(0x56aa, &delay.to_be_bytes()),
        element(0x56bb, &SEEK_PREROLL.to_be_bytes()),
        element(id::AUDIO, &audio),
    ];
    let names = [element(0x4d80, b"crosspoint"), element(0x5741, b"crosspoint")].concat();
    let info = [element(0x2a_d7b1, &1_000_000_u32.to_be_bytes()), names].concat();
    let parts = [
        element(id::EBML, &ebml()),
        [&id::SEGMENT.to_be_bytes()[..], &OPEN].concat(),
        element(id::INFO, &info),
        element(id::TRACKS, &element(id::TRACK, &track.concat())),
    ];
    parts.concat()
}

/// The versions and the kind of the document.
fn ebml() -> Vec<u8> {
    let parts = [
        element(0x4286, &[1]),
        element(0x42f7, &[1]),
        element(0x42f2, &[4]),
        element(0x42f3, &[8]),
        element(0x4282, b"webm"),
        element(0x4287, &[4]),
        element(0x4285, &[2]),
    ];
    parts.concat()
}

fn element(id: u32, content: &[u8]) -> Vec<u8> {
    let mut element = Vec::with_capacity(content.len() + 8);
    begin(id, content.len(), &mut element);
    element.extend_from_slice(content);
    element
}

/// Writes an element's number and size, the latter in four bytes; nothing here is as long as 256 MB.
fn begin(id: u32, size: usize, out: &mut Vec<u8>) {
    out.extend(id.to_be_bytes().into_iter().skip_while(|byte| *byte == 0));
    let size = u32::try_from(size).unwrap_or_default();
    out.extend_from_slice(&(size & 0x0fff_ffff | 0x1000_0000).to_be_bytes());
}

/// Writes packets as blocks, and a cluster where one is due.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::splitter) struct Blocks {
    /// When the last cluster began, in milliseconds.
    cluster: Option<u64>,
}

impl Blocks {
    /// Writes a packet that begins `since` samples after the stream.
    pub(in crate::splitter) fn write(&mut self, since: u64, packet: &[u8], out: &mut Vec<u8>) {
        let millis = since / PER_MILLI;
        let cluster = match self.cluster.filter(|begun| millis - begun < CLUSTER) {
            Some(begun) => begun,
            None => {
                out.extend_from_slice(&id::CLUSTER.to_be_bytes());
                out.extend_from_slice(&OPEN);
                out.extend_from_slice(&element(id::CLUSTER_TIME, &millis.to_be_bytes()));
                self.cluster = Some(millis);
                millis
            }
        };
        let time = u16::try_from(millis - cluster).unwrap_or_default();
        begin(id::SIMPLE_BLOCK, BLOCK_HEAD + packet.len(), out);
        out.push(TRACK_ONE);
        out.extend_from_slice(&time.to_be_bytes());
        out.push(KEYFRAME);
        out.extend_from_slice(packet);
    }
}
