//! Hearing coded audio: samples in, words out. It needs no beginning: whatever is whole enough is heard.

use super::chord::Code;
use super::script::text;
use super::spectrum::{RATE, Spectrum, WINDOW};
use super::tracker::{HOP, Heard, LEAD, Tracker};
use crate::format::SampleRate;
use crate::resample::Resampler;

/// One word that was heard. Samples are counted from the first that the ear was given, at the ear's rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeardWord {
    /// The session that the word belongs to.
    pub session: u16,
    /// The word's number in the script.
    pub word_index: u16,
    /// Where it begins, give or take 10 ms; a word cut by the beginning of the stream begins there.
    pub start_sample: u64,
    /// Where it ends, give or take 10 ms.
    pub end_sample: u64,
}

impl HeardWord {
    /// Returns the word itself.
    #[must_use]
    pub fn text(&self) -> &'static str {
        text(self.session, self.word_index)
    }
}

/// Hears coded words in one channel.
///
/// A word comes out at most 150 ms after its end. What is left of a word that was cut is heard if it lasts 100 ms.
#[derive(Clone, Debug)]
pub struct Ear {
    rate: SampleRate,
    resampler: Resampler,
    narrow: Vec<i16>,
    /// Samples at 8 kHz from the beginning of the next window.
    window: Vec<f32>,
    spectrum: Spectrum,
    tracker: Tracker,
    given: u64,
}

impl Ear {
    /// Begins to listen at `rate`.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        Self {
            rate,
            resampler: Resampler::new(rate, SampleRate::HZ_8000),
            narrow: Vec::new(),
            window: vec![0.0; LEAD],
            spectrum: Spectrum::new(),
            tracker: Tracker::default(),
            given: 0,
        }
    }

    /// Hears `samples` and appends the words that they end to `words`.
    pub fn push(&mut self, samples: &[i16], words: &mut Vec<HeardWord>) {
        for piece in samples.chunks(WINDOW) {
            self.given += piece.len() as u64;
            self.narrow.clear();
            self.resampler.push(piece, &mut self.narrow);
            self.listen(words);
        }
    }

    /// Says that the stream has ended and appends the word that this cut off, if enough of it was heard.
    pub fn finish(mut self, words: &mut Vec<HeardWord>) {
        self.narrow.clear();
        self.resampler.flush(&mut self.narrow);
        self.narrow.resize(self.narrow.len() + LEAD, 0);
        self.listen(words);
        if let Some(heard) = self.tracker.finish() {
            words.push(self.word(heard));
        }
    }

    /// Returns the session and the number of the word that is sounding, once enough of it was heard.
    #[must_use]
    pub fn hearing(&self) -> Option<(u16, u16)> {
        self.tracker.sounding().map(|Code { session, index }| (session, index))
    }

    fn listen(&mut self, words: &mut Vec<HeardWord>) {
        self.window.extend(self.narrow.iter().map(|sample| f32::from(*sample)));
        let mut start = 0;
        while let Some(window) = self.window.get(start..start + WINDOW) {
            let ended = self.tracker.push(self.spectrum.analyse(window));
            words.extend(ended.map(|heard| self.word(heard)));
            start += HOP;
        }
        self.window.drain(..start);
    }

    fn word(&self, heard: Heard) -> HeardWord {
        let given = |sample: i64| {
            let sample = u64::try_from(sample).unwrap_or_default();
            (sample * u64::from(self.rate.hertz()) / u64::from(RATE)).min(self.given)
        };
        let Code { session, index } = heard.code;
        HeardWord { session, word_index: index, start_sample: given(heard.start), end_sample: given(heard.end) }
    }
}
