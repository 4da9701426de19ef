//! Reading the answer of an OpenAI-compatible server. Every server leaves something out or puts it elsewhere: words lie
//! beside the segments (speaches), inside them (whisper.cpp, a piece of a word at a time) or nowhere (vLLM), times are
//! numbers or texts, a length may be missing, and an error may come with status 200. What can be understood is; what
//! cannot be true is refused whole, for an engine that says it once will say it again.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::places::{Nonsense, Places};
use crate::transcript::{Timing, Transcript, Word, spread};

/// The most words that can be said in a second, ...
const WORDS_PER_SECOND: f64 = 30.0;
/// ... beyond these.
const WORDS_AT_ONCE: f64 = 30.0;
/// The engine's own length is believed where it is this close to the file's.
const SAME_LENGTH: Duration = Duration::from_secs(1);

/// An answer with everything that any server says.
#[derive(Debug, Deserialize)]
struct Answer {
    text: Option<String>,
    #[serde(default)]
    segments: Option<Vec<Segment>>,
    #[serde(default)]
    words: Option<Vec<Piece>>,
    duration: Option<Seconds>,
    language: Option<String>,
    usage: Option<Usage>,
    error: Option<Value>,
    detail: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Usage {
    seconds: Option<Seconds>,
}

#[derive(Debug, Deserialize)]
struct Segment {
    start: Option<Seconds>,
    end: Option<Seconds>,
    #[serde(default)]
    text: String,
    avg_logprob: Option<f64>,
    #[serde(default)]
    words: Option<Vec<Piece>>,
}

/// A word, or a part of one: a piece that does not begin with white space belongs to the word before, where any does.
#[derive(Debug, Deserialize)]
struct Piece {
    #[serde(alias = "text")]
    word: String,
    start: Option<Seconds>,
    end: Option<Seconds>,
    #[serde(alias = "confidence")]
    probability: Option<f64>,
}

/// A time, as a number or as text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

impl Seconds {
    fn get(&self) -> Result<f64, Nonsense> {
        match self {
            Self::Number(seconds) => Ok(*seconds),
            Self::Text(text) => text.trim().parse().map_err(|_| Nonsense::Time(text.chars().take(40).collect())),
        }
    }
}

/// Understands an answer to a file of this length, where that is known.
///
/// # Errors
/// Fails on what is no answer, and on one that cannot be true.
pub(super) fn hear(content_type: &str, body: &[u8], length: Option<Duration>) -> Result<Transcript, Nonsense> {
    match serde_json::from_slice::<Answer>(body) {
        Ok(answer) => answer.read(length),
        Err(error) if content_type.starts_with("text/plain") => {
            let text = std::str::from_utf8(body).map_err(|_| Nonsense::NoAnswer(error.to_string()))?;
            told(joined(text), Vec::new(), Timing::Guessed, length.unwrap_or_default())
        }
        Err(error) => Err(Nonsense::NoAnswer(error.to_string())),
    }
}

impl Answer {
    fn read(self, length: Option<Duration>) -> Result<Transcript, Nonsense> {
        if let Some(error) = self.error.as_ref().or(self.detail.as_ref()).filter(|error| !error.is_null()) {
            return Err(Nonsense::Error(error.to_string().chars().take(300).collect()));
        }
        let duration = self.duration(length)?;
        let (words, timing) = self.words(duration)?;
        let segments = self.segments.as_deref().unwrap_or_default();
        let text = match &self.text {
            Some(text) => joined(text),
            None if segments.is_empty() => return Err(Nonsense::NoText),
            None => joined(&segments.iter().map(|segment| segment.text.as_str()).collect::<Vec<_>>().join(" ")),
        };
        let last = words.last().map_or(Duration::ZERO, |word| word.end);
        let mut heard = told(text, words, timing, duration.unwrap_or(last))?;
        heard.language = self.language.filter(|language| !language.is_empty()).map(|language| language.to_lowercase());
        Ok(heard)
    }

    /// The file's own length, or what the engine says of it where that is the same; else what the engine says, if it can
    /// be true.
    fn duration(&self, length: Option<Duration>) -> Result<Option<Duration>, Nonsense> {
        let billed = self.usage.as_ref().and_then(|usage| usage.seconds.as_ref());
        let Some(said) = self.duration.as_ref().or(billed) else { return Ok(length) };
        let said = Duration::try_from_secs_f64(said.get()?).map_err(|_| Nonsense::Length)?;
        match length {
            Some(length) if self.duration.is_some() && said.abs_diff(length) <= SAME_LENGTH => Ok(Some(said)),
            Some(length) => Ok(Some(length)),
            None if said <= audio::MAX_DURATION => Ok(Some(said)),
            None => Err(Nonsense::Length),
        }
    }

