//! The adapter for engines that speak `/v1/listen`, as ours and Deepgram's do.

mod handshake;
mod heard;

use std::time::Duration;

use relay::Close;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use session::{LegClose, Said};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request};

use super::http::{exchange, plain};
use super::{LegHeaders, OpenError};
use crate::wire::{Dial, LegSocket};

pub(crate) use heard::hear_file;

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
struct Message<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(default)]
    is_final: bool,
    #[serde(default)]
    start: f64,
    #[serde(default)]
    duration: f64,
    #[serde(default)]
    timestamp: f64,
}

/// An engine's message makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbage;

/// Understands a text message of an engine, as far as the session must.
pub(crate) fn hear(text: &str) -> Result<Said, Garbage> {
    let message: Message<'_> = serde_json::from_str(text).map_err(|_| Garbage)?;
    let time = |seconds: f64| Duration::try_from_secs_f64(seconds).map_err(|_| Garbage);
    match message.kind.as_ref() {
        "Results" if message.is_final => Ok(Said::Final { end: time(message.start + message.duration)? }),
        "Results" => Ok(Said::Interim { end: time(message.start + message.duration)? }),
        "SpeechStarted" => Ok(Said::SpeechStarted { at: time(message.timestamp)? }),
        _ => Ok(Said::Event),
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

    #[test]
    fn a_result_says_how_far_the_engine_has_heard() {
        let text = r#"{"type":"Results","start":2.5,"duration":1.5,"is_final":true,"channel":{}}"#;
        assert_eq!(hear(text), Ok(Said::Final { end: Duration::from_secs(4) }));
        let text = r#"{"type":"Results","start":0,"duration":1}"#;
        assert_eq!(hear(text), Ok(Said::Interim { end: Duration::from_secs(1) }));
    }

    #[test]
    fn what_is_no_result_is_an_event() {
        assert_eq!(hear(r#"{"type":"Metadata","duration":5.0}"#), Ok(Said::Event));
    }

    #[test]
    fn garbage_is_called_garbage() {
        for text in ["", "{", "[]", r#"{"type":"Results","start":-9.0}"#, r#"{"type":"Results","start":1e300}"#] {
            assert_eq!(hear(text), Err(Garbage), "{text}");
        }
    }
}
