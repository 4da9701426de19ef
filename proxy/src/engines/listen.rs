//! The adapter for engines that speak `/v1/listen`, as ours and Deepgram's do.

mod handshake;
mod heard;
mod retell;

use std::time::Duration;

use relay::Close;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use session::{Answers, Heard, LegClose, Said, Word};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request};

use super::http::{exchange, plain};
use super::{LegHeaders, OpenError};
use crate::wire::{Dial, LegSocket};

pub(crate) use heard::hear_file;
pub(crate) use retell::{retell, retell_moment, retell_summary};

/// Opens a leg for a stream.
pub(crate) async fn open(
    dialer: &dyn Dial,
    address: &str,
    query: &str,
    headers: &LegHeaders,
    timeout: Duration,
) -> Result<LegSocket, OpenError> {
    let request = leg_request(address, query, headers)?;
    let opening = async {
        let stream = dialer.dial(address).await.map_err(|error| OpenError::TryAnother(plain(&error)))?;
        handshake::shake(stream, request).await
    };
    let late = || OpenError::TryAnother(format!("no answer within {} ms", timeout.as_millis()));
    tokio::time::timeout(timeout, opening).await.unwrap_or_else(|_elapsed| Err(late()))
}

fn leg_request(address: &str, query: &str, headers: &LegHeaders) -> Result<Request<()>, OpenError> {
    let unusable = || OpenError::TryAnother(format!("the node's address {address:?} cannot be used"));
    let mut request = format!("ws://{address}/v1/listen?{query}").into_client_request().map_err(|_error| unusable())?;
    for (name, value) in headers.named() {
        let value = HeaderValue::from_str(&value).map_err(|_error| unusable())?;
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

/// The fields of an engine's message that the session must know.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum Message {
    Results(Box<Results>),
    SpeechStarted {
        #[serde(default)]
        timestamp: f64,
    },
    UtteranceEnd {
        #[serde(default)]
        last_word_end: f64,
    },
    Metadata,
    ConfigureSuccess,
    ConfigureFailure,
    #[serde(other)]
    Other,
}

#[derive(Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "the API's own members")]
struct Results {
    is_final: bool,
    from_finalize: bool,
    start: f64,
    duration: f64,
    channel_index: Vec<usize>,
    channel: Channel,
}

#[derive(Default, Deserialize)]
struct Channel {
    #[serde(default)]
    alternatives: Vec<Alternative>,
}

#[derive(Deserialize)]
struct Alternative {
    #[serde(default)]
    transcript: String,
    #[serde(default)]
    words: Vec<HeardWord>,
}

#[derive(Deserialize)]
struct HeardWord {
    word: String,
    start: f64,
    end: f64,
}

impl TryFrom<HeardWord> for Word {
    type Error = Garbage;

    fn try_from(heard: HeardWord) -> Result<Self, Garbage> {
        Ok(Self { text: heard.word, start: time(heard.start)?, end: time(heard.end)? })
    }
}

impl TryFrom<Results> for Heard {
    type Error = Garbage;

    fn try_from(results: Results) -> Result<Self, Garbage> {
        let (start, end) = (time(results.start)?, time(results.start + results.duration)?);
        let best = results.channel.alternatives.into_iter().next();
        let words = match best {
            None => Vec::new(),
            Some(best) if best.words.is_empty() && !best.transcript.is_empty() => {
                vec![Word { text: best.transcript, start, end }]
            }
            Some(best) => best.words.into_iter().map(Word::try_from).collect::<Result<_, _>>()?,
        };
        let place = |index: usize| results.channel_index.get(index).copied();
        Ok(Self {
            channel: place(0).unwrap_or(0),
            channels: place(1).unwrap_or(1),
            start,
            end,
            words,
            answers: if results.from_finalize { Answers::Finalize } else { Answers::Nothing },
        })
    }
}

fn time(seconds: f64) -> Result<Duration, Garbage> {
    Duration::try_from_secs_f64(seconds).map_err(|_| Garbage)
}

/// An engine's message makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbage;

/// Understands a text message of an engine, as far as the session must.
pub(crate) fn hear(text: &str) -> Result<Said, Garbage> {
    match serde_json::from_str(text).map_err(|_| Garbage)? {
        Message::Results(results) if results.is_final => Ok(Said::Final((*results).try_into()?)),
        Message::Results(results) => Ok(Said::Interim((*results).try_into()?)),
        Message::SpeechStarted { timestamp } => Ok(Said::SpeechStarted { at: time(timestamp)? }),
        Message::UtteranceEnd { last_word_end } => Ok(Said::UtteranceEnd { at: time(last_word_end)? }),
        Message::Metadata => Ok(Said::Summary),
        Message::ConfigureSuccess | Message::ConfigureFailure => Ok(Said::Configured),
        Message::Other => Ok(Said::Event),
    }
}

/// Understands the close of a leg.
pub(crate) fn hear_close(close: Option<&Close>) -> LegClose {
    match close.map(|close| (close.code, close.reason.as_str())) {
        Some((1000, _)) => LegClose::Normal,
        Some((1008, text)) if text.contains("DATA-0000") => LegClose::BadAudio,
        Some((1011, text)) if text.contains("NET-0001") => LegClose::CallerSilent,
        Some(_) | None => LegClose::Lost,
    }
}

/// Sends a file, or a chunk of one, and returns the engine's answer, unread.
pub(crate) async fn send_file(
    client: &reqwest::Client,
    url: &str,
    headers: &LegHeaders,
    (content_type, body): (&str, reqwest::Body),
) -> Result<Vec<u8>, OpenError> {
    let request = client.post(url).header(CONTENT_TYPE, content_type).body(body);
    let reply = exchange(request, headers).await?;
    if reply.status == 200 { Ok(reply.body) } else { Err(OpenError::from_reply(reply.status, &reply.body)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str, start: u64, end: u64) -> Word {
        Word { text: text.to_owned(), start: Duration::from_millis(start), end: Duration::from_millis(end) }
    }

    #[test]
    fn a_result_says_what_was_heard_where() {
        let text = r#"{"type":"Results","start":2.5,"duration":1.5,"is_final":true,"from_finalize":true,"channel_index":[1,2],
            "channel":{"alternatives":[{"transcript":"Hi you","words":[
            {"word":"hi","start":2.6,"end":2.8},{"word":"you","start":3,"end":3.5}]}]}}"#;
        let heard = Heard {
            channel: 1,
            channels: 2,
            start: Duration::from_millis(2_500),
            end: Duration::from_secs(4),
            words: vec![word("hi", 2_600, 2_800), word("you", 3_000, 3_500)],
            answers: Answers::Finalize,
        };
        assert_eq!(hear(text), Ok(Said::Final(heard)));
    }

    #[test]
    fn a_text_without_words_is_one_word() {
        let text = r#"{"type":"Results","start":0,"duration":1,"channel":{"alternatives":[{"transcript":"hi you"}]}}"#;
        let (end, words) = (Duration::from_secs(1), vec![word("hi you", 0, 1_000)]);
        assert_eq!(hear(text), Ok(Said::Interim(Heard { channels: 1, end, words, ..Heard::default() })));
    }

    #[test]
    fn what_is_no_result_is_told_apart() {
        let event = |text| hear(text).unwrap();
        assert_eq!(event(r#"{"type":"Metadata","duration":5.0}"#), Said::Summary);
        assert_eq!(event(r#"{"type":"Warning","channel":[0]}"#), Said::Event);
        assert_eq!(event(r#"{"type":"ConfigureFailure"}"#), Said::Configured);
        let at = Duration::from_millis(1_500);
        assert_eq!(event(r#"{"type":"SpeechStarted","channel":[0,1],"timestamp":1.5}"#), Said::SpeechStarted { at });
        assert_eq!(event(r#"{"type":"UtteranceEnd","channel":[0,1],"last_word_end":1.5}"#), Said::UtteranceEnd { at });
    }

    #[test]
    fn garbage_is_called_garbage() {
        for text in ["", "{", "[]", r#"{"type":"Results","start":-9.0}"#, r#"{"type":"Results","start":1e300}"#] {
            assert_eq!(hear(text), Err(Garbage), "{text}");
        }
    }
}