    fn words(&self, duration: Option<Duration>) -> Result<(Vec<Word>, Timing), Nonsense> {
        let segments = self.segments.as_deref().unwrap_or_default();
        let inside = segments.iter().flat_map(|segment| segment.words.iter().flatten());
        let pieces: Vec<_> = self.words.iter().flatten().chain(inside).collect();
        let mut places = Places::new(duration);
        if pieces.iter().any(|piece| piece.start.is_some()) {
            return Ok((whole(&pieces, &mut places)?, Timing::Heard));
        }
        let mut words = Vec::new();
        for segment in segments {
            let (Some(start), Some(end)) = (&segment.start, &segment.end) else {
                return Ok((Vec::new(), Timing::Guessed));
            };
            let place = places.place(start.get()?, end.get()?)?;
            words.extend(spread(&segment.text, place, segment.avg_logprob.map_or(0.0, |log| ratio(log.exp()))));
        }
        let timing = if words.is_empty() { Timing::Guessed } else { Timing::WithinSegments };
        Ok((words, timing))
    }
}

/// Puts the pieces of words together.
fn whole(pieces: &[&Piece], places: &mut Places) -> Result<Vec<Word>, Nonsense> {
    let spaced = pieces.iter().any(|piece| piece.word.starts_with(char::is_whitespace));
    let mut words: Vec<Word> = Vec::new();
    for piece in pieces.iter().filter(|piece| !piece.word.trim().is_empty()) {
        let (Some(start), Some(end)) = (&piece.start, &piece.end) else { return Err(Nonsense::NoTime) };
        let (start, end) = places.place(start.get()?, end.get()?)?;
        let confidence = ratio(piece.probability.unwrap_or_default());
        match words.last_mut() {
            Some(word) if spaced && !piece.word.starts_with(char::is_whitespace) => {
                word.text.push_str(piece.word.trim());
                word.end = end;
                word.confidence = word.confidence.min(confidence);
            }
            Some(_) | None => words.push(Word { text: piece.word.trim().to_owned(), start, end, confidence }),
        }
    }
    Ok(words)
}

/// Makes the transcript, unless more was said than anyone can.
fn told(text: String, words: Vec<Word>, timing: Timing, duration: Duration) -> Result<Transcript, Nonsense> {
    let count = text.split_whitespace().count();
    #[expect(clippy::cast_precision_loss, reason = "a count of words is far below 2^53")]
    let too_many = count as f64 > WORDS_AT_ONCE + WORDS_PER_SECOND * duration.as_secs_f64();
    if too_many && !duration.is_zero() {
        return Err(Nonsense::TooMany { count, duration });
    }
    let heard = Transcript::new(text, words, duration, None);
    let timing = if heard.words.is_empty() { Timing::Heard } else { timing };
    Ok(Transcript { timing, ..heard })
}

/// Texts come with line ends between segments and spaces before them.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn ratio(value: f64) -> f64 {
    if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = "application/json";
    const FIVE: Option<Duration> = Some(Duration::from_secs(5));

    fn words(heard: &Transcript) -> Vec<(&str, u128, u128)> {
        let word = |word: &'_ Word| (word.start.as_millis(), word.end.as_millis());
        heard.words.iter().map(|w| (w.text.as_str(), word(w).0, word(w).1)).collect()
    }

