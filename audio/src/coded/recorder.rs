//! Coded words as a caller's recorder streams them: Opus, in Ogg or `WebM`.

use opus_pure::{Application, Error, OpusEncoder};

use super::{Script, Voice};
use crate::format::{Channels, Encoding, Format, SampleRate};
use crate::splitter::write;

/// Frames of a packet: 20 ms at 48 kHz.
const FRAMES: usize = 960;
/// Packets of a page: 100 ms.
const PAGE: usize = 5;
/// Frames at the start that are the encoder's: what `libopus` says of itself.
const PRE_SKIP: u16 = 312;
/// Bits a second: enough for ten tones.
const BITRATE: i32 = 64_000;
/// The longest packet of one frame, in bytes.
const MAX_PACKET: usize = 1_500;

/// What wraps the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorder {
    /// Pages of 100 ms.
    Ogg,
    /// Blocks of 20 ms, as browsers do.
    Webm,
}

impl Recorder {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Ogg, Self::Webm];
}

/// Speaks a script and records it.
///
/// # Errors
/// When the encoder refuses, which it has no reason to.
pub fn record(script: Script, recorder: Recorder) -> Result<Vec<u8>, Error> {
    let packets = packets(script)?;
    let head = [&b"OpusHead\x01\x01"[..], &PRE_SKIP.to_le_bytes(), &48_000_u32.to_le_bytes(), &[0, 0, 0]].concat();
    Ok(match recorder {
        Recorder::Ogg => write::ogg(&head, packets.chunks(PAGE), FRAMES),
        Recorder::Webm => write::webm(&head, &packets, FRAMES),
    })
}

/// Encodes everything and, for what the encoder holds back, a little silence.
fn packets(script: Script) -> Result<Vec<Vec<u8>>, Error> {
    let format = Format { encoding: Encoding::Linear16, rate: SampleRate::HZ_48000, channels: Channels::MONO };
    let mut voice = Voice::new(script, format);
    let mut encoder = OpusEncoder::new(48_000, 1, Application::Audio)?;
    (encoder.bitrate_bps, encoder.complexity) = (BITRATE, 2);
    let (mut packets, mut sound) = (Vec::new(), Vec::new());
    loop {
        sound.clear();
        let spoken = voice.speak(FRAMES, &mut sound);
        let mut samples: Vec<i16> = sound.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes)).collect();
        samples.resize(FRAMES, 0);
        let mut packet = vec![0; MAX_PACKET];
        let len = encoder.encode_s16(&samples, FRAMES, &mut packet)?;
        packet.truncate(len);
        packets.push(packet);
        if spoken < FRAMES {
            return Ok(packets);
        }
    }
}
