//! The messages of the API: what was heard, written as its clients expect it.

use serde::Serialize;
use uuid::Uuid;

use crate::query::Options;
use crate::recognizer::{RATE, Word};
use crate::segment::{Cause, Piece};

/// Seconds of a sample position.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 samples, which is 17,000 years")]
pub(crate) fn seconds(samples: u64) -> f64 {
    samples as f64 / f64::from(RATE)
}

/// The model as results name it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Model {
    /// Its configured name.
    pub(crate) name: String,
    /// The version of the model's data.
    pub(crate) version: &'static str,
    /// What kind of voice it is.
    pub(crate) arch: &'static str,
    /// Its id.
    #[serde(skip)]
    pub(crate) uuid: Uuid,
}

/// One word.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct WordAnswer {
    word: String,
    start: f64,
    end: f64,
    confidence: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    punctuated_word: Option<String>,
}

impl WordAnswer {
    /// Writes a word; neither voice knows punctuation, so the punctuated form is the word itself.
    pub(crate) fn new(word: &Word, options: &Options) -> Self {
        Self {
            word: word.text.clone(),
            start: seconds(word.start),
            end: seconds(word.end),
            confidence: rounded(word.confidence),
            punctuated_word: options.punctuated().then(|| word.text.clone()),
        }
    }
}

/// One reading of a piece of sound.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Alternative {
    transcript: String,
    confidence: f64,
    words: Vec<WordAnswer>,
}

impl Alternative {
    /// Writes words and what follows from them.
    pub(crate) fn new(words: &[Word], options: &Options) -> Self {
        Self {
            transcript: transcript(words),
            confidence: confidence(words),
            words: words.iter().map(|word| WordAnswer::new(word, options)).collect(),
        }
    }
}

/// Joins words by spaces.
pub(crate) fn transcript(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

/// Averages the words' confidence; 0 when there are none.
pub(crate) fn confidence(words: &[Word]) -> f64 {
    let count = u32::try_from(words.len()).unwrap_or(u32::MAX).max(1);
    rounded(words.iter().map(|word| word.confidence).sum::<f64>() / f64::from(count))
}

fn rounded(confidence: f64) -> f64 {
    (confidence * 1e4).round() / 1e4
}

#[derive(Serialize)]
struct Channel {
    alternatives: [Alternative; 1],
}

#[derive(Serialize)]
struct ResultMetadata<'a> {
    request_id: Uuid,
    model_info: &'a Model,
    model_uuid: Uuid,
}

/// A message of a stream.
#[derive(Serialize)]
#[serde(tag = "type")]
enum Message<'a> {
    Results {
        channel_index: [u8; 2],
        duration: f64,
        start: f64,
        is_final: bool,
        speech_final: bool,
        from_finalize: bool,
        channel: Channel,
        metadata: ResultMetadata<'a>,
    },
    SpeechStarted {
        channel: [u8; 2],
        timestamp: f64,
    },
    UtteranceEnd {
        channel: [u8; 2],
        last_word_end: f64,
    },
    Metadata(&'a Metadata),
    ConfigureFailure {
        request_id: Uuid,
        code: &'static str,
        description: &'static str,
    },
    Error {
        variant: &'static str,
        description: &'static str,
        message: &'a str,
    },
}

/// The end of a stream, and the head of a file's answer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Metadata {
    transaction_key: &'static str,
    request_id: Uuid,
    sha256: String,
    created: String,
    duration: f64,
    channels: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    models: Vec<Uuid>,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    model_info: serde_json::Map<String, serde_json::Value>,
}

/// What one request's answers have in common.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    /// The request's id.
    pub(crate) request_id: Uuid,
    /// The model that answers.
    pub(crate) model: std::sync::Arc<Model>,
    /// What the caller asked for.
    pub(crate) options: Options,
    /// When the request came, in RFC 3339.
    pub(crate) created: String,
}

/// What was received of a caller's audio.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The digest of its bytes, in hexadecimal.
    pub(crate) sha256: String,
    /// Seconds of sound.
    pub(crate) duration: f64,
    /// Channels side by side; 0 when nothing came.
    pub(crate) channels: usize,
}

const CHANNEL: [u8; 2] = [0, 1];

impl Answers {
    /// Starts answering a request that comes now.
    pub(crate) fn new(request_id: Uuid, model: std::sync::Arc<Model>, options: Options) -> Self {
        let created = humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string();
        Self { request_id, model, options, created }
    }

    /// Writes a result.
    pub(crate) fn results(&self, piece: &Piece) -> String {
        text(&Message::Results {
            channel_index: CHANNEL,
            duration: seconds(piece.end.saturating_sub(piece.start)),
            start: seconds(piece.start),
            is_final: piece.cause != Cause::Interim,
            speech_final: piece.cause.ends_speech(),
            from_finalize: piece.cause == Cause::Finalize,
            channel: Channel { alternatives: [Alternative::new(&piece.words, &self.options)] },
            metadata: ResultMetadata {
                request_id: self.request_id,
                model_info: &self.model,
                model_uuid: self.model.uuid,
            },
        })
    }

    /// Writes that speech began.
    pub(crate) fn speech_started(at: u64) -> String {
        text(&Message::SpeechStarted { channel: CHANNEL, timestamp: seconds(at) })
    }

    /// Writes that nothing was said for a while.
    pub(crate) fn utterance_end(last_word_end: u64) -> String {
        text(&Message::UtteranceEnd { channel: CHANNEL, last_word_end: seconds(last_word_end) })
    }

    /// Writes that a text message could not be understood; it is repeated up to 256 bytes.
    pub(crate) fn not_understood(message: &str) -> String {
        let message = &message[..message.floor_char_boundary(256)];
        let description = "Could not parse the text message";
        text(&Message::Error { variant: "SchemaError", description, message })
    }

    /// Writes that what is heard cannot be changed under way.
    pub(crate) fn configure_failure(&self) -> String {
        text(&Message::ConfigureFailure {
            request_id: self.request_id,
            code: "CONFIGURE_KEYTERMS_NOT_SUPPORTED",
            description: "This engine cannot be configured during a stream",
        })
    }

    /// Sums up a request.
    pub(crate) fn metadata(&self, received: Received) -> Metadata {
        let heard = received.channels > 0;
        let info = serde_json::to_value(self.model.as_ref()).unwrap_or_default();
        Metadata {
            transaction_key: "deprecated",
            request_id: self.request_id,
            sha256: received.sha256,
            created: self.created.clone(),
            duration: received.duration,
            channels: received.channels,
            models: heard.then_some(self.model.uuid).into_iter().collect(),
            model_info: heard.then(|| (self.model.uuid.to_string(), info)).into_iter().collect(),
        }
    }

    /// Writes the end of a stream.
    pub(crate) fn stream_end(&self, received: Received) -> String {
        text(&Message::Metadata(&self.metadata(received)))
    }
}

fn text(message: &Message<'_>) -> String {
    serde_json::to_string(message).unwrap_or_default()
}
