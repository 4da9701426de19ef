//! From sound to results: where speech begins and ends, when a guess is shown, where a result is cut. Both voices share
//! it; it has no clock, no socket and no thread.

use crate::pauses::Pauses;
use crate::query::{Feature, Options};
use crate::recognizer::{RATE, Recognizer, RecognizerError, Sound, Word};
use crate::segment::{Cause, Heard, Piece, Segmentation, Spans};

/// Sound is judged in blocks of 20 ms.
pub(crate) const BLOCK: usize = RATE as usize / 50;

/// Whether the caller is told when somebody begins to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Onsets {
    Announced,
    Unmentioned,
}

/// One stream on its way to becoming text.
pub(crate) struct Transcriber {
    recognizer: Box<dyn Recognizer>,
    pauses: Pauses,
    spans: Spans,
    onsets: Onsets,
    /// Samples that do not fill a block yet.
    rest: Vec<i16>,
    /// Samples heard.
    position: u64,
    /// End of the last result.
    start: u64,
    /// Where the last guess or result ended.
    shown: u64,
    /// Speech since the last result: where it last was.
    last_speech: Option<u64>,
    /// Where silence began.
    silent_since: u64,
    /// Something was said that no result has completed.
    speaking: bool,
    /// Words of it that are final already.
    unfinished: usize,
    /// End of the last word of an utterance whose end was not announced.
    last_word_end: Option<u64>,
}

impl Transcriber {
    /// Starts a stream.
    pub(crate) fn new(recognizer: Box<dyn Recognizer>, options: &Options, segmentation: &Segmentation) -> Self {
        Self {
            recognizer,
            pauses: Pauses::default(),
            spans: Spans::new(options, segmentation),
            onsets: if options.wants(Feature::VadEvents) { Onsets::Announced } else { Onsets::Unmentioned },
            rest: Vec::with_capacity(BLOCK),
            position: 0,
            start: 0,
            shown: 0,
            last_speech: None,
            silent_since: 0,
            speaking: false,
            unfinished: 0,
            last_word_end: None,
        }
    }

    /// Hears samples and adds what there is to say.
    ///
    /// # Errors
    /// Fails when the voice fails; the stream cannot go on.
    pub(crate) fn hear(&mut self, mut samples: &[i16], heard: &mut Vec<Heard>) -> Result<(), RecognizerError> {
        while self.rest.len() + samples.len() >= BLOCK {
            let (now, later) = samples.split_at(BLOCK - self.rest.len());
            self.rest.extend_from_slice(now);
            samples = later;
            self.hear_rest(heard)?;
            self.cut_where_due(heard)?;
        }
        self.rest.extend_from_slice(samples);
        Ok(())
    }

    /// Ends the result here because the caller wants to know; there is always one result, if only an empty one.
    ///
    /// # Errors
    /// Fails when the voice fails.
    pub(crate) fn finalize(&mut self, heard: &mut Vec<Heard>) -> Result<(), RecognizerError> {
        self.hear_rest(heard)?;
        self.cut(Cause::Finalize, heard)
    }

    /// Says the last of what was heard.
    ///
    /// # Errors
    /// Fails when the voice fails.
    pub(crate) fn finish(&mut self, heard: &mut Vec<Heard>) -> Result<(), RecognizerError> {
        self.hear_rest(heard)?;
        if self.position > self.start {
            self.cut(if self.speaking { Cause::End } else { Cause::Length }, heard)?;
        }
        Ok(())
    }

