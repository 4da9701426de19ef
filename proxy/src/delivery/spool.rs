//! The spool: an upload on its way to a node, in an unlinked temporary file, so that another node can have it too.

use std::error::Error;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use futures_util::{Stream, StreamExt};
use http_body_util::BodyExt;
use session::CloseReason;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_blocking;

use super::Failure;
use crate::edge::UploadError;

/// Bytes read from the disk at once.
const PIECE: usize = 64 << 10;

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

    /// Reads the first bytes, as many as are read at once.
    pub(crate) async fn beginning(&self) -> io::Result<Bytes> {
        let file = self.file.try_clone().await?.into_std().await;
        spawn_blocking(move || read_piece(&file, 0)).await?
    }

    /// Reads it from the start as a request's body.
    pub(super) async fn body(&self) -> io::Result<reqwest::Body> {
        Ok(reqwest::Body::wrap_stream(self.pieces().await?))
    }

    /// Digests it, in hexadecimal.
    pub(crate) async fn sha256(&self) -> io::Result<String> {
        let mut pieces = std::pin::pin!(self.pieces().await?);
        let mut digest = Sha256::new();
        while let Some(piece) = pieces.next().await {
            digest.update(piece?);
        }
        Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Reads it from the start. Each reader keeps its own place in the file: a node that refused early may still be read to
    /// by its connection while the next node is sent the same upload, and handles of one file share their place.
    pub(crate) async fn pieces(&self) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>> {
        let file = Arc::new(self.file.try_clone().await?.into_std().await);
        Ok(try_unfold(0, move |place| {
            let file = Arc::clone(&file);
            async move {
                let piece = spawn_blocking(move || read_piece(&file, place)).await??;
                Ok::<_, io::Error>((!piece.is_empty()).then(|| (piece.clone(), place + piece.len() as u64)))
            }
        }))
    }
}

fn read_piece(file: &std::fs::File, place: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; PIECE];
    let length = file.read_at(&mut piece, place)?;
    piece.truncate(length);
    Ok(Bytes::from(piece))
}

fn full(error: &io::Error) -> Failure {
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

#[cfg(test)]
mod tests {
    use http_body_util::Collected;

    use super::*;

    #[tokio::test]
    async fn a_node_that_still_reads_the_upload_takes_nothing_away_from_the_next_one() {
        let upload: Vec<u8> = (0_u32..50_000).flat_map(u32::to_le_bytes).collect();
        let mut spool = Spool::new().unwrap();
        spool.write(&upload).await.unwrap();
        let spool = spool.finish().await.unwrap();

        let mut first = spool.body().await.unwrap();
        let mut heard = first.frame().await.unwrap().unwrap().into_data().unwrap().to_vec();
        let second = spool.body().await.unwrap().collect().await.map(Collected::to_bytes).unwrap();
        assert!(second == upload, "the second node heard {} of {} bytes", second.len(), upload.len());
        heard.extend(first.collect().await.unwrap().to_bytes());
        assert!(heard == upload, "the first node heard {} of {} bytes", heard.len(), upload.len());
    }
}
