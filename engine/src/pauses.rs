//! Tells speech from silence, block by block, with the detector that callers' legs are cut by, too.

use audio::{PauseDetector, PauseEvent, SampleRate};

use crate::recognizer::Sound;

/// The detector, and what it said last.
#[derive(Clone, Debug)]
pub(crate) struct Pauses {
    detector: PauseDetector,
    sound: Sound,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { detector: PauseDetector::new(SampleRate::HZ_16000), sound: Sound::Silence }
    }
}

impl Pauses {
    /// Judges the next block.
    pub(crate) fn judge(&mut self, block: &[i16]) -> Sound {
        for event in self.detector.push(block) {
            self.sound = match event {
                PauseEvent::SpeechStarted { .. } => Sound::Speech,
                PauseEvent::Paused { .. } => Sound::Silence,
            };
        }
        self.sound
    }
}
