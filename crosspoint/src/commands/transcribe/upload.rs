//! A whole file over HTTP: the body is read while it is sent, so its size does not matter.

use std::path::Path;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use super::failure::{Failure, RequestId};
use super::proxy::{Proxy, request_id};
use super::transcript::Transcript;
use crate::http::{body, root_cause};

/// The longest to wait for a connection, and for the next byte of an answer: long files take their time.
const CONNECT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(30 * 60);
/// How much of the file is read at once, in bytes.
const BLOCK: usize = 64 * 1024;

/// Sends a file and returns what was heard. On a terminal a bar shows how far the upload is, then that it is heard.
///
/// # Errors
/// Fails on a file that cannot be read, a proxy that is not there, and with the proxy's words when it refuses.
pub(super) async fn transcribe(proxy: &Proxy, path: &Path) -> Result<Transcript, Failure> {
    let (file, length) = open(path).await?;
    let bar = Bar::of(path, length);
    let watched = bar.0.clone();
    let blocks = ReaderStream::with_capacity(file, BLOCK).inspect_ok(move |block| sent(&watched, block.len() as u64));
    let url = proxy.listen(&[("utterances", "true".to_owned())]);
    let client = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT).read_timeout(SILENCE).build();
    let unreachable =
        |error: reqwest::Error| Failure::Unreachable { url: proxy.address().to_owned(), cause: root_cause(&error) };
    let mut request = client.map_err(unreachable)?.post(url).body(reqwest::Body::wrap_stream(blocks));
    request = request.header(CONTENT_LENGTH, length).header(CONTENT_TYPE, "application/octet-stream");
    if let Some(authorization) = proxy.authorization()? {
        request = request.header(AUTHORIZATION, authorization);
    }
    let reply = request.send().await.map_err(|error| match error.is_connect() {
        true => unreachable(error),
        false => Failure::Broken { cause: root_cause(&error), request: RequestId::default() },
    })?;
    understood(proxy, reply).await
}

async fn understood(proxy: &Proxy, reply: reqwest::Response) -> Result<Transcript, Failure> {
    let (status, headers) = (reply.status(), reply.headers().clone());
    let request = request_id(&headers);
    let body = body(reply).await.map_err(|cause| Failure::Broken { cause, request: request.clone() })?;
    if !status.is_success() {
        return Err(proxy.refusal(status.as_u16(), &headers, &body));
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

/// The progress of one upload, gone with it; nothing is drawn where nobody watches.
#[derive(Debug)]
struct Bar(ProgressBar);

impl Bar {
    fn of(path: &Path, length: u64) -> Self {
        let bar = ProgressBar::new(length);
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ "));
        bar.set_prefix(path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned());
        Self(bar)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn sent(bar: &ProgressBar, bytes: u64) {
    bar.inc(bytes);
    if Some(bar.position()) == bar.length() {
        let style = ProgressStyle::with_template("{prefix} {spinner} transcribing, {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(100));
    }
}
