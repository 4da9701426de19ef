//! One stream before the synthetic voice. What it hears is exact; how it says it differs from leg to leg, as two runs of
//! a real engine do.

use std::time::Duration;

use audio::SampleRate;
use audio::coded::{Ear, HeardWord, text};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::SyntheticConfig;
use crate::recognizer::{Recognizer, RecognizerError, Sound, UNJUDGED, Word};
use crate::segment::Segmentation;

/// A reader of coded audio.
pub(crate) struct Synthetic {
    ear: Ear,
    dice: SmallRng,
    /// Words of the open utterance that have ended.
    words: Vec<HeardWord>,
    /// A word that was said when an utterance was cut through it; the ear will hear its end, too.
    cut: Option<(u16, u16)>,
    heard: u64,
    jitter: u64,
    die_at: Option<u64>,
    hang_at: Option<u64>,
}

impl Synthetic {
    /// Starts a stream.
    pub(crate) fn new(config: &SyntheticConfig, seed: u64) -> Self {
        Self {
            ear: Ear::new(SampleRate::HZ_16000),
            dice: SmallRng::seed_from_u64(seed),
            words: Vec::new(),
            cut: None,
            heard: 0,
            jitter: samples(config.jitter),
            die_at: config.faults.die_after.map(samples),
            hang_at: config.faults.hang_after.map(samples),
        }
    }

    /// Draws how a leg cuts sound into results: always within the bounds that callers rely on.
    pub(crate) fn segmentation(seed: u64) -> Segmentation {
        let mut dice = SmallRng::seed_from_u64(!seed);
        let mut between = |low: u64, high: u64| Duration::from_millis(dice.random_range(low..=high));
        Segmentation {
            shortest_pause: between(200, 450),
            longest_pause: between(700, 1_000),
            long: between(3_000, 8_000),
            longest: between(9_000, 15_000),
            longest_silence: between(2_000, 4_000),
            interim_every: between(250, 700),
        }
    }

    /// Takes up the words that ended, but for the one that was said when it was cut.
    fn take_up(&mut self, ended: Vec<HeardWord>) {
        for word in ended {
            if self.cut.take() != Some((word.session, word.word_index)) {
                self.words.push(word);
            }
        }
    }

    fn say(&mut self, word: HeardWord, confidence: f64) -> Word {
        Word {
            text: word.text().to_owned(),
            start: self.stray(word.start_sample),
            end: self.stray(word.end_sample),
            confidence,
        }
    }

    fn stray(&mut self, sample: u64) -> u64 {
        (sample + self.dice.random_range(0..=2 * self.jitter)).saturating_sub(self.jitter)
    }
}

impl Recognizer for Synthetic {
    fn hear(&mut self, samples: &[i16], _: Sound) -> Result<(), RecognizerError> {
        self.heard += samples.len() as u64;
        if self.die_at.is_some_and(|at| self.heard > at) {
            return Err(RecognizerError::ToldToDie);
        }
        if self.hang_at.is_some_and(|at| self.heard > at) {
            return Err(RecognizerError::ToldToHang);
        }
        let mut ended = Vec::new();
        self.ear.push(samples, &mut ended);
        self.take_up(ended);
        Ok(())
    }

    fn guess(&mut self) -> Vec<Word> {
        let mut words: Vec<_> = self.words.clone().into_iter().map(|word| self.say(word, UNJUDGED)).collect();
        let sounding = self.ear.hearing().filter(|word| self.cut != Some(*word));
        // Half of the time a guess runs ahead, as guesses do.
        if let Some((session, index)) = sounding.filter(|_| self.dice.random_ratio(1, 2)) {
            let start = words.last().map_or_else(|| self.heard.saturating_sub(1_600), |word| word.end);
            words.push(Word { text: text(session, index).to_owned(), start, end: self.heard, confidence: UNJUDGED });
        }
        words
    }

    fn conclude(&mut self) -> Result<Vec<Word>, RecognizerError> {
        let mut sounding = Vec::new();
        self.ear.clone().finish(&mut sounding);
        let cut = sounding.last().map(|word| (word.session, word.word_index));
        self.take_up(sounding);
        self.cut = cut.or(self.cut);
        let words = std::mem::take(&mut self.words);
        Ok(words
            .into_iter()
            .map(|word| {
                let confidence = self.dice.random_range(0.85..1.0);
                self.say(word, confidence)
            })
            .collect())
    }
}

fn samples(span: Duration) -> u64 {
    SampleRate::HZ_16000.samples_in(span)
}
