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

/// A whole file's words.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Transcript {
    /// All of it, as it is read.
    pub(crate) text: String,
    /// Its words, in order. Never empty where there is text: see [`Transcript::new`].
    pub(crate) words: Vec<Word>,
    /// How long the audio is.
    pub(crate) duration: Duration,
    /// The language that the engine found, where it was asked to or says so.
    pub(crate) language: Option<String>,
}

impl Transcript {
    /// Takes what an engine heard. Where it gives no words, those of the text are spread evenly over the audio.
    pub(crate) fn new(text: String, words: Vec<Word>, duration: Duration, language: Option<String>) -> Self {
        let words = if words.is_empty() { spread(&text, duration) } else { words };
        Self { text, words, duration, language }
    }
}

fn spread(text: &str, duration: Duration) -> Vec<Word> {
    let count = u32::try_from(text.split_whitespace().count()).unwrap_or(u32::MAX).max(1);
    let step = duration / count;
    let place = |(number, text): (u32, &str)| {
        let start = step * number;
        Word { text: text.to_owned(), start, end: start + step, confidence: 0.0 }
    };
    (0..count).zip(text.split_whitespace()).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_without_times_are_spread_over_the_audio() {
        let transcript = Transcript::new("go forward now".to_owned(), vec![], Duration::from_secs(3), None);
        let places: Vec<_> = transcript.words.iter().map(|w| (w.text.as_str(), w.start.as_secs())).collect();
        assert_eq!(places, [("go", 0), ("forward", 1), ("now", 2)]);
        assert_eq!(transcript.words[2].end, Duration::from_secs(3));
    }

    #[test]
    fn silence_has_no_words() {
        assert_eq!(Transcript::new(String::new(), vec![], Duration::from_secs(3), None).words, []);
    }
}
