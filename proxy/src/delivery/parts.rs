//! The answer of `/v1/listen` to a file, as far as putting several together needs it: fields that are not known here go
//! through as they are. Words are kept small, because twelve hours have a hundred thousand of them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The results of a file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Results {
    pub(super) channels: Vec<Channel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) utterances: Option<Vec<Utterance>>,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// What was said in one channel.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Channel {
    pub(super) alternatives: Vec<Alternative>,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// One reading of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Alternative {
    pub(super) transcript: String,
    #[serde(default)]
    pub(super) confidence: f64,
    #[serde(default)]
    pub(super) words: Vec<Word>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) paragraphs: Option<Paragraphs>,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// One word.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Word {
    pub(super) word: Box<str>,
    pub(super) start: f64,
    pub(super) end: f64,
    #[serde(default)]
    pub(super) confidence: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) punctuated_word: Option<Box<str>>,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// What is said between two pauses.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Utterance {
    pub(super) start: f64,
    pub(super) end: f64,
    #[serde(default)]
    pub(super) confidence: f64,
    #[serde(default)]
    pub(super) channel: u64,
    pub(super) transcript: String,
    #[serde(default)]
    pub(super) words: Vec<Word>,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// Paragraphs, and all of them as text.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Paragraphs {
    pub(super) transcript: String,
    pub(super) paragraphs: Vec<Paragraph>,
}

/// Sentences without a long pause.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Paragraph {
    pub(super) sentences: Vec<Sentence>,
    #[serde(default)]
    pub(super) num_words: u64,
    pub(super) start: f64,
    pub(super) end: f64,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// One sentence, or what is said between two pauses where there is no punctuation.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sentence {
    pub(super) text: String,
    pub(super) start: f64,
    pub(super) end: f64,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// Averages the words' confidence, to four digits; 0 when there are none.
#[expect(clippy::cast_precision_loss, reason = "words of hours are fewer than 2^53")]
pub(super) fn confidence(words: &[Word]) -> f64 {
    let mean = words.iter().map(|word| word.confidence).sum::<f64>() / words.len().max(1) as f64;
    (mean * 1e4).round() / 1e4
}

/// Joins texts by a space, unless one is empty.
pub(super) fn joined(before: &str, after: &str) -> String {
    let space = if before.is_empty() || after.is_empty() { "" } else { " " };
    format!("{before}{space}{after}")
}

impl Results {
    /// Moves every time by so many seconds.
    pub(super) fn shift(&mut self, by: f64) {
        for alternative in self.channels.iter_mut().flat_map(|channel| &mut channel.alternatives) {
            alternative.words.iter_mut().for_each(|word| word.shift(by));
            for paragraph in alternative.paragraphs.iter_mut().flat_map(|paragraphs| &mut paragraphs.paragraphs) {
                shift(&mut paragraph.start, &mut paragraph.end, by);
                paragraph.sentences.iter_mut().for_each(|said| shift(&mut said.start, &mut said.end, by));
            }
        }
        for utterance in self.utterances.iter_mut().flatten() {
            shift(&mut utterance.start, &mut utterance.end, by);
            utterance.words.iter_mut().for_each(|word| word.shift(by));
        }
    }
}

impl Word {
    fn shift(&mut self, by: f64) {
        shift(&mut self.start, &mut self.end, by);
    }
}

/// Moves both ends; to whole microseconds, so that no sum shows digits that nobody measured.
fn shift(start: &mut f64, end: &mut f64, by: f64) {
    for time in [start, end] {
        *time = ((*time + by) * 1e6).round() / 1e6;
    }
}

impl Utterance {
    /// Goes on with what the next chunk begins with.
    pub(super) fn join(&mut self, next: Self) {
        self.transcript = joined(&self.transcript, &next.transcript);
        self.words.extend(next.words);
        self.confidence = confidence(&self.words);
        self.end = next.end;
    }
}

impl Paragraph {
    /// Returns all of it.
    pub(super) fn text(&self) -> String {
        self.sentences.iter().fold(String::new(), |text, sentence| joined(&text, &sentence.text))
    }

    /// Goes on with what the next chunk begins with: in the same sentence, unless that ended.
    pub(super) fn join(&mut self, next: Self, pause: f64) {
        let mut sentences = next.sentences.into_iter();
        let goes_on = |last: &Sentence| next.start - last.end < pause && !last.text.ends_with(['.', '!', '?']);
        if let Some(last) = self.sentences.last_mut().filter(|last| goes_on(last))
            && let Some(first) = sentences.next()
        {
            last.text = joined(&last.text, &first.text);
            last.end = first.end;
        }
        self.sentences.extend(sentences);
        self.num_words += next.num_words;
        self.end = next.end;
    }
}
