//! A whole file over HTTP: the body is read while it is sent, so its size does not matter.

use std::path::Path;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use reqwest::Response;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use super::failure::{Failure, RequestId};
use super::progress::{self, Bar, EVENTS};
use super::proxy::{Proxy, request_id};
use super::transcript::Transcript;
use crate::http::{body, root_cause};
use crate::terminal::is_watched;

/// The longest to wait for a connection, and for the next byte of an answer: long files take their time.
const CONNECT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(30 * 60);
/// How much of the file is read at once, in bytes.
const BLOCK: usize = 64 * 1024;

/// Sends a file and returns what was heard. On a terminal a bar shows how far the upload is, then how far it was heard;
/// an interrupt takes the bar away and ends the work on the other side, too.
///
/// # Errors
/// Fails on a file that cannot be read, a proxy that is not there, with the proxy's words when it refuses, and when it
/// is interrupted.
pub(super) async fn transcribe(proxy: &Proxy, path: &Path) -> Result<Transcript, Failure> {
    let (file, length) = open(path).await?;
    let bar = Bar::of(path, length);
    tokio::select! {
        transcript = send(proxy, (file, length), &bar) => transcript,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    }
}

async fn send(proxy: &Proxy, (file, length): (File, u64), bar: &Bar) -> Result<Transcript, Failure> {
    let meter = bar.meter();
    let blocks = ReaderStream::with_capacity(file, BLOCK).inspect_ok(move |block| meter.sent(block.len() as u64));
    let url = proxy.listen(&[("utterances", "true".to_owned())]);
    let client = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT).read_timeout(SILENCE).build();
    let unreachable =
        |error: reqwest::Error| Failure::Unreachable { url: proxy.address().to_owned(), cause: root_cause(&error) };
    let mut request = client.map_err(unreachable)?.post(url).body(reqwest::Body::wrap_stream(blocks));
    request = request.header(CONTENT_LENGTH, length).header(CONTENT_TYPE, "application/octet-stream");
    if is_watched() {
        request = request.header(ACCEPT, EVENTS);
    }
    if let Some(authorization) = proxy.authorization()? {
        request = request.header(AUTHORIZATION, authorization);
    }
    let reply = request.send().await.map_err(|error| match error.is_connect() {
        true => unreachable(error),
        false => Failure::Broken { cause: root_cause(&error), request: RequestId::default() },
    })?;
    understood(proxy, reply, bar).await
}

async fn understood(proxy: &Proxy, reply: Response, bar: &Bar) -> Result<Transcript, Failure> {
    let (status, headers) = (reply.status(), reply.headers().clone());
    let request = request_id(&headers);
    let told =
        headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(|kind| kind.starts_with(EVENTS));
    let body = if told { progress::follow(reply, bar).await } else { body(reply).await };
    let body = body.map_err(|cause| Failure::Broken { cause, request: request.clone() })?;
    if !status.is_success() {
        return Err(proxy.refusal(status.as_u16(), &headers, &body));
    }
    if let Some(what) = told.then(|| progress::error(&body)).flatten() {
        return Err(Failure::Ended { what, request });
    }
    Transcript::read(&body, request.0.clone()).map_err(|cause| Failure::Unexpected { cause, request })
}

async fn open(path: &Path) -> Result<(File, u64), Failure> {
    let unreadable = |cause| Failure::File { path: path.to_owned(), cause };
    let file = File::open(path).await.map_err(unreadable)?;
    let metadata = file.metadata().await.map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(unreadable(std::io::ErrorKind::IsADirectory.into()));
    }
    if metadata.len() == 0 {
        return Err(Failure::Empty { path: path.to_owned() });
    }
    Ok((file, metadata.len()))
}
