//! The answer to a file: all words, and the utterances and paragraphs they fall into.

use std::time::Duration;

use audio::SampleRate;
use serde::Serialize;
use uuid::Uuid;

use crate::answer::{Alternative, Answers, Metadata, Received, WordAnswer, confidence, seconds, transcript};
use crate::query::{Feature, Options};
use crate::recognizer::Word;

/// Silence between two paragraphs.
const PARAGRAPH: Duration = Duration::from_secs(2);

/// The body of the response.
#[derive(Serialize)]
pub(crate) struct Transcript {
    metadata: Metadata,
    results: Results,
}

#[derive(Serialize)]
struct Results {
    channels: [Channel; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    utterances: Option<Vec<Utterance>>,
}

#[derive(Serialize)]
struct Channel {
    alternatives: [Heard; 1],
}

#[derive(Serialize)]
struct Heard {
    #[serde(flatten)]
    alternative: Alternative,
    #[serde(skip_serializing_if = "Option::is_none")]
    paragraphs: Option<Paragraphs>,
}

#[derive(Serialize)]
struct Utterance {
    start: f64,
    end: f64,
    confidence: f64,
    channel: u8,
    transcript: String,
    words: Vec<WordAnswer>,
    id: Uuid,
}

#[derive(Serialize)]
struct Paragraphs {
    transcript: String,
    paragraphs: Vec<Paragraph>,
}

#[derive(Serialize)]
struct Paragraph {
    sentences: Vec<Sentence>,
    num_words: usize,
    start: f64,
    end: f64,
}

#[derive(Serialize)]
struct Sentence {
    text: String,
    start: f64,
    end: f64,
}

impl Transcript {
    /// Writes the answer.
    pub(crate) fn new(answers: &Answers, received: Received, words: &[Word]) -> Self {
        let options = &answers.options;
        let paragraphed = options.wants(Feature::Paragraphs) || options.wants(Feature::SmartFormat);
        let heard = Heard {
            alternative: Alternative::new(words, options),
            paragraphs: paragraphed.then(|| paragraphs(words, options.utterance_split)),
        };
        let utterances = || apart(words, options.utterance_split).map(|words| utterance(words, options)).collect();
        Self {
            metadata: answers.metadata(received),
            results: Results {
                channels: [Channel { alternatives: [heard] }],
                utterances: options.wants(Feature::Utterances).then(utterances),
            },
        }
    }
}

/// Cuts words where the silence between two of them is at least so long.
fn apart(words: &[Word], silence: Duration) -> impl Iterator<Item = &[Word]> {
    let gap = SampleRate::HZ_16000.samples_in(silence);
    words.chunk_by(move |before, after| after.start.saturating_sub(before.end) < gap)
}

fn start(words: &[Word]) -> f64 {
    words.first().map_or(0.0, |word| seconds(word.start))
}

fn end(words: &[Word]) -> f64 {
    words.last().map_or(0.0, |word| seconds(word.end))
}

fn utterance(words: &[Word], options: &Options) -> Utterance {
    Utterance {
        start: start(words),
        end: end(words),
        confidence: confidence(words),
        channel: 0,
        transcript: transcript(words),
        words: words.iter().map(|word| WordAnswer::new(word, options)).collect(),
        id: Uuid::new_v4(),
    }
}

/// Without punctuation a sentence is what is said between two pauses.
fn paragraphs(words: &[Word], pause: Duration) -> Paragraphs {
    let paragraph = |words: &[Word]| Paragraph {
        sentences: apart(words, pause)
            .map(|words| Sentence { text: transcript(words), start: start(words), end: end(words) })
            .collect(),
        num_words: words.len(),
        start: start(words),
        end: end(words),
    };
    let paragraphs: Vec<_> = apart(words, PARAGRAPH.max(pause)).map(paragraph).collect();
    let texts = apart(words, PARAGRAPH.max(pause)).map(|words| format!("\n{}", transcript(words)));
    Paragraphs { transcript: texts.collect::<Vec<_>>().join("\n"), paragraphs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_at_long_silences_only() {
        let at = |start: u64| Word { text: "so".to_owned(), start, end: start + 4_000, confidence: 1.0 };
        let words = [at(0), at(8_000), at(40_000)];
        let lengths: Vec<_> = apart(&words, Duration::from_millis(800)).map(<[Word]>::len).collect();
        assert_eq!(lengths, [2, 1]);
    }
}
