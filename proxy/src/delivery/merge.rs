//! The answers to chunks, put together to the answer that their file would have got: in order, with times shifted, and
//! without a seam where a chunk ends in the middle of a sentence.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::parts::{Alternative, Channel, Paragraph, Paragraphs, Results, Utterance, confidence, joined};

/// Silence between two paragraphs, at least: as engines that know no punctuation cut them.
const PARAGRAPH: f64 = 2.0;
/// Silence between two utterances, unless the caller says otherwise: Deepgram's default.
const UTTERANCE: f64 = 0.8;

/// The answer to one chunk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Part {
    metadata: Map<String, Value>,
    results: Results,
}

/// What is known of the file itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Whole {
    pub(super) request_id: String,
    pub(super) sha256: String,
    pub(super) duration: Duration,
    pub(super) channels: usize,
}

/// The answer to a file, as far as its chunks were heard.
#[derive(Debug)]
pub(super) struct Merged {
    metadata: Map<String, Value>,
    results: Results,
    /// Seconds of silence between two utterances.
    split: f64,
}

impl Part {
    /// Reads an engine's answer.
    pub(super) fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// Writes it as it was read.
    ///
    /// # Errors
    /// When it holds what JSON cannot.
    pub(super) fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Returns what was said in its first channel.
    pub(super) fn text(&self) -> &str {
        let first = self.results.channels.first().and_then(|channel| channel.alternatives.first());
        first.map_or("", |alternative| &alternative.transcript)
    }
}

impl Merged {
    /// Begins with nothing. `query` is what the caller asked for.
    pub(super) fn new(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "utt_split");
        let split = pairs.filter_map(|(_, seconds)| seconds.parse().ok()).last().unwrap_or(UTTERANCE);
        Self { metadata: Map::new(), results: Results::default(), split }
    }

    /// Tells whether nothing was added.
    pub(super) fn is_empty(&self) -> bool {
        self.metadata.is_empty()
    }

    /// Adds the next chunk, which begins at `start` of the file.
    pub(super) fn push(&mut self, mut part: Part, start: Duration) {
        part.results.shift(start.as_secs_f64());
        if self.is_empty() {
            self.metadata = part.metadata;
            self.results = part.results;
            return;
        }
        for (number, channel) in part.results.channels.into_iter().enumerate() {
            match self.results.channels.get_mut(number) {
                Some(before) => join_channels(before, channel, self.split),
                None => self.results.channels.push(channel),
            }
        }
        if let Some(utterances) = part.results.utterances {
            join_utterances(self.results.utterances.get_or_insert_default(), utterances, self.split);
        }
    }

    /// Writes the answer.
    ///
    /// # Errors
    /// When it holds what JSON cannot.
    pub(super) fn finish(mut self, whole: Whole) -> Result<Vec<u8>, serde_json::Error> {
        let Whole { request_id, sha256, duration, channels } = whole;
        let own = [
            ("request_id", json!(request_id)),
            ("sha256", json!(sha256)),
            ("duration", json!(duration.as_secs_f64())),
            ("channels", json!(channels)),
        ];
        self.metadata.extend(own.map(|(name, value)| (name.to_owned(), value)));
        Part { metadata: self.metadata, results: self.results }.write()
    }
}

fn join_channels(before: &mut Channel, after: Channel, split: f64) {
    match (before.alternatives.first_mut(), after.alternatives.into_iter().next()) {
        (Some(best), Some(next)) => join_alternatives(best, next, split),
        (None, Some(next)) => before.alternatives.push(next),
        (Some(_) | None, None) => {}
    }
    // Other readings of one chunk belong to no reading of the next.
    before.alternatives.truncate(1);
}

fn join_alternatives(before: &mut Alternative, after: Alternative, split: f64) {
    before.transcript = joined(&before.transcript, &after.transcript);
    before.words.extend(after.words);
    before.confidence = confidence(&before.words);
    match (&mut before.paragraphs, after.paragraphs) {
        (Some(before), Some(after)) => join_paragraphs(before, after, split),
        (none @ None, after) => *none = after,
        (Some(_), None) => {}
    }
}

/// Somebody who goes on after a cut goes on in the same utterance.
fn join_utterances(before: &mut Vec<Utterance>, after: Vec<Utterance>, split: f64) {
    for next in after {
        let last = before.iter_mut().rfind(|last| last.channel == next.channel);
        match last.filter(|last| next.start - last.end < split && last.rest.get("speaker") == next.rest.get("speaker"))
        {
            Some(last) => last.join(next),
            None => before.push(next),
        }
    }
}

