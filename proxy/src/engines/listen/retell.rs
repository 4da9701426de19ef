//! Telling an engine's message otherwise: after a move its times are those of a leg, and some of its words are known.

use std::time::Duration;

use serde_json::{Value, json};
use session::{Answers, Change};

use super::Garbage;

/// Writes a result as the caller shall see it.
pub(crate) fn retell(text: &str, change: &Change) -> Result<String, Garbage> {
    let mut message: Value = serde_json::from_str(text).map_err(|_| Garbage)?;
    message["start"] = seconds(change.start);
    // As different from the start as both are rounded, so that the next result begins where this one ends.
    message["duration"] = seconds(rounded(change.end).saturating_sub(rounded(change.start)));
    if message.get("from_finalize").is_some() {
        message["from_finalize"] = json!(change.answers == Answers::Finalize);
    }
    let alternatives = message.pointer_mut("/channel/alternatives").and_then(Value::as_array_mut);
    for alternative in alternatives.into_iter().flatten() {
        retell_alternative(alternative, change);
    }
    Ok(message.to_string())
}

fn retell_alternative(alternative: &mut Value, change: &Change) {
    let words = alternative.get_mut("words").and_then(Value::as_array_mut).filter(|words| !words.is_empty());
    let Some(words) = words else {
        // Without words of its own the whole text is one.
        if change.dropped > 0 {
            alternative["transcript"] = json!("");
        }
        return;
    };
    words.drain(..change.dropped.min(words.len()));
    for word in words.iter_mut() {
        shift(word, "start", change);
        shift(word, "end", change);
    }
    if change.dropped > 0 {
        alternative["transcript"] = json!(transcript(words));
    }
}

fn transcript(words: &[Value]) -> String {
    let text = |word: &Value| {
        word["punctuated_word"].as_str().or_else(|| word["word"].as_str()).unwrap_or_default().to_owned()
    };
    words.iter().map(text).collect::<Vec<_>>().join(" ")
}

/// Moves a word's time, inside the result.
fn shift(word: &mut Value, edge: &str, change: &Change) {
    let time = word.get(edge).and_then(Value::as_f64).and_then(|time| Duration::try_from_secs_f64(time).ok());
    let Some(time) = time else { return };
    let by = Duration::from_nanos(change.shift.unsigned_abs());
    let moved = if change.shift < 0 { time.saturating_sub(by) } else { time.saturating_add(by) };
    word[edge] = seconds(moved.clamp(change.start, change.end.max(change.start)));
}

/// Writes a start of speech, or the end of an utterance, at another time.
pub(crate) fn retell_moment(text: &str, at: Duration) -> Result<String, Garbage> {
    retell_times(text, &["timestamp", "last_word_end"], at)
}

/// Writes the last message of a stream, of which so much was heard.
pub(crate) fn retell_summary(text: &str, heard: Duration) -> Result<String, Garbage> {
    retell_times(text, &["duration"], heard)
}

fn retell_times(text: &str, names: &[&str], time: Duration) -> Result<String, Garbage> {
    let mut message: Value = serde_json::from_str(text).map_err(|_| Garbage)?;
    for name in names {
        if message.get(name).is_some() {
            message[name] = seconds(time);
        }
    }
    Ok(message.to_string())
}

fn rounded(time: Duration) -> Duration {
    let micros = time.saturating_add(Duration::from_nanos(500)).as_micros();
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// Writes a time to the microsecond.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 microseconds, which is 285 years")]
fn seconds(time: Duration) -> Value {
    json!(rounded(time).as_micros() as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use session::Kind;

    use super::*;

    const RESULT: &str = r#"{"type":"Results","channel_index":[0,1],"start":0.0,"duration":2.0,"is_final":true,
        "from_finalize":true,"channel":{"alternatives":[{"transcript":"One, two. Three","confidence":0.9,"words":[
        {"word":"one","punctuated_word":"One,","start":0.1,"end":0.3},
        {"word":"two","punctuated_word":"two.","start":0.5,"end":0.8},
        {"word":"three","punctuated_word":"Three","start":1.0,"end":1.5}]}]}}"#;

    fn change(dropped: usize, shift: i64) -> Change {
        let (start, end) = (Duration::from_millis(10_600), Duration::from_millis(12_000));
        Change { kind: Kind::Final, dropped, shift, start, end, answers: Answers::Nothing }
    }

    #[test]
    fn known_words_go_and_the_others_move() {
        let told: Value = serde_json::from_str(&retell(RESULT, &change(1, 10_000_000_000)).unwrap()).unwrap();
        assert_eq!((told["start"].as_f64(), told["duration"].as_f64()), (Some(10.6), Some(1.4)));
        assert_eq!(told["from_finalize"], false);
        let best = &told["channel"]["alternatives"][0];
        assert_eq!(best["transcript"], "two. Three");
        assert_eq!(best["words"][0], json!({"word":"two","punctuated_word":"two.","start":10.6,"end":10.8}));
        assert_eq!(best["words"][1]["end"], 11.5);
    }

    #[test]
    fn text_without_words_goes_as_a_whole() {
        let text = r#"{"type":"Results","channel":{"alternatives":[{"transcript":"hello"}]}}"#;
        let transcript = |dropped| {
            let told: Value = serde_json::from_str(&retell(text, &change(dropped, 0)).unwrap()).unwrap();
            told["channel"]["alternatives"][0]["transcript"].clone()
        };
        assert_eq!((transcript(0), transcript(1)), (json!("hello"), json!("")));
    }

    #[test]
    fn moments_and_sums_get_the_sessions_times() {
        let at = Duration::from_millis(1_250);
        assert_eq!(retell_moment(r#"{"timestamp":0.5}"#, at), Ok(r#"{"timestamp":1.25}"#.to_owned()));
        assert_eq!(retell_moment(r#"{"last_word_end":0.5}"#, at), Ok(r#"{"last_word_end":1.25}"#.to_owned()));
        assert_eq!(retell_summary(r#"{"duration":0.5}"#, at), Ok(r#"{"duration":1.25}"#.to_owned()));
        assert_eq!(retell_summary("{", at), Err(Garbage));
    }
}
