//! What was heard in a file, whichever engine heard it and whichever API asks: text, and words with their times.

use std::time::Duration;

/// One word.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Word {
    /// What was said, with its punctuation.
    pub(crate) text: String,
    /// When it begins.
    pub(crate) start: Duration,
    /// When it ends.
    pub(crate) end: Duration,
    /// How sure the engine is, from 0 to 1.
    pub(crate) confidence: f64,
}

/// How the times of words are known. What is worse is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timing {
    /// The engine gave each word its time.
    #[default]
    Heard,
    /// The engine gave segments, and the words of each are spread over it.
    WithinSegments,
    /// The engine gave no times, and the words are spread over the whole audio.
    Guessed,
}

impl Timing {
    /// Says what a caller who wants times must know, where the engine did not give them all.
    pub(crate) fn caveat(self) -> Option<&'static str> {
        match self {
            Self::Heard => None,
            Self::WithinSegments => {
                Some("the engine gives no word times: those of captions are spread over its segments")
            }
            Self::Guessed => {
                Some("the engine gives no times: those of captions and segments are spread over the audio")
            }
        }
    }
}

/// A whole file's words.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Transcript {
    /// All of it, as it is read.
    pub(crate) text: String,
    /// Its words, in order. Never empty where there is text: see [`Transcript::new`].
    pub(crate) words: Vec<Word>,
    /// How the times of its words are known.
    pub(crate) timing: Timing,
    /// How long the audio is.
    pub(crate) duration: Duration,
    /// The language that the engine found, where it was asked to or says so.
    pub(crate) language: Option<String>,
}

impl Transcript {
    /// Takes what an engine heard. Where it gives no words, those of the text are spread evenly over the audio.
    pub(crate) fn new(text: String, words: Vec<Word>, duration: Duration, language: Option<String>) -> Self {
        let timing = if words.is_empty() && !text.trim().is_empty() { Timing::Guessed } else { Timing::Heard };
        let words = if words.is_empty() { spread(&text, (Duration::ZERO, duration), 0.0) } else { words };
        Self { text, words, timing, duration, language }
    }

    /// Returns the words whose times the engine gave: all, or none.
    pub(crate) fn timed_words(&self) -> &[Word] {
        match self.timing {
            Timing::Heard => &self.words,
            Timing::WithinSegments | Timing::Guessed => &[],
        }
    }
}

/// Gives each word of a text an equal part of the time between `start` and `end`.
pub(crate) fn spread(text: &str, (start, end): (Duration, Duration), confidence: f64) -> Vec<Word> {
    let count = u32::try_from(text.split_whitespace().count()).unwrap_or(u32::MAX).max(1);
    let step = end.saturating_sub(start) / count;
    let place = |(number, text): (u32, &str)| {
        let start = start + step * number;
        Word { text: text.to_owned(), start, end: start + step, confidence }
    };
    (0..count).zip(text.split_whitespace()).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_without_times_are_spread_over_the_audio_and_called_guessed() {
        let transcript = Transcript::new("go forward now".to_owned(), vec![], Duration::from_secs(3), None);
        let places: Vec<_> = transcript.words.iter().map(|w| (w.text.as_str(), w.start.as_secs())).collect();
        assert_eq!(places, [("go", 0), ("forward", 1), ("now", 2)]);
        assert_eq!(transcript.words[2].end, Duration::from_secs(3));
        assert_eq!((transcript.timing, transcript.timed_words()), (Timing::Guessed, &[][..]));
    }

    #[test]
    fn silence_has_no_words_and_lacks_nothing() {
        let silence = Transcript::new(String::new(), vec![], Duration::from_secs(3), None);
        assert_eq!((silence.words, silence.timing.caveat()), (vec![], None));
    }
}