    /// Hears the block, complete or not.
    fn hear_rest(&mut self, heard: &mut Vec<Heard>) -> Result<(), RecognizerError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let sound = self.pauses.judge(&self.rest);
        self.recognizer.hear(&self.rest, sound)?;
        let begin = self.position;
        self.position += self.rest.len() as u64;
        self.rest.clear();
        if sound == Sound::Speech {
            self.note_speech(begin, heard);
        }
        Ok(())
    }

    fn note_speech(&mut self, begin: u64, heard: &mut Vec<Heard>) {
        if !self.speaking && self.onsets == Onsets::Announced {
            heard.push(Heard::SpeechStarted(begin));
        }
        self.speaking = true;
        self.last_speech = Some(self.position);
        self.silent_since = self.position;
    }

    fn cut_where_due(&mut self, heard: &mut Vec<Heard>) -> Result<(), RecognizerError> {
        match self.cut_due() {
            Some(cause) => self.cut(cause, heard)?,
            None => self.guess_where_due(heard),
        }
        self.announce_utterance_end(heard);
        Ok(())
    }

    fn cut_due(&self) -> Option<Cause> {
        let silence = self.position - self.silent_since;
        let length = self.position - self.start;
        if self.speaking && self.spans.endpoint.is_some_and(|endpoint| silence >= endpoint) {
            return Some(Cause::Pause);
        }
        let due = match self.last_speech {
            Some(_) => {
                silence >= self.spans.pause
                    || length >= self.spans.longest
                    || (length >= self.spans.long && silence >= self.spans.gap)
            }
            None => length >= self.spans.longest_silence,
        };
        due.then_some(Cause::Length)
    }

    fn cut(&mut self, cause: Cause, heard: &mut Vec<Heard>) -> Result<(), RecognizerError> {
        let words = self.recognizer.conclude()?;
        self.unfinished += words.len();
        self.speaking = self.speaking && !cause.ends_speech();
        let noise = cause == Cause::Pause && self.unfinished == 0;
        let piece = self.piece(words, if noise { Cause::Length } else { cause });
        self.last_word_end = piece.words.last().map(|word| word.end).or(self.last_word_end);
        heard.push(Heard::Piece(piece));
        if !self.speaking {
            self.unfinished = 0;
        }
        self.start = self.position;
        self.shown = self.position;
        self.last_speech = None;
        Ok(())
    }

    fn guess_where_due(&mut self, heard: &mut Vec<Heard>) {
        let due = self.spans.interim_every.is_some_and(|every| self.position - self.shown >= every);
        if due {
            let words = self.recognizer.guess();
            heard.push(Heard::Piece(self.piece(words, Cause::Interim)));
            self.shown = self.position;
        }
    }

    fn announce_utterance_end(&mut self, heard: &mut Vec<Heard>) {
        let (Some(span), Some(end)) = (self.spans.utterance_end, self.last_word_end) else { return };
        if self.last_speech.is_none() && self.position.saturating_sub(end) >= span {
            heard.push(Heard::UtteranceEnd(end));
            self.last_word_end = None;
        }
    }

    /// Puts words into the bounds of the piece that they belong to, in order.
    fn piece(&self, mut words: Vec<Word>, cause: Cause) -> Piece {
        let mut earliest = self.start;
        for word in &mut words {
            word.start = word.start.clamp(earliest, self.position.max(earliest));
            word.end = word.end.clamp(word.start, self.position.max(word.start));
            earliest = word.end;
        }
        Piece { start: self.start, end: self.position, words, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says one word for every utterance.
    #[derive(Default)]
    struct Parrot {
        heard: u64,
        speech: Option<(u64, u64)>,
    }

    impl Recognizer for Parrot {
        fn hear(&mut self, samples: &[i16], sound: Sound) -> Result<(), RecognizerError> {
            let begin = self.heard;
            self.heard += samples.len() as u64;
            if sound == Sound::Speech {
                self.speech = Some((self.speech.map_or(begin, |(start, _)| start), self.heard));
            }
            Ok(())
        }

        fn guess(&mut self) -> Vec<Word> {
            let word = |(start, end)| Word { text: "squawk".to_owned(), start, end, confidence: 1.0 };
            self.speech.map(word).into_iter().collect()
        }

        fn conclude(&mut self) -> Result<Vec<Word>, RecognizerError> {
            let words = self.guess();
            self.speech = None;
            Ok(words)
        }
    }

    fn options(query: &[(&str, &str)]) -> Options {
        let pairs: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Options::read(&pairs).expect("a good query")
    }

    fn transcriber(query: &[(&str, &str)]) -> Transcriber {
        Transcriber::new(Box::new(Parrot::default()), &options(query), &Segmentation::default())
    }

    fn silence(seconds: f64) -> Vec<i16> {
        tone(seconds, 0.0)
    }

    fn speech(seconds: f64) -> Vec<i16> {
        tone(seconds, 8000.0)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers of a test")]
    fn tone(seconds: f64, loudness: f64) -> Vec<i16> {
        let samples = (seconds * f64::from(RATE)) as u32;
        (0..samples).map(|n| ((f64::from(n) * 0.3).sin() * loudness) as i16).collect()
    }

    fn pieces(heard: &[Heard]) -> Vec<&Piece> {
        let mut pieces = Vec::new();
        for heard in heard {
            if let Heard::Piece(piece) = heard {
                pieces.push(piece);
            }
        }
        pieces
    }

    #[test]
    fn finals_tile_the_sound_without_gap_or_overlap() {
        let mut transcriber = transcriber(&[]);
        let mut heard = Vec::new();
        let sound = [silence(1.0), speech(2.0), silence(6.0), speech(20.0), silence(0.5), speech(0.33)].concat();
        for chunk in sound.chunks(777) {
            transcriber.hear(chunk, &mut heard).unwrap();
        }
        transcriber.finish(&mut heard).unwrap();
        let ends: Vec<_> = pieces(&heard).iter().map(|piece| (piece.start, piece.end)).collect();
        assert!(ends.len() >= 5, "{ends:?}");
        assert!(ends.windows(2).all(|pair| pair[0].1 == pair[1].0), "{ends:?}");
        assert_eq!((ends[0].0, ends[ends.len() - 1].1), (0, sound.len() as u64));
    }

    #[test]
    fn progress_is_shown_every_second_even_over_silence() {
        let mut transcriber = transcriber(&[("interim_results", "true")]);
        let mut heard = Vec::new();
        transcriber.hear(&[silence(3.0), speech(3.0), silence(3.0)].concat(), &mut heard).unwrap();
        let shown: Vec<_> = pieces(&heard).iter().map(|piece| piece.end).collect();
        assert!(shown.windows(2).all(|pair| pair[1] - pair[0] <= u64::from(RATE)), "{shown:?}");
    }

    #[test]
    fn a_pause_completes_what_was_said_once() {
        let mut transcriber = transcriber(&[("endpointing", "500"), ("vad_events", "true")]);
        let mut heard = Vec::new();
        transcriber.hear(&[silence(0.5), speech(1.0), silence(3.0)].concat(), &mut heard).unwrap();
        assert!(matches!(heard[0], Heard::SpeechStarted(_)), "{heard:?}");
        let complete: Vec<_> = pieces(&heard).into_iter().filter(|piece| piece.cause == Cause::Pause).collect();
        assert_eq!(complete.len(), 1);
        assert_eq!(complete[0].words.len(), 1);
    }

    #[test]
    fn a_long_endpointing_still_makes_the_words_final_soon() {
        let mut transcriber = transcriber(&[("endpointing", "2500")]);
        let mut heard = Vec::new();
        transcriber.hear(&[speech(1.0), silence(3.0)].concat(), &mut heard).unwrap();
        let causes: Vec<_> = pieces(&heard).iter().map(|piece| (piece.cause, piece.words.len())).collect();
        assert_eq!(causes, [(Cause::Length, 1), (Cause::Pause, 0)]);
    }

    #[test]
    fn without_endpointing_nothing_is_called_complete() {
        let mut transcriber = transcriber(&[("endpointing", "false")]);
        let mut heard = Vec::new();
        transcriber.hear(&[speech(1.0), silence(9.0)].concat(), &mut heard).unwrap();
        assert!(pieces(&heard).iter().all(|piece| piece.cause == Cause::Length), "{heard:?}");
    }

    #[test]
    fn the_end_of_an_utterance_is_announced_after_its_words() {
        let mut transcriber = transcriber(&[("utterance_end_ms", "1000"), ("interim_results", "true")]);
        let mut heard = Vec::new();
        transcriber.hear(&[speech(1.0), silence(3.0)].concat(), &mut heard).unwrap();
        let last_word = pieces(&heard).iter().flat_map(|piece| &piece.words).map(|word| word.end).max();
        let announced: Vec<_> = heard.iter().filter(|heard| matches!(heard, Heard::UtteranceEnd(_))).collect();
        assert_eq!(announced, [&Heard::UtteranceEnd(last_word.unwrap())]);
    }

    #[test]
    fn finalize_always_answers() {
        let mut transcriber = transcriber(&[]);
        let mut heard = Vec::new();
        transcriber.finalize(&mut heard).unwrap();
        transcriber.hear(&speech(1.0), &mut heard).unwrap();
        transcriber.finalize(&mut heard).unwrap();
        let words: Vec<_> = pieces(&heard).iter().map(|piece| (piece.cause, piece.words.len())).collect();
        assert_eq!(words, [(Cause::Finalize, 0), (Cause::Finalize, 1)]);
    }
}
