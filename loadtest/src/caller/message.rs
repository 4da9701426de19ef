//! What a server says, as far as a caller must understand it.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;

use super::Final;

/// A message of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A guess that covers the audio up to `end`.
    Interim {
        /// Where in the audio it ends.
        end: Duration,
    },
    /// A result that will not change.
    Final(Final),
    /// The summary before the close.
    Summary,
    /// Anything else.
    Event,
}

/// A message that makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Garbage;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    is_final: bool,
    #[serde(default)]
    start: f64,
    #[serde(default)]
    duration: f64,
    #[serde(default)]
    channel: serde_json::Value,
}

#[derive(Default, Deserialize)]
struct Channel {
    alternatives: Vec<Alternative>,
}

#[derive(Deserialize)]
struct Alternative {
    transcript: String,
}

impl Channel {
    fn transcript(self) -> Option<String> {
        self.alternatives.into_iter().next().map(|alternative| alternative.transcript)
    }
}

/// Understands a text message.
pub(super) fn hear(text: &str) -> Result<Heard, Garbage> {
    let message: Message<'_> = serde_json::from_str(text).map_err(|_error| Garbage)?;
    match &*message.kind {
        "Results" => {}
        "Metadata" => return Ok(Heard::Summary),
        _ => return Ok(Heard::Event),
    }
    let start = seconds(message.start)?;
    let end = seconds(message.start + message.duration)?;
    let channel: Channel = serde_json::from_value(message.channel).map_err(|_error| Garbage)?;
    let transcript = channel.transcript().ok_or(Garbage)?;
    Ok(if message.is_final { Heard::Final(Final { start, end, transcript }) } else { Heard::Interim { end } })
}

/// Understands the answer to a file.
pub(super) fn hear_file(body: &[u8]) -> Result<String, Garbage> {
    #[derive(Deserialize)]
    struct Answer {
        results: Results,
    }
    #[derive(Deserialize)]
    struct Results {
        channels: Vec<Channel>,
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|_error| Garbage)?;
    answer.results.channels.into_iter().next().and_then(Channel::transcript).ok_or(Garbage)
}

fn seconds(seconds: f64) -> Result<Duration, Garbage> {
    Duration::try_from_secs_f64(seconds).map_err(|_error| Garbage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_told_from_guesses_and_from_the_rest() {
        let text = r#"{"type":"Results","start":2.5,"duration":1.5,"is_final":true,
            "channel":{"alternatives":[{"transcript":"the word","words":[]}]}}"#;
        let (start, end) = (Duration::from_millis(2_500), Duration::from_secs(4));
        assert_eq!(hear(text), Ok(Heard::Final(Final { start, end, transcript: "the word".to_owned() })));
        assert_eq!(hear(&text.replace("true", "false")), Ok(Heard::Interim { end }));
        assert_eq!(hear(r#"{"type":"Metadata","channels":1}"#), Ok(Heard::Summary));
        assert_eq!(hear(r#"{"type":"SpeechStarted","channel":[0,1]}"#), Ok(Heard::Event));
    }

    #[test]
    fn garbage_is_called_garbage() {
        for text in ["", "{", r#"{"type":"Results","channel":{"alternatives":[]}}"#, r#"{"type":"Results","start":-1}"#]
        {
            assert_eq!(hear(text), Err(Garbage), "{text}");
        }
    }

    #[test]
    fn the_answer_to_a_file_holds_a_transcript() {
        let body = r#"{"metadata":{},"results":{"channels":[{"alternatives":[{"transcript":"and then"}]}]}}"#;
        assert_eq!(hear_file(body.as_bytes()), Ok("and then".to_owned()));
        assert_eq!(hear_file(br#"{"results":{"channels":[]}}"#), Err(Garbage));
    }
}
