//! The decoders of packets under one face: the library's, and Opus, which it leaves out.

use std::ops::Range;

use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::formats::Track;
use symphonia::core::packet::Packet;

use super::Failure;
use super::opus::{self, Opus};
use super::sound::Interleaved;
use crate::format::Channels;

/// The decoder of one track.
pub(super) enum Codec {
    /// One of the library's; it takes away itself what belongs to the encoder.
    Library { decoder: Box<dyn AudioDecoder>, samples: Vec<i16> },
    /// Opus, of which so many frames at the start are still to be taken away.
    Opus { decoder: Opus, skip: usize },
}

impl Codec {
    /// Finds the decoder for a track.
    ///
    /// # Errors
    /// When there is none, or the track's description does not suit it.
    pub(super) fn new(track: &Track) -> Result<Self, Failure> {
        let params = track.codec_params.as_ref().and_then(|params| params.audio());
        let params = params.ok_or_else(|| Failure::Codec("a track of an unknown codec".to_owned()))?;
        if params.codec == CODEC_ID_OPUS {
            return Self::opus(params);
        }
        if let Some(channels) = &params.channels {
            count(channels.count())?; // first of all: decoders make room for as many as they are promised
        }
        let decoder = symphonia::default::get_codecs().make_audio_decoder(params, &AudioDecoderOptions::default())?;
        Ok(Self::Library { decoder, samples: Vec::new() })
    }

    fn opus(params: &AudioCodecParameters) -> Result<Self, Failure> {
        let header = params.extra_data.as_deref().unwrap_or_default();
        let decoder = Opus::new(header).map_err(|error| Failure::Codec(error.to_string()))?;
        let skip = decoder.pre_skip();
        Ok(Self::Opus { decoder, skip })
    }

    /// Returns how many channels the track says it has; one when it leaves that to its packets.
    ///
    /// # Errors
    /// When they are more than are heard.
    pub(super) fn channels(&self) -> Result<Channels, Failure> {
        count(match self {
            Self::Library { decoder, .. } => decoder.codec_params().channels.as_ref().map_or(1, |set| set.count()),
            Self::Opus { decoder, .. } => decoder.channels(),
        })
    }

    /// Decodes one packet; says what is wrong with it if it cannot.
    pub(super) fn decode(&mut self, packet: &Packet) -> Result<Interleaved<'_>, String> {
        match self {
            Self::Library { decoder, samples } => {
                let decoded = decoder.decode(packet).map_err(|error| error.to_string())?;
                Ok(interleave(&decoded, samples))
            }
            Self::Opus { decoder, skip } => {
                let channels = decoder.channels();
                let samples = decoder.decode(&packet.data).map_err(|error| error.to_string())?;
                let heard = trim(samples.len() / channels, packet, skip);
                let samples = &samples[heard.start * channels..heard.end * channels];
                Ok(Interleaved { samples, rate: opus::RATE, channels: u32::try_from(channels).unwrap_or(u32::MAX) })
            }
        }
    }
}

fn count(channels: usize) -> Result<Channels, Failure> {
    let count = u32::try_from(channels).unwrap_or(u32::MAX);
    Channels::try_from(count).map_err(|error| Failure::Codec(error.to_string()))
}

fn interleave<'a>(decoded: &GenericAudioBufferRef<'_>, samples: &'a mut Vec<i16>) -> Interleaved<'a> {
    decoded.copy_to_vec_interleaved(samples);
    let channels = u32::try_from(decoded.spec().channels().count()).unwrap_or(u32::MAX);
    Interleaved { samples, rate: decoded.spec().rate(), channels }
}

/// The frames of a packet of `frames` that are the speaker's. The parsers leave the start of Opus to its decoder, and
/// tell the end.
fn trim(frames: usize, packet: &Packet, skip: &mut usize) -> Range<usize> {
    let start = frames.min(*skip);
    *skip -= start;
    let padding = usize::try_from(packet.trim_end.get()).unwrap_or(usize::MAX);
    start..frames.saturating_sub(padding).max(start)
}
