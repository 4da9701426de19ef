//! The proxy's own ear: it tells speech from silence in a caller's raw audio, so that cuts fall in pauses and a node that
//! hears nothing of speech is noticed.

use audio::{Encoding, Format, PauseDetector, PauseEvent, PcmDecoder, SampleRate};
use session::{Layout, Noticed, Session};
use std::num::NonZeroU32;

/// Listens to raw audio.
#[derive(Debug)]
pub(super) struct Ear {
    /// Nothing where a container's header has told it.
    format: Option<Format>,
    /// The sample of the stream that it heard first.
    begins: u64,
    decoder: PcmDecoder,
    detector: PauseDetector,
    samples: Vec<i16>,
}

impl Ear {
    /// Listens to audio of a format, from a sample of the stream on.
    pub(super) fn new(format: Format, begins: u64) -> Self {
        let (decoder, detector) = (PcmDecoder::new(format), PauseDetector::new(format.rate));
        Self { format: Some(format), begins, decoder, detector, samples: Vec::new() }
    }

    /// Forgets the beginning of a frame whose rest is lost.
    pub(super) fn forget_broken_frame(&mut self) {
        if let Some(format) = self.format {
            self.decoder = PcmDecoder::new(format);
        }
    }

    /// Listens to the sound of a WAV stream.
    pub(super) fn decoding(decoder: PcmDecoder, rate: SampleRate) -> Self {
        Self { format: None, begins: 0, decoder, detector: PauseDetector::new(rate), samples: Vec::new() }
    }

    /// Hears audio, cut anywhere, and tells the session what it notices.
    pub(super) fn hear(&mut self, audio: &[u8], session: &mut Session) {
        self.samples.clear();
        self.decoder.push(audio, &mut self.samples);
        let begins = self.begins;
        let noticed: Vec<_> = self.detector.push(&self.samples).map(|event| noticed(event, begins)).collect();
        session.noticed(noticed.into_iter(), begins + self.detector.heard_samples());
    }
}

fn noticed(event: PauseEvent, begins: u64) -> Noticed {
    match event {
        PauseEvent::SpeechStarted { at_sample } => Noticed::Speech(begins + at_sample),
        PauseEvent::Paused { since_sample } => Noticed::Silence(begins + since_sample),
    }
}

/// Says how a stream's audio can be cut: raw frames anywhere, containers as their first bytes will tell.
pub(super) fn layout(format: Option<Format>) -> Layout {
    let frames = format.and_then(|format| {
        let rate = NonZeroU32::new(format.rate.hertz())?;
        let bytes = NonZeroU32::new(u32::try_from(format.bytes_per_frame()).ok()?)?;
        match format.encoding {
            Encoding::Linear16 | Encoding::Mulaw | Encoding::Alaw => Some(Layout::Frames { rate, bytes }),
        }
    });
    frames.unwrap_or(Layout::Opaque)
}

/// Returns the byte that is silence in raw audio (ITU-T G.711 for the two companded ones).
pub(super) fn silence(format: Option<Format>) -> u8 {
    match format.map(|format| format.encoding) {
        Some(Encoding::Mulaw) => 0xff,
        Some(Encoding::Alaw) => 0xd5,
        Some(Encoding::Linear16) | None => 0,
    }
}
