//! Reading the answer to a file.

use std::time::Duration;

use serde::Deserialize;

use super::Garbage;
use crate::transcript::{Transcript, Word};

#[derive(Deserialize)]
struct Answer {
    metadata: Metadata,
    results: Results,
}

#[derive(Deserialize)]
struct Metadata {
    duration: f64,
}

#[derive(Deserialize)]
struct Results {
    channels: Vec<Channel>,
}

#[derive(Deserialize)]
struct Channel {
    alternatives: Vec<Alternative>,
    detected_language: Option<String>,
}

#[derive(Deserialize)]
struct Alternative {
    transcript: String,
    #[serde(default)]
    words: Vec<Said>,
}

#[derive(Deserialize)]
struct Said {
    word: String,
    punctuated_word: Option<String>,
    start: f64,
    end: f64,
    #[serde(default)]
    confidence: f64,
}

impl TryFrom<Said> for Word {
    type Error = Garbage;

    fn try_from(said: Said) -> Result<Self, Garbage> {
        let text = said.punctuated_word.unwrap_or(said.word);
        Ok(Self { text, start: seconds(said.start)?, end: seconds(said.end)?, confidence: said.confidence })
    }
}

fn seconds(seconds: f64) -> Result<Duration, Garbage> {
    Duration::try_from_secs_f64(seconds).map_err(|_| Garbage)
}

/// Understands the answer to a file: the best reading of its first channel.
pub(crate) fn hear_file(body: &[u8]) -> Result<Transcript, Garbage> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| Garbage)?;
    let duration = seconds(answer.metadata.duration)?;
    let channel = answer.results.channels.into_iter().next().ok_or(Garbage)?;
    let best = channel.alternatives.into_iter().next().ok_or(Garbage)?;
    let words = best.words.into_iter().map(Word::try_from).collect::<Result<_, _>>()?;
    Ok(Transcript::new(best.transcript, words, duration, channel.detected_language))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_punctuation_and_their_times() {
        let body = br#"{"metadata":{"duration":1.5,"channels":1},"results":{"channels":[{"alternatives":[{
            "transcript":"Hello.","confidence":0.9,
            "words":[{"word":"hello","start":0.1,"end":0.4,"confidence":0.9,"punctuated_word":"Hello."}]}]}]}}"#;
        let heard = hear_file(body).unwrap();
        let (start, end) = (Duration::from_millis(100), Duration::from_millis(400));
        assert_eq!(heard.text, "Hello.");
        assert_eq!(heard.words, [Word { text: "Hello.".to_owned(), start, end, confidence: 0.9 }]);
        assert_eq!(heard.duration, Duration::from_millis(1500));
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_garbage() {
        let negative =
            r#"{"metadata":{"duration":-1.0},"results":{"channels":[{"alternatives":[{"transcript":""}]}]}}"#;
        for body in ["", "{}", r#"{"metadata":{"duration":1},"results":{"channels":[]}}"#, negative] {
            assert_eq!(hear_file(body.as_bytes()), Err(Garbage), "{body}");
        }
    }
}
