//! A transcript in the form that was asked for.

use std::time::Duration;

use serde_json::{Value, json};
use session::captions::{self, Cue};

use super::language;
use super::order::{Format, Granularity, Manner, Order};
use crate::transcript::{Transcript, Word};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const EVENTS: &str = "text/event-stream; charset=utf-8";

/// Audio tokens of a second, as `OpenAI` counts them.
const TOKENS_PER_SECOND: f64 = 10.0;

/// Writes an answer: its type and its body.
pub(super) fn render(order: &Order, heard: &Transcript) -> (&'static str, String) {
    match (order.manner, order.format) {
        (Manner::Events, _) => (EVENTS, events(heard)),
        (Manner::Whole, Format::Json) => {
            (JSON, json!({ "text": heard.text, "usage": usage(&order.name, heard) }).to_string())
        }
        (Manner::Whole, Format::Text) => (TEXT, format!("{}\n", heard.text)),
        (Manner::Whole, Format::Srt) => (TEXT, captions::srt(&cues(heard))),
        (Manner::Whole, Format::Vtt) => (TEXT, captions::vtt(&cues(heard))),
        (Manner::Whole, Format::VerboseJson) => (JSON, verbose(order, heard).to_string()),
    }
}

/// Writes one event for each word, then the whole. The pieces are cut out of the text, so together they are the text.
fn events(heard: &Transcript) -> String {
    let deltas = pieces(&heard.text).map(|piece| json!({ "type": "transcript.text.delta", "delta": piece }));
    let done = json!({ "type": "transcript.text.done", "text": heard.text, "usage": tokens(heard) });
    deltas.chain([done]).map(|event| format!("data: {event}\n\n")).collect()
}

/// Cuts a text before each word; white space belongs to the word after it.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let word = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        let end = rest[word..].find(char::is_whitespace).map_or(rest.len(), |length| word + length);
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

fn verbose(order: &Order, heard: &Transcript) -> Value {
    let spoken = order.language.as_ref().map(|tag| tag.as_str()).or(heard.language.as_deref());
    let spoken = spoken.or_else(|| order.native.as_ref().map(|tag| tag.as_str())).unwrap_or("en");
    let mut answer = json!({
        "task": "transcribe",
        "language": language::name(spoken),
        "duration": seconds(heard.duration),
        "text": heard.text,
        "usage": length(heard),
    });
    let wanted = &order.granularities;
    if wanted.is_empty() || wanted.contains(&Granularity::Segment) {
        answer["segments"] = segments(heard);
    }
    if wanted.contains(&Granularity::Word) {
        answer["words"] = heard.timed_words().iter().map(word).collect();
    }
    answer
}

fn word(word: &Word) -> Value {
    let bare = word.text.trim_matches(|c: char| c.is_ascii_punctuation() && c != '\'');
    let text = if bare.is_empty() { &word.text } else { bare };
    json!({ "word": text, "start": seconds(word.start), "end": seconds(word.end) })
}

/// A segment is a cue. What only Whisper knows of one is given as it is for speech that was heard well.
fn segments(heard: &Transcript) -> Value {
    let per_word = |word: &Word| vec![word.confidence; word.text.split_whitespace().count()];
    let mut confidences = heard.words.iter().flat_map(per_word);
    let segment = |(id, cue): (usize, Cue)| {
        let text = cue.lines.join(" ");
        let count = text.split_whitespace().count();
        json!({
            "id": id,
            "seek": cue.start.as_millis() / 10,
            "start": seconds(cue.start),
            "end": seconds(cue.end),
            "text": format!(" {text}"),
            "tokens": [],
            "temperature": 0.0,
            "avg_logprob": mean_logarithm(confidences.by_ref().take(count)),
            "compression_ratio": 1.0,
            "no_speech_prob": 0.0,
        })
    };
    cues(heard).into_iter().enumerate().map(segment).collect()
}

/// Averages the logarithms of confidences; 0 where an engine gives none.
fn mean_logarithm(confidences: impl Iterator<Item = f64>) -> f64 {
    let known = confidences.filter(|confidence| *confidence > 0.0);
    let (sum, count) = known.fold((0.0, 0.0), |(sum, count), confidence| (sum + confidence.ln(), count + 1.0));
    sum / f64::max(count, 1.0)
}

fn cues(heard: &Transcript) -> Vec<Cue> {
    let words = heard.words.iter();
    let words = words.map(|word| captions::Word { text: &word.text, start: word.start, end: word.end });
    captions::cues(&words.collect::<Vec<_>>())
}

/// Writes a time with no more digits than it has.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 microseconds, which is 285 years")]
fn seconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e6
}

/// Tells what an answer cost, in the unit that callers of this model expect.
fn usage(model: &str, heard: &Transcript) -> Value {
    if model.starts_with("gpt-") { tokens(heard) } else { length(heard) }
}

fn length(heard: &Transcript) -> Value {
    json!({ "type": "duration", "seconds": whole(heard.duration, 1.0) })
}

/// Counts audio by time and text by words: there are no tokens here.
fn tokens(heard: &Transcript) -> Value {
    let (input, output) = (whole(heard.duration, TOKENS_PER_SECOND), heard.words.len() as u64);
    json!({
        "type": "tokens",
        "input_tokens": input,
        "input_token_details": { "text_tokens": 0, "audio_tokens": input },
        "output_tokens": output,
        "total_tokens": input + output,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a duration is positive, and a cast saturates"
)]
fn whole(duration: Duration, per_second: f64) -> u64 {
    (duration.as_secs_f64() * per_second).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_text_are_the_text() {
        for text in ["", " ", "one", "Hello there.", "  two  words \n", "à la\u{a0}carte"] {
            assert_eq!(pieces(text).collect::<String>(), text, "{text:?}");
        }
        assert_eq!(pieces("Hello there.").collect::<Vec<_>>(), ["Hello", " there."]);
    }
}