fn join_paragraphs(before: &mut Paragraphs, after: Paragraphs, split: f64) {
    for next in after.paragraphs {
        let last = before.paragraphs.last_mut().filter(|last| next.start - last.end < split.max(PARAGRAPH));
        match last.filter(|last| last.rest == next.rest) {
            Some(last) => last.join(next, split),
            None => before.paragraphs.push(next),
        }
    }
    let texts: Vec<String> = before.paragraphs.iter().map(Paragraph::text).collect();
    before.transcript = if texts.is_empty() { String::new() } else { format!("\n{}", texts.join("\n\n")) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str, start: f64) -> Value {
        json!({ "word": text, "punctuated_word": text, "start": start, "end": start + 0.5, "confidence": 0.5, "speaker": 0 })
    }

    /// The answer to a chunk in which words were said, each at a time, in one utterance and one paragraph.
    fn part(words: &[(&str, f64)]) -> Part {
        let said: Vec<_> = words.iter().map(|(text, start)| word(text, *start)).collect();
        let text = words.iter().map(|(text, _)| *text).collect::<Vec<_>>().join(" ");
        let (start, end) = (words.first().map_or(0.0, |w| w.1), words.last().map_or(0.0, |w| w.1 + 0.5));
        let sentence = json!({ "text": text, "start": start, "end": end });
        let paragraph = json!({ "sentences": [sentence], "num_words": words.len(), "start": start, "end": end });
        let mut utterance = json!({ "start": start, "end": end, "confidence": 0.5, "channel": 0, "transcript": text,
            "words": said, "id": "5f0c1c5e-5a2b-4c1f-8b55-0f2f9f0b7a01" });
        if words.is_empty() {
            utterance = Value::Null;
        }
        let list = |value: Value| if value.is_null() { json!([]) } else { json!([value]) };
        let paragraphs = list(if words.is_empty() { Value::Null } else { paragraph });
        let best = json!({ "transcript": text, "confidence": 0.5, "words": said,
            "paragraphs": { "transcript": format!("\n{text}"), "paragraphs": paragraphs } });
        let body = json!({
            "metadata": { "transaction_key": "deprecated", "request_id": "chunk", "sha256": "chunk", "duration": 30.0, "channels": 1 },
            "results": { "channels": [{ "alternatives": [best], "detected_language": "en" }], "utterances": list(utterance) },
        });
        Part::read(body.to_string().as_bytes()).unwrap()
    }

    fn merged(query: &str, parts: &[(&[(&str, f64)], u64)]) -> Value {
        let mut merged = Merged::new(query);
        for (words, start) in parts {
            merged.push(part(words), Duration::from_secs(*start));
        }
        let (request_id, sha256) = ("file".to_owned(), "digest".to_owned());
        let whole = Whole { request_id, sha256, duration: Duration::from_millis(61_500), channels: 2 };
        serde_json::from_slice(&merged.finish(whole).unwrap()).unwrap()
    }

    #[test]
    fn words_come_in_order_at_their_times_and_the_metadata_is_the_files() {
        let answer = merged("", &[(&[("go", 1.0), ("on", 29.0)], 0), (&[], 30), (&[("stop", 0.25)], 60)]);
        let expected = json!({ "transaction_key": "deprecated", "request_id": "file", "sha256": "digest",
            "duration": 61.5, "channels": 2 });
        assert_eq!(answer["metadata"], expected);
        let channel = &answer["results"]["channels"][0];
        assert_eq!(channel["detected_language"], "en");
        let best = &channel["alternatives"][0];
        assert_eq!((&best["transcript"], &best["confidence"]), (&json!("go on stop"), &json!(0.5)));
        assert_eq!(best["words"], json!([word("go", 1.0), word("on", 29.0), word("stop", 60.25)]));
    }

    #[test]
    fn who_goes_on_after_a_cut_goes_on_in_the_same_utterance_and_paragraph() {
        let parts: [(&[_], _); 3] = [(&[("go", 28.0)], 0), (&[("on", -1.0)], 30), (&[("stop", 5.0)], 60)];
        let answer = merged("utt_split=0.75", &parts);
        let utterances = answer["results"]["utterances"].as_array().unwrap();
        let texts: Vec<_> = utterances.iter().map(|said| said["transcript"].as_str().unwrap()).collect();
        assert_eq!(texts, ["go on", "stop"]);
        assert_eq!((&utterances[0]["start"], &utterances[0]["end"]), (&json!(28.0), &json!(29.5)));
        assert_eq!(utterances[0]["words"].as_array().unwrap().len(), 2);
        let paragraphs = &answer["results"]["channels"][0]["alternatives"][0]["paragraphs"];
        assert_eq!(paragraphs["transcript"], "\ngo on\n\nstop");
        let first = &paragraphs["paragraphs"][0];
        assert_eq!((&first["num_words"], &first["end"]), (&json!(2), &json!(29.5)));
        assert_eq!(first["sentences"], json!([{ "text": "go on", "start": 28.0, "end": 29.5 }]));

        let apart = merged("utt_split=0.25", &parts);
        assert_eq!(apart["results"]["utterances"].as_array().unwrap().len(), 3);
        let paragraphs = &apart["results"]["channels"][0]["alternatives"][0]["paragraphs"]["paragraphs"];
        assert_eq!(paragraphs[0]["sentences"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn what_was_not_asked_for_is_not_there() {
        let body = r#"{"metadata":{"duration":1},"results":{"channels":[{"alternatives":[{"transcript":"","confidence":0,"words":[]}]}]}}"#;
        let mut merged = Merged::new("");
        for start in [0, 30] {
            merged.push(Part::read(body.as_bytes()).unwrap(), Duration::from_secs(start));
        }
        let whole = Whole { request_id: String::new(), sha256: String::new(), duration: Duration::ZERO, channels: 1 };
        let answer: Value = serde_json::from_slice(&merged.finish(whole).unwrap()).unwrap();
        let silence =
            json!({ "channels": [{ "alternatives": [{ "transcript": "", "confidence": 0.0, "words": [] }] }] });
        assert_eq!(answer["results"], silence);
        assert!(Part::read(b"{}").is_err());
    }
}