    #[test]
    fn words_beside_the_segments_are_taken_with_their_times() {
        let body = r#"{"task":"transcribe","language":"en","duration":5.0,"text":"Hello there.",
            "segments":[{"id":1,"seek":0,"start":0.0,"end":1.2,"text":" Hello there.","words":null}],
            "words":[{"start":0.1,"end":0.4,"word":" Hello","probability":0.9},
                     {"start":0.5,"end":1.0,"word":" there.","probability":0.8}]}"#;
        let heard = hear(JSON, body.as_bytes(), FIVE).unwrap();
        assert_eq!(words(&heard), [("Hello", 100, 400), ("there.", 500, 1000)]);
        assert_eq!((heard.timing, heard.language.as_deref()), (Timing::Heard, Some("en")));
        assert!((heard.words[0].confidence - 0.9).abs() < 1e-9);
    }

    #[test]
    fn pieces_of_words_inside_segments_are_put_together() {
        let body = r#"{"task":"transcribe","language":"english","duration":5.0,"text":" Go forward,\n ten\n",
            "segments":[{"id":0,"text":" Go forward,","start":0.0,"end":1.0,"words":[
                {"word":" Go","start":0.0,"end":0.2,"t_dtw":-1,"probability":0.9},
                {"word":" for","start":0.2,"end":0.4,"t_dtw":-1,"probability":0.7},
                {"word":"ward","start":0.4,"end":0.6,"t_dtw":-1,"probability":0.9},
                {"word":",","start":0.6,"end":0.7,"t_dtw":-1,"probability":0.8}]},
              {"id":1,"text":" ten","start":1.0,"end":2.0,"words":[{"word":" ten","start":1.0,"end":2.0,"probability":0.9}]}]}"#;
        let heard = hear(JSON, body.as_bytes(), FIVE).unwrap();
        assert_eq!(words(&heard), [("Go", 0, 200), ("forward,", 200, 700), ("ten", 1000, 2000)]);
        assert_eq!(heard.text, "Go forward, ten");
    }

    #[test]
    fn segments_without_words_place_their_words_and_say_so() {
        let body = r#"{"duration":"5.0","language":"en","text":" one two three",
            "segments":[{"start":"0.0","end":"1.0","text":" one two","avg_logprob":-0.5},
                        {"start":"2.0","end":"3.5","text":" three","avg_logprob":null}]}"#;
        let heard = hear(JSON, body.as_bytes(), None).unwrap();
        assert_eq!(words(&heard), [("one", 0, 500), ("two", 500, 1000), ("three", 2000, 3500)]);
        assert_eq!((heard.timing, heard.duration), (Timing::WithinSegments, Duration::from_secs(5)));
        assert_eq!(heard.timed_words(), []);
    }

    #[test]
    fn a_text_alone_is_enough_and_its_times_are_guessed() {
        for (kind, body) in [
            (JSON, r#"{"text":"one two","logprobs":null,"usage":null}"#),
            (JSON, r#"{"text":"one two","usage":{"type":"duration","seconds":6}}"#),
            ("text/plain; charset=utf-8", " one\n two\n"),
        ] {
            let heard = hear(kind, body.as_bytes(), FIVE).unwrap();
            assert_eq!(words(&heard), [("one", 0, 2500), ("two", 2500, 5000)], "{body}");
            assert_eq!(heard.timing, Timing::Guessed);
        }
        let billed = r#"{"text":"one two","usage":{"type":"duration","seconds":6}}"#;
        assert_eq!(hear(JSON, billed.as_bytes(), None).unwrap().duration, Duration::from_secs(6));
    }

    #[test]
    fn silence_is_an_answer() {
        for body in [r#"{"text":""}"#, r#"{"text":"","segments":[],"words":[],"duration":5}"#] {
            let heard = hear(JSON, body.as_bytes(), FIVE).unwrap();
            assert_eq!((heard.words.len(), heard.timing, heard.duration), (0, Timing::Heard, Duration::from_secs(5)));
        }
    }

    #[test]
    fn what_cannot_be_true_is_refused_with_what_it_is() {
        let word =
            |start: &str, end: &str| format!(r#"{{"text":"a","words":[{{"word":"a","start":{start},"end":{end}}}]}}"#);
        let backwards =
            r#"{"text":"a b","words":[{"word":"a","start":3.0,"end":3.2},{"word":"b","start":1.0,"end":1.2}]}"#;
        let flood = format!(r#"{{"text":"{}"}}"#, "so ".repeat(200));
        for (body, expected) in [
            (word("-3.0", "1.0"), "a time of -3 s"),
            (word("1e300", "1e300"), "a time of 1e300 s"),
            (word("9.0", "9.5"), "a time of 9 s in 5 s of audio"),
            (word("2.0", "1.0"), "a word or segment from 2 s to 1 s"),
            (word("\"soon\"", "1.0"), "a time of \"soon\""),
            (
                word("null", "1.0")
                    .replace(r#""start":null"#, r#""start":1.0"#)
                    .replace(r#""end":1.0"#, r#""end":null"#),
                "a word without a time among words with one",
            ),
            (backwards.to_owned(), "a time of 1 s after one of 3.2 s"),
            (flood, "200 words in 5 s of audio"),
            (
                r#"{"error":{"message":"CUDA out of memory","code":500}}"#.to_owned(),
                r#"an error: {"code":500,"message":"CUDA out of memory"}"#,
            ),
            (r#"{"detail":"busy"}"#.to_owned(), r#"an error: "busy""#),
            ("{}".to_owned(), "no text"),
        ] {
            let error = hear(JSON, body.as_bytes(), FIVE).unwrap_err().to_string();
            assert_eq!(error, format!("the answer makes no sense: {expected}"), "{body}");
        }
        for body in ["", "[]", "<html>", r#"{"text":7}"#, "\u{0}", r#"{"text":"a","duration":NaN}"#] {
            assert!(matches!(hear(JSON, body.as_bytes(), FIVE), Err(Nonsense::NoAnswer(_))), "{body}");
        }
    }

    #[test]
    fn a_length_that_lies_gives_way_to_the_files_own() {
        for (said, expected) in [("5.4", 5400), ("4000", 5000), ("0", 5000)] {
            let body = format!(r#"{{"text":"a","duration":{said}}}"#);
            assert_eq!(hear(JSON, body.as_bytes(), FIVE).unwrap().duration.as_millis(), expected);
        }
        assert_eq!(hear(JSON, br#"{"text":"a","duration":-1}"#, None).unwrap_err(), Nonsense::Length);
    }
}
