//! What was heard, in Deepgram's shape, and how it is written: as text, JSON or subtitles.

use std::time::Duration;

use serde_json::{Map, Value, json};
use session::captions::{Cue, Word, cues, srt, vtt};

/// A whole transcript.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Transcript {
    body: Value,
    session: Option<String>,
}

impl Transcript {
    /// Reads a response to a whole file. `session` is what its headers call the request.
    ///
    /// # Errors
    /// Fails on anything that does not hold results, and says what it holds.
    pub(super) fn read(body: &[u8], session: Option<String>) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if !body["results"]["channels"].is_array() {
            let keys = body.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>().join(", "));
            return Err(format!("expected results.channels, got {}", keys.as_deref().unwrap_or("no object")));
        }
        let session = session.or_else(|| body["metadata"]["request_id"].as_str().map(str::to_owned));
        Ok(Self { body, session })
    }

    /// Returns the session's id, by which the router knows it.
    pub(super) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Tells whether nothing was heard.
    pub(super) fn is_silent(&self) -> bool {
        self.text().trim().is_empty()
    }

    /// Writes an utterance a line, or a channel a line where there are no utterances. Several channels are numbered.
    pub(super) fn text(&self) -> String {
        let channels = self.channels().len();
        let utterances = list(&self.body["results"]["utterances"]);
        let spoken: Vec<(u64, &str)> = if utterances.is_empty() {
            (0..).zip(self.channels()).map(|(n, channel)| (n, said_in(&channel["alternatives"][0]))).collect()
        } else {
            utterances.iter().map(|said| (said["channel"].as_u64().unwrap_or(0), said_in(said))).collect()
        };
        let spoken = spoken.into_iter().filter(|(_, said)| !said.is_empty());
        let line = |(channel, said)| if channels > 1 { format!("[{channel}] {said}\n") } else { format!("{said}\n") };
        spoken.map(line).collect()
    }

    /// Writes Deepgram's response, indented.
    pub(super) fn json(&self) -> String {
        format!("{:#}\n", self.body)
    }

    /// Writes `.srt` subtitles.
    pub(super) fn srt(&self) -> String {
        srt(&self.cues())
    }

    /// Writes `.vtt` subtitles.
    pub(super) fn vtt(&self) -> String {
        vtt(&self.cues())
    }

    fn cues(&self) -> Vec<Cue> {
        let channels = self.channels().iter();
        let mut words: Vec<_> =
            channels.flat_map(|channel| list(&channel["alternatives"][0]["words"])).map(word).collect();
        words.sort_by_key(|word| word.start);
        cues(&words)
    }

    fn channels(&self) -> &[Value] {
        list(&self.body["results"]["channels"])
    }
}

/// The finals of a stream, gathered to what the same sound would have given as a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Finals {
    utterances: Vec<Value>,
    words: Vec<Value>,
}

impl Finals {
    /// Takes a final result.
    pub(super) fn push(&mut self, result: &Value) {
        let heard = &result["channel"]["alternatives"][0];
        if said_in(heard).is_empty() {
            return;
        }
        let words = list(&heard["words"]);
        let start = result["start"].as_f64().unwrap_or_default();
        let end = start + result["duration"].as_f64().unwrap_or_default();
        self.utterances.push(json!({
            "start": words.first().map_or_else(|| json!(start), |word| word["start"].clone()),
            "end": words.last().map_or_else(|| json!(end), |word| word["end"].clone()),
            "confidence": heard["confidence"],
            "channel": 0,
            "transcript": heard["transcript"],
            "words": words,
        }));
        self.words.extend_from_slice(words);
    }

    /// Closes the transcript with the stream's last message, its metadata.
    pub(super) fn finish(self, metadata: Option<Value>, session: Option<String>) -> Transcript {
        let transcript = self.utterances.iter().map(said_in).collect::<Vec<_>>().join(" ");
        let confidences: Vec<f64> = self.words.iter().filter_map(|word| word["confidence"].as_f64()).collect();
        let confidence = confidences.iter().sum::<f64>() / confidences.len().max(1) as f64;
        let mut metadata = metadata.unwrap_or_else(|| Value::Object(Map::new()));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.remove("type");
        }
        let session = session.or_else(|| metadata["request_id"].as_str().map(str::to_owned));
        let alternative = json!({ "transcript": transcript, "confidence": confidence, "words": self.words });
        let channels = json!([{ "alternatives": [alternative] }]);
        let results = json!({ "channels": channels, "utterances": self.utterances });
        Transcript { body: json!({ "metadata": metadata, "results": results }), session }
    }
}

/// Returns the words of a result's first guess.
pub(super) fn said_in(alternative: &Value) -> &str {
    alternative["transcript"].as_str().unwrap_or_default().trim()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(word: &Value) -> Word<'_> {
    let text = word["punctuated_word"].as_str().or_else(|| word["word"].as_str()).unwrap_or_default();
    let time = |key: &str| Duration::try_from_secs_f64(word[key].as_f64().unwrap_or_default()).unwrap_or_default();
    Word { text, start: time("start"), end: time("end") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(word: &str, start: f64, end: f64) -> Value {
        json!({"word": word, "punctuated_word": word, "start": start, "end": end, "confidence": 0.5})
    }

    fn result(words: &[Value]) -> Value {
        let transcript = words.iter().filter_map(|word| word["word"].as_str()).collect::<Vec<_>>().join(" ");
        let alternative = json!({"transcript": transcript, "confidence": 0.5, "words": words});
        json!({"type": "Results", "is_final": true, "start": 0.0, "duration": 9.0, "channel": {"alternatives": [alternative]}})
    }

    #[test]
    fn finals_become_the_transcript_of_a_file() {
        let mut finals = Finals::default();
        finals.push(&result(&[word("go", 0.1, 0.4), word("forward", 0.4, 1.0)]));
        finals.push(&result(&[]));
        finals.push(&result(&[word("stop", 3.0, 3.5)]));
        let metadata = json!({"type": "Metadata", "request_id": "r", "duration": 4.0});
        let transcript = finals.finish(Some(metadata), None);
        assert_eq!(transcript.text(), "go forward\nstop\n");
        assert_eq!(transcript.session(), Some("r"));
        assert_eq!(transcript.body["metadata"], json!({"request_id": "r", "duration": 4.0}));
        assert_eq!(transcript.body["results"]["channels"][0]["alternatives"][0]["transcript"], "go forward stop");
        assert_eq!(transcript.body["results"]["utterances"][1]["start"], 3.0);
        assert!(transcript.srt().starts_with("1\n00:00:00,100 --> 00:00:01,000\ngo forward\n\n2\n"));
        assert_eq!(Transcript::read(transcript.json().as_bytes(), None), Ok(transcript));
    }

    #[test]
    fn several_channels_are_numbered() {
        let channel = |said: &str| json!({"alternatives": [{"transcript": said}]});
        let body = json!({"results": {"channels": [channel("hello"), channel("good day")]}});
        let transcript = Transcript::read(body.to_string().as_bytes(), None).unwrap();
        assert_eq!(transcript.text(), "[0] hello\n[1] good day\n");
    }

    #[test]
    fn an_answer_without_results_is_described() {
        let error = Transcript::read(br#"{"request_id":"r"}"#, None).unwrap_err();
        assert_eq!(error, "expected results.channels, got request_id");
    }
}
