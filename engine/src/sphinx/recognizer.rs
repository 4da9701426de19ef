//! One stream before PocketSphinx: silence between utterances is not decoded, frames become samples, fillers go.

use std::collections::VecDeque;
use std::sync::Arc;

use super::library::{Decoder, Segment};
use super::{Pool, SphinxError};
use crate::recognizer::{RATE, Recognizer, RecognizerError, Sound, UNJUDGED, Word};

/// Samples of one PocketSphinx frame (10 ms).
const FRAME: u64 = RATE as u64 / 100;

/// Silence kept from before the first speech, so that a soft onset is not cut: 300 ms.
const RUN_UP: usize = RATE as usize * 3 / 10;

/// A decoder on loan to one stream.
pub(crate) struct Sphinx {
    /// Taken only by `drop` and by a failure, after which nothing more is decoded.
    decoder: Option<Decoder>,
    pool: Arc<Pool>,
    /// The silence right before what comes next.
    run_up: VecDeque<i16>,
    /// Samples of the stream heard so far.
    heard: u64,
    /// Where the open utterance began.
    utterance: Option<u64>,
}

impl Sphinx {
    /// Borrows a decoder for one stream: slow, to be called on a blocking thread.
    ///
    /// # Errors
    /// Fails when no decoder can be made.
    pub(crate) fn start(pool: &Arc<Pool>) -> Result<Self, SphinxError> {
        let mut decoder = pool.take()?;
        decoder.start_stream()?;
        Ok(Self {
            decoder: Some(decoder),
            pool: Arc::clone(pool),
            run_up: VecDeque::with_capacity(RUN_UP),
            heard: 0,
            utterance: None,
        })
    }

    fn open(&mut self) -> Result<(), SphinxError> {
        if self.utterance.is_some() {
            self.run_up.clear();
            return Ok(());
        }
        let run_up = self.run_up.make_contiguous();
        if let Some(decoder) = &mut self.decoder {
            decoder.start_utterance()?;
            decoder.decode(run_up)?;
        }
        self.utterance = Some(self.heard - run_up.len() as u64);
        self.run_up.clear();
        Ok(())
    }

    fn remember(&mut self, samples: &[i16]) {
        let samples = &samples[samples.len().saturating_sub(RUN_UP)..];
        let surplus = (self.run_up.len() + samples.len()).saturating_sub(RUN_UP);
        self.run_up.drain(..surplus);
        self.run_up.extend(samples);
    }

    fn decode(&mut self, samples: &[i16], sound: Sound) -> Result<(), SphinxError> {
        match sound {
            Sound::Speech => self.open()?,
            Sound::Silence => self.remember(samples),
        }
        if let (Some(_), Some(decoder)) = (self.utterance, &mut self.decoder) {
            decoder.decode(samples)?;
        }
        self.heard += samples.len() as u64;
        Ok(())
    }

    fn end(&mut self) -> Result<Vec<Word>, SphinxError> {
        let (Some(base), Some(decoder)) = (self.utterance.take(), &mut self.decoder) else { return Ok(Vec::new()) };
        decoder.end_utterance()?;
        let segments = decoder.segments();
        Ok(words(base, &segments, |segment| segment.probability.clamp(0.0, 1.0)))
    }

    /// A decoder that failed is not lent again.
    fn or_discard<T>(&mut self, result: Result<T, SphinxError>) -> Result<T, RecognizerError> {
        if result.is_err() {
            self.decoder = None;
        }
        result.map_err(RecognizerError::from)
    }
}

impl Recognizer for Sphinx {
    fn hear(&mut self, samples: &[i16], sound: Sound) -> Result<(), RecognizerError> {
        let result = self.decode(samples, sound);
        self.or_discard(result)
    }

    fn guess(&mut self) -> Vec<Word> {
        let (Some(base), Some(decoder)) = (self.utterance, &mut self.decoder) else { return Vec::new() };
        words(base, &decoder.segments(), |_| UNJUDGED)
    }

    fn conclude(&mut self) -> Result<Vec<Word>, RecognizerError> {
        let result = self.end();
        self.or_discard(result)
    }
}

impl Drop for Sphinx {
    fn drop(&mut self) {
        let closed = self.utterance.is_none() || self.end().is_ok();
        if let (true, Some(decoder)) = (closed, self.decoder.take()) {
            self.pool.give_back(decoder);
        }
    }
}

fn words(base: u64, segments: &[Segment], confidence: impl Fn(&Segment) -> f64) -> Vec<Word> {
    let spoken = segments.iter().filter_map(|segment| Some((spelling(&segment.word)?, segment)));
    spoken
        .map(|(text, segment)| Word {
            text: text.to_owned(),
            start: base + u64::from(segment.first_frame) * FRAME,
            end: base + (u64::from(segment.last_frame) + 1) * FRAME,
            confidence: confidence(segment),
        })
        .collect()
}

/// Strips the number of an alternate pronunciation (`a(2)`); fillers such as `<sil>` and `[NOISE]` are no words.
fn spelling(word: &str) -> Option<&str> {
    let filler = word.is_empty() || word.starts_with(['<', '[', '+']);
    (!filler).then(|| word.split_once('(').map_or(word, |(text, _)| text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fillers_and_alternates_are_stripped() {
        let spelled = ["<s>", "a(2)", "<sil>", "[NOISE]", "++UM++", "meters", ""].map(spelling);
        assert_eq!(spelled, [None, Some("a"), None, None, None, Some("meters"), None]);
    }

    #[test]
    fn frames_become_samples_of_the_stream() {
        let segment = Segment { word: "go".to_owned(), first_frame: 10, last_frame: 29, probability: 1.0 };
        let word = &words(16_000, &[segment], |segment| segment.probability)[0];
        assert_eq!((word.start, word.end), (17_600, 20_800));
    }
}
