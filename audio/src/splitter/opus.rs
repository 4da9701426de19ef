//! What containers must know of Opus: its header, and how long a packet lasts, which its first bytes tell.

use opus_pure::packet;

use crate::format::Channels;

/// The bytes of a header without a table of channels.
const HEADER: usize = 19;

/// The part of a header that a container repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpusHead {
    pub(super) channels: Channels,
    /// Samples at 48 kHz that belong to the encoder.
    pub(super) pre_skip: u16,
}

impl OpusHead {
    /// Reads a header (RFC 7845, section 5.1); nothing if it is none, or of more channels than are heard.
    pub(super) fn read(header: &[u8]) -> Option<Self> {
        let (head, _) = header.split_first_chunk::<HEADER>()?;
        let [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', _, channels, low, high, ..] = *head else { return None };
        let channels = Channels::try_from(u32::from(channels)).ok()?;
        Some(Self { channels, pre_skip: u16::from_le_bytes([low, high]) })
    }
}

/// Returns how many samples at 48 kHz a packet lasts, told by its first two bytes; nothing for an empty one.
///
/// # Errors
/// Says what is wrong with a packet that is none.
pub(super) fn samples(packet: &[u8]) -> Result<u32, &'static str> {
    if packet.is_empty() {
        return Ok(0);
    }
    let samples = packet::samples_48k(packet).map_err(|_| "a packet is none of Opus")?;
    u32::try_from(samples).map_err(|_| "a packet is none of Opus")
}
