//! Opus: what its header says and how its packets become samples. The container's parser leaves both to its caller.

use opus_pure::{Error, MAX_PACKET_SAMPLES, OpusDecoder, OpusMSDecoder};

/// The rate at which Opus counts, whatever was recorded.
pub(crate) const RATE: u32 = 48_000;
/// The same for the library.
const DECODED: i32 = 48_000;
/// The bytes of a header without a table of channels.
const HEADER: usize = 19;

/// A decoder of one stream's packets.
#[derive(Debug)]
pub(crate) struct Opus {
    inner: Inner,
    channels: usize,
    pre_skip: usize,
    scratch: Vec<i16>,
}

#[derive(Debug)]
enum Inner {
    /// One or two channels.
    Plain(Box<OpusDecoder>),
    /// More channels, each pair a stream of its own.
    Multi(Box<OpusMSDecoder>),
}

impl Opus {
    /// Reads the header that every container keeps.
    ///
    /// # Errors
    /// When the bytes are not such a header, or of a layout that nobody can name.
    pub(crate) fn new(header: &[u8]) -> Result<Self, Error> {
        let Some(([.., channels, skip_low, skip_high, _, _, _, _, gain_low, gain_high, family], _)) =
            header.split_first_chunk::<HEADER>()
        else {
            return Err(Error::InvalidStream("the header of Opus is too short"));
        };
        let channels = usize::from(*channels);
        let gain = i32::from(i16::from_le_bytes([*gain_low, *gain_high]));
        let inner = if *family == 0 { Inner::plain(channels, gain)? } else { Inner::multi(channels, *family, gain)? };
        let pre_skip = usize::from(u16::from_le_bytes([*skip_low, *skip_high]));
        Ok(Self { inner, channels, pre_skip, scratch: vec![0; MAX_PACKET_SAMPLES * channels] })
    }

    /// Counts the channels side by side.
    pub(crate) const fn channels(&self) -> usize {
        self.channels
    }

    /// Counts the frames at the start that are the encoder's, not the speaker's.
    pub(crate) const fn pre_skip(&self) -> usize {
        self.pre_skip
    }

    /// Decodes one packet to interleaved samples; an empty one, which libraries take for a lost one, to none.
    ///
    /// # Errors
    /// When the packet is not one of Opus.
    pub(crate) fn decode(&mut self, packet: &[u8]) -> Result<&[i16], Error> {
        if packet.is_empty() {
            return Ok(&[]);
        }
        let room = MAX_PACKET_SAMPLES;
        let frames = match &mut self.inner {
            Inner::Plain(decoder) => decoder.decode_s16(packet, room, &mut self.scratch)?,
            Inner::Multi(decoder) => decoder.decode_s16(packet, room, &mut self.scratch)?,
        };
        Ok(&self.scratch[..(frames * self.channels).min(self.scratch.len())])
    }
}

impl Inner {
    fn plain(channels: usize, gain: i32) -> Result<Self, Error> {
        let mut decoder = OpusDecoder::new(DECODED, channels)?;
        decoder.gain_q8 = gain;
        Ok(Self::Plain(Box::new(decoder)))
    }

    /// The order of channels does not matter to those who mix them, so only their number is looked at.
    fn multi(channels: usize, family: u8, gain: i32) -> Result<Self, Error> {
        let mut decoder = OpusMSDecoder::new(DECODED, channels, family)?;
        for stream in decoder.streams_mut() {
            stream.gain_q8 = gain;
        }
        Ok(Self::Multi(Box::new(decoder)))
    }
}
