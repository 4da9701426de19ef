//! The spool: an upload on its way to a node, in an unlinked temporary file, so that another node can have it too.

use std::error::Error;
use std::io::SeekFrom;

use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::BodyExt;
use session::CloseReason;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio_util::io::ReaderStream;

use super::Failure;
use crate::edge::UploadError;

/// An upload on disk; nobody else can see it, and it is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    length: u64,
}

impl Spool {
    /// Makes an empty one.
    pub(crate) fn new() -> Result<Self, Failure> {
        let file = File::from_std(tempfile::tempfile().map_err(|error| full(&error))?);
        Ok(Self { file, length: 0 })
    }

    /// Takes a request's body. Memory holds one frame of it at a time.
    pub(crate) async fn take(mut body: Body) -> Result<Self, Failure> {
        let mut spool = Self::new()?;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failure::of_upload(&error).unwrap_or_else(Failure::broken_off))?;
            if let Ok(data) = frame.into_data() {
                spool.write(&data).await?;
            }
        }
        spool.finish().await
    }

    /// Adds the next bytes.
    pub(crate) async fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.length += data.len() as u64;
        self.file.write_all(data).await.map_err(|error| full(&error))
    }

    /// Waits until everything is written.
    pub(crate) async fn finish(mut self) -> Result<Self, Failure> {
        self.file.flush().await.map_err(|error| full(&error))?;
        Ok(self)
    }

    /// Returns how many bytes there are.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Reads it from the start.
    pub(super) async fn body(&mut self) -> std::io::Result<reqwest::Body> {
        let mut file = self.file.try_clone().await?;
        file.seek(SeekFrom::Start(0)).await?;
        Ok(reqwest::Body::wrap_stream(ReaderStream::with_capacity(file, 64 << 10)))
    }
}

fn full(error: &std::io::Error) -> Failure {
    tracing::error!(%error, "cannot spool an upload");
    Failure::new(CloseReason::NoCapacity, "no room to take the upload, please try again")
}

impl Failure {
    /// Finds out why an upload could not be read: `None` where the edge had no part in it.
    pub(crate) fn of_upload(error: &(dyn Error + 'static)) -> Option<Self> {
        match error.downcast_ref::<UploadError>() {
            Some(UploadError::Refused(violation)) => Some(Self::new(reason(violation.status()), violation.message())),
            Some(UploadError::Broken(_)) => Some(Self::broken_off()),
            None => error.source().and_then(Self::of_upload),
        }
    }

    fn broken_off() -> Self {
        Self::new(CloseReason::CallerGone, "the upload broke off")
    }
}

fn reason(status: StatusCode) -> CloseReason {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => CloseReason::UploadTooBig,
        StatusCode::REQUEST_TIMEOUT => CloseReason::UploadTooSlow,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => CloseReason::UnsupportedBody,
        _ => CloseReason::BadRequest,
    }
}
