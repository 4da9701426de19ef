//! A transcript as the answer to a file, for engines that do not write one themselves.

use std::time::Duration;

use scheduler::{ModelName, SessionId};
use serde_json::{Value, json};

use super::query::Listen;
use crate::callers::model_id;
use crate::transcript::{Timing, Transcript, Word};

/// Silence between two paragraphs.
const PARAGRAPH: Duration = Duration::from_secs(2);
/// Silence between two utterances, where the caller names none.
const UTTERANCE: Duration = Duration::from_millis(800);

/// What an answer says of the upload.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    /// The digest of its bytes, in hexadecimal.
    pub(super) sha256: String,
    /// When it came, in RFC 3339.
    pub(super) created: String,
}

/// Writes the answer. Words that the engine did not time are not listed; the metadata then say so.
pub(super) fn answer(session: SessionId, listen: &Listen, heard: &Transcript, upload: &Upload) -> Value {
    let mut best = json!({
        "transcript": heard.text,
        "confidence": confidence(&heard.words),
        "words": words(heard.timed_words(), listen),
    });
    if listen.wants("paragraphs") || listen.wants("smart_format") {
        best["paragraphs"] = paragraphs(&heard.words);
    }
    let mut channel = json!({ "alternatives": [best] });
    if listen.wants("detect_language") {
        channel["detected_language"] = json!(heard.language);
    }
    let mut results = json!({ "channels": [channel] });
    if listen.wants("utterances") {
        results["utterances"] = utterances(heard, listen);
    }
    json!({ "metadata": metadata(session, &listen.asked.model, heard, upload), "results": results })
}

fn metadata(session: SessionId, model: &ModelName, heard: &Transcript, upload: &Upload) -> Value {
    let id = model_id(model).to_string();
    let info = json!({ "name": model, "version": "1", "arch": model });
    let mut metadata = json!({
        "transaction_key": "deprecated",
        "request_id": session.to_string(),
        "sha256": upload.sha256,
        "created": upload.created,
        "duration": seconds(heard.duration),
        "channels": 1,
        "models": [&id],
        "model_info": { &id: info },
    });
    if let Some(caveat) = heard.timing.caveat() {
        metadata["warnings"] = json!([{ "parameter": "words", "type": "unsupported_model", "message": caveat }]);
    }
    metadata
}

fn words(words: &[Word], listen: &Listen) -> Vec<Value> {
    let punctuated = listen.wants("punctuate") || listen.wants("smart_format");
    let word = |word: &Word| {
        let mut value = json!({
            "word": bare(&word.text),
            "start": seconds(word.start),
            "end": seconds(word.end),
            "confidence": word.confidence,
        });
        if punctuated {
            value["punctuated_word"] = json!(word.text);
        }
        value
    };
    words.iter().map(word).collect()
}

/// A word as it is said, without what only belongs on paper.
fn bare(text: &str) -> String {
    let bare = text.trim_matches(|c: char| c.is_ascii_punctuation() && c != '\'');
    if bare.is_empty() { text.to_owned() } else { bare.to_lowercase() }
}

fn apart(words: &[Word], silence: Duration) -> impl Iterator<Item = &[Word]> {
    words.chunk_by(move |before, after| after.start.saturating_sub(before.end) < silence)
}

fn utterances(heard: &Transcript, listen: &Listen) -> Value {
    let silence = listen.seconds("utt_split").unwrap_or(UTTERANCE);
    let utterance = |said: &[Word]| {
        let timed = if heard.timing == Timing::Heard { said } else { &[] };
        json!({
            "start": seconds(start(said)),
            "end": seconds(end(said)),
            "confidence": confidence(said),
            "channel": 0,
            "transcript": text(said),
            "words": words(timed, listen),
            "id": uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string(),
        })
    };
    apart(&heard.words, silence).map(utterance).collect()
}

/// A sentence ends where its punctuation says so.
fn paragraphs(heard: &[Word]) -> Value {
    let sentence =
        |said: &[Word]| json!({ "text": text(said), "start": seconds(start(said)), "end": seconds(end(said)) });
    let paragraph = |said: &[Word]| {
        let sentences = said.split_inclusive(|word| word.text.ends_with(['.', '!', '?']));
        json!({
            "sentences": sentences.map(sentence).collect::<Vec<_>>(),
            "num_words": said.len(),
            "start": seconds(start(said)),
            "end": seconds(end(said)),
        })
    };
    let texts: Vec<_> = apart(heard, PARAGRAPH).map(|said| format!("\n{}", text(said))).collect();
    let paragraphs: Vec<_> = apart(heard, PARAGRAPH).map(paragraph).collect();
    json!({ "transcript": texts.join("\n"), "paragraphs": paragraphs })
}

fn text(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

fn start(words: &[Word]) -> Duration {
    words.first().map_or(Duration::ZERO, |word| word.start)
}

fn end(words: &[Word]) -> Duration {
    words.last().map_or(Duration::ZERO, |word| word.end)
}

/// Averages the words' confidence; 0 when there are none, or the engine gives none.
fn confidence(words: &[Word]) -> f64 {
    let count = u32::try_from(words.len()).unwrap_or(u32::MAX).max(1);
    let mean = words.iter().map(|word| word.confidence).sum::<f64>() / f64::from(count);
    (mean * 1e4).round() / 1e4
}

/// Writes a time with no more digits than it has.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 microseconds, which is 285 years")]
fn seconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e6
}
