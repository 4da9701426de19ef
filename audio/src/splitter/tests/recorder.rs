//! Live streams as callers send them: coded audio in Opus, put into pages and blocks in awkward ways.

use opus_pure::{Application, OpusEncoder};

use super::super::ogg::checksum;
use crate::coded::{Script, Voice};
use crate::format::{Channels, Encoding, Format, SampleRate};

/// Samples that belong to the encoder.
pub(super) const PRE_SKIP: u16 = 312;

/// Seeded dice.
#[derive(Clone, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

/// A packet and how many samples at 48 kHz it lasts.
pub(super) struct Packet {
    pub(super) bytes: Vec<u8>,
    pub(super) samples: u32,
}

/// Speaks coded words and encodes them in packets of 10 to 60 ms.
pub(super) fn packets(script: Script, dice: &mut Dice) -> Vec<Packet> {
    let format = Format { encoding: Encoding::Linear16, rate: SampleRate::HZ_48000, channels: Channels::MONO };
    let mut voice = Voice::new(script, format);
    let mut encoder = OpusEncoder::new(48_000, 1, Application::Audio).unwrap();
    encoder.bitrate_bps = 64_000;
    encoder.complexity = 2;
    let mut packets = Vec::new();
    loop {
        let frames = [480, 960, 960, 1_920, 2_880][dice.throw(5)];
        let mut sound = Vec::new();
        if voice.speak(frames, &mut sound) < frames {
            return packets;
        }
        let sound: Vec<i16> = sound.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes)).collect();
        let mut bytes = vec![0; 4_000];
        let len = encoder.encode_s16(&sound, frames, &mut bytes).unwrap();
        bytes.truncate(len);
        packets.push(Packet { bytes, samples: u32::try_from(frames).unwrap() });
    }
}

/// The header that every container of Opus keeps.
pub(super) fn opus_head() -> Vec<u8> {
    [&b"OpusHead\x01\x01"[..], &PRE_SKIP.to_le_bytes(), &48_000_u32.to_le_bytes(), &[0, 0, 0]].concat()
}

/// Pages of 1 to 40 segments; a packet that does not fit goes on in the next page.
pub(super) fn ogg(serial: u32, packets: &[Packet], tags: usize, dice: &mut Dice) -> Vec<u8> {
    let mut pages = Pages { serial, number: 0, file: Vec::new() };
    pages.write(2, 0, &lace(&opus_head(), 0));
    let tags = [b"OpusTags", vec![0; tags].as_slice()].concat();
    for (index, segments) in lace(&tags, 0).chunks(255).enumerate() {
        pages.write(
            u8::from(index > 0),
            if segments.iter().any(|segment| segment.ends) { 0 } else { u64::MAX },
            segments,
        );
    }
    let segments: Vec<Segment<'_>> = packets.iter().flat_map(|packet| lace(&packet.bytes, packet.samples)).collect();
    let (mut rest, mut granule, mut open) = (&segments[..], 0_u64, false);
    while !rest.is_empty() {
        let (page, after) = rest.split_at(rest.len().min(1 + dice.throw(40)));
        granule += page.iter().filter(|segment| segment.ends).map(|segment| u64::from(segment.samples)).sum::<u64>();
        let shown = if page.iter().any(|segment| segment.ends) { granule } else { u64::MAX };
        pages.write(u8::from(open) | u8::from(after.is_empty()) << 2, shown, page);
        open = page.last().is_some_and(|segment| !segment.ends);
        rest = after;
    }
    pages.file
}

struct Segment<'a> {
    bytes: &'a [u8],
    ends: bool,
    samples: u32,
}

fn lace(packet: &[u8], samples: u32) -> Vec<Segment<'_>> {
    let mut segments: Vec<_> =
        packet.chunks(255).map(|bytes| Segment { bytes, ends: bytes.len() < 255, samples }).collect();
    if packet.len().is_multiple_of(255) {
        segments.push(Segment { bytes: &[], ends: true, samples });
    }
    segments
}

struct Pages {
    serial: u32,
    number: u32,
    file: Vec<u8>,
}

