//! The spool: an upload on its way to a node, in an unlinked temporary file, so that another node can have it too.

use std::io::SeekFrom;

use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::BodyExt;
use session::CloseReason;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio_util::io::ReaderStream;

use super::Problem;
use crate::edge::UploadError;

/// A whole upload on disk; nobody else can see it, and it is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    length: u64,
}

impl Spool {
    /// Takes a request's body. Memory holds one frame of it at a time.
    pub(super) async fn take(mut body: Body) -> Result<Self, Problem> {
        let full = |error: std::io::Error| {
            tracing::error!(%error, "cannot spool an upload");
            Problem::new(CloseReason::NoCapacity, "no room to take the upload, please try again")
        };
        let mut file = File::from_std(tempfile::tempfile().map_err(full)?);
        let mut length = 0_u64;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
            length += data.len() as u64;
            file.write_all(&data).await.map_err(full)?;
        }
        file.flush().await.map_err(full)?;
        Ok(Self { file, length })
    }

    /// Returns how many bytes there are.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Reads it from the start.
    pub(super) async fn body(&mut self) -> std::io::Result<reqwest::Body> {
        let mut file = self.file.try_clone().await?;
        file.seek(SeekFrom::Start(0)).await?;
        Ok(reqwest::Body::wrap_stream(ReaderStream::with_capacity(file, 64 << 10)))
    }
}

/// Finds out why an upload broke off.
fn broken(error: &axum::Error) -> Problem {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(UploadError::Refused(violation)) = error.downcast_ref::<UploadError>() {
            return Problem::new(reason(violation.status()), violation.message());
        }
        cause = error.source();
    }
    Problem::new(CloseReason::CallerGone, "the upload broke off")
}

fn reason(status: StatusCode) -> CloseReason {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => CloseReason::UploadTooBig,
        StatusCode::REQUEST_TIMEOUT => CloseReason::UploadTooSlow,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => CloseReason::UnsupportedBody,
        _ => CloseReason::BadRequest,
    }
}
