//! One request to an engine over HTTP: bounded in time and size, with causes in a few words.

use std::io;
use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::header::CONTENT_TYPE;

use super::{LegHeaders, OpenError};

/// Largest answer to a file that is taken, in bytes: twelve hours of words are about 15 MB.
const ANSWER_LIMIT: usize = 64 << 20;

/// What an engine answered, unread.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) body: Vec<u8>,
}

/// Sends a request as a leg and reads its answer.
pub(super) async fn exchange(
    mut request: RequestBuilder,
    headers: &LegHeaders,
    timeout: Duration,
) -> Result<Reply, OpenError> {
    for (name, value) in headers.named() {
        request = request.header(name, value);
    }
    let lost = |error: reqwest::Error| OpenError::TryAnother(cause(&error));
    let response = request.timeout(timeout).send().await.map_err(lost)?;
    let status = response.status().as_u16();
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    Ok(Reply { status, content_type, body: read(response).await? })
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, OpenError> {
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| OpenError::TryAnother(cause(&error)))? {
        if answer.len() + chunk.len() > ANSWER_LIMIT {
            return Err(OpenError::TryAnother(format!("answer over {ANSWER_LIMIT} bytes")));
        }
        answer.extend_from_slice(&chunk);
    }
    Ok(answer)
}

/// Returns the innermost cause, without the address that reqwest puts first.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    match cause.downcast_ref::<io::Error>() {
        Some(io) => plain(io),
        None => cause.to_string(),
    }
}

/// Says in a few words what the system said in more.
pub(super) fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        _ => error.to_string(),
    }
}