impl Pages {
    fn write(&mut self, flags: u8, granule: u64, segments: &[Segment<'_>]) {
        let mut page = [&b"OggS\0"[..], &[flags], &granule.to_le_bytes(), &self.serial.to_le_bytes()].concat();
        page.extend(self.number.to_le_bytes());
        page.extend([0; 4]);
        page.push(u8::try_from(segments.len()).unwrap());
        page.extend(segments.iter().map(|segment| u8::try_from(segment.bytes.len()).unwrap()));
        page.extend(segments.iter().flat_map(|segment| segment.bytes));
        let sum = checksum(&page);
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        self.file.extend(page);
        self.number += 1;
    }
}

/// How a recorder writes blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Recorder {
    /// As a browser does: a film beside the sound, sizes left open, clusters of half a minute.
    Browser,
    /// As a tool does: sizes everywhere (some wrong), the last block of a cluster in a group.
    Tool,
}

/// Blocks of sound, in clusters.
pub(super) fn webm(recorder: Recorder, packets: &[Packet]) -> Vec<u8> {
    let track =
        [element(&[0xd7], &[2]), element(&[0x73, 0xc5], &[2]), element(&[0x83], &[2]), element(&[0x86], b"A_OPUS")]
            .concat();
    let track = [track, element(&[0x63, 0xa2], &opus_head()), element(&[0xe1], &element(&[0x9f], &[1]))].concat();
    let film =
        [element(&[0xd7], &[1]), element(&[0x73, 0xc5], &[1]), element(&[0x83], &[1]), element(&[0x86], b"V_VP8")]
            .concat();
    let tracks = [element(&[0xae], &film), element(&[0xae], &track)].concat();
    let mut file = [ebml(), vec![0x18, 0x53, 0x80, 0x67]].concat();
    match recorder {
        Recorder::Browser => file.extend([0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        Recorder::Tool => file.extend([0x08, 0xff, 0xff, 0xfe, 0xdc]), // a size that has nothing to do with the truth
    }
    let names = [element(&[0x4d, 0x80], b"a recorder"), element(&[0x57, 0x41], b"a recorder")].concat();
    file.extend(element(&[0x15, 0x49, 0xa9, 0x66], &names));
    file.extend(element(&[0x16, 0x54, 0xae, 0x6b], &tracks));
    let (mut clock, mut cluster, mut blocks) = (0_u64, 0_u64, Vec::new());
    for packet in packets {
        if clock - cluster > 48 * 32_000 {
            file.extend(close(recorder, cluster, &std::mem::take(&mut blocks)));
            cluster = clock;
        }
        blocks.extend(block(recorder, (clock - cluster) / 48, packet));
        clock += u64::from(packet.samples);
    }
    file.extend(close(recorder, cluster, &blocks));
    file
}

/// How every file begins.
pub(super) fn ebml() -> Vec<u8> {
    element(&[0x1a, 0x45, 0xdf, 0xa3], &element(&[0x42, 0x82], b"webm"))
}

fn block(recorder: Recorder, time: u64, packet: &Packet) -> Vec<u8> {
    let time = u16::try_from(time).unwrap().to_be_bytes();
    let sound = [&[0x82], &time[..], &[0x80], &packet.bytes].concat();
    match recorder {
        Recorder::Browser => {
            let picture = [&[0x81], &time[..], &[0x80], &[9; 300]].concat();
            [element(&[0xa3], &picture), element(&[0xa3], &sound)].concat()
        }
        Recorder::Tool => element(&[0xa0], &[element(&[0xa1], &sound), element(&[0x9b], &[20])].concat()),
    }
}

fn close(recorder: Recorder, cluster: u64, blocks: &[u8]) -> Vec<u8> {
    let content = [&element(&[0xe7], &(cluster / 48).to_be_bytes()), blocks].concat();
    match recorder {
        Recorder::Browser => [&[0x1f, 0x43, 0xb6, 0x75, 0xff][..], &content].concat(),
        Recorder::Tool => element(&[0x1f, 0x43, 0xb6, 0x75], &content),
    }
}

/// An element with its size in four bytes.
pub(super) fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len()).unwrap() | 0x1000_0000;
    [id, &size.to_be_bytes(), content].concat()
}
