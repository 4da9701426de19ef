//! What such servers say of what they heard: coded words, put as each of them puts it.

use audio::coded::{Ear, HeardWord};
use audio::{AudioStream, SampleRate};
use serde_json::{Value, json};

/// Samples in a second: what such servers hear.
const RATE: u32 = 16_000;

/// A word as a server says it, with its times in seconds.
pub(super) struct Said {
    text: String,
    start: f64,
    end: f64,
}

fn seconds(samples: u64) -> f64 {
    (samples as f64 / f64::from(RATE) * 100.0).round() / 100.0
}

/// Hears the words of a file, and how long it is in seconds.
pub(super) fn words(file: &[u8]) -> anyhow::Result<(Vec<Said>, f64)> {
    let rate = SampleRate::try_from(RATE)?;
    let (mut audio, mut samples) = (AudioStream::sniff(rate), Vec::new());
    audio.push(file, &mut samples)?;
    audio.finish(&mut samples)?;
    let (mut ear, mut heard) = (Ear::new(rate), Vec::new());
    ear.push(&samples, &mut heard);
    ear.finish(&mut heard);
    let said = |word: &HeardWord| Said {
        text: word.text().to_owned(),
        start: seconds(word.start_sample),
        end: seconds(word.end_sample),
    };
    Ok((heard.iter().map(said).collect(), audio.heard().as_secs_f64()))
}

/// Texts of segments and words begin with a space.
pub(super) fn joined(words: &[Said]) -> String {
    words.iter().map(|word| format!(" {}", word.text)).collect()
}

/// Segments of eight words.
fn segments(words: &[Said]) -> impl Iterator<Item = (usize, &[Said], f64, f64)> {
    let ends = |words: &[Said]| (words.first().map_or(0.0, |w| w.start), words.last().map_or(0.0, |w| w.end));
    words.chunks(8).enumerate().map(move |(id, words)| (id, words, ends(words).0, ends(words).1))
}

/// Words beside the segments; segments are counted from 1.
pub(super) fn speaches(words: &[Said], duration: f64) -> Value {
    let segment = |(id, words, start, end): (usize, &[Said], f64, f64)| {
        json!({
            "id": id + 1, "seek": 0, "start": start, "end": end, "text": joined(words), "tokens": [50364, 2425],
            "temperature": 0.0, "avg_logprob": -0.21, "compression_ratio": 0.9, "no_speech_prob": 0.01, "words": null,
        })
    };
    let word = |word: &Said| json!({ "start": word.start, "end": word.end, "word": format!(" {}", word.text), "probability": 0.9 });
    json!({
        "task": "transcribe", "language": "en", "duration": duration, "text": joined(words).trim_start(),
        "words": words.iter().map(word).collect::<Vec<_>>(), "segments": segments(words).map(segment).collect::<Vec<_>>(),
    })
}

/// No words; the length is a text, the language what the caller said.
pub(super) fn vllm(words: &[Said], duration: f64, language: Option<&str>) -> Value {
    let segment = |(id, words, start, end): (usize, &[Said], f64, f64)| {
        json!({
            "id": id, "seek": 0, "start": start, "end": end, "text": joined(words), "tokens": [], "temperature": 0.0,
            "avg_logprob": -0.3, "compression_ratio": 1.1, "no_speech_prob": null,
        })
    };
    json!({
        "duration": duration.to_string(), "language": language.unwrap_or("en"), "text": joined(words), "words": null,
        "segments": segments(words).map(segment).collect::<Vec<_>>(),
        "usage": { "type": "duration", "seconds": duration.ceil() },
    })
}

/// Words inside the segments, in two pieces where they are long; no `seek`; the language's full name; line ends.
pub(super) fn whisper_cpp(words: &[Said], duration: f64) -> Value {
    let pieces = |word: &Said| {
        let (first, second) = word.text.split_at(word.text.len() / 2);
        let middle = f64::midpoint(word.start, word.end);
        let piece = |text: String, start: f64, end: f64| json!({ "word": text, "start": start, "end": end, "t_dtw": -1, "probability": 0.8 });
        [piece(format!(" {first}"), word.start, middle), piece(second.to_owned(), middle, word.end)]
    };
    let segment = |(id, words, start, end): (usize, &[Said], f64, f64)| {
        json!({
            "id": id, "text": joined(words), "start": start, "end": end, "tokens": [1, 2],
            "words": words.iter().flat_map(pieces).collect::<Vec<_>>(),
            "temperature": 0.0, "avg_logprob": -0.2, "no_speech_prob": 0.0,
        })
    };
    let text: String = segments(words).map(|(_, words, _, _)| format!("{}\n", joined(words))).collect();
    json!({
        "task": "transcribe", "language": "english", "duration": duration, "text": text,
        "segments": segments(words).map(segment).collect::<Vec<_>>(),
        "detected_language": "english", "detected_language_probability": 0.0, "language_probabilities": {},
    })
}
