//! The spool: an upload in an unlinked temporary file. Whoever sends it on or decodes it reads from there, and may follow
//! while it still comes in; so any number of nodes can have it, one after the other, and memory holds a piece of it.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use futures_util::{FutureExt, Stream, StreamExt};
use session::CloseReason;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::Failure;
use crate::edge::UploadError;

/// Bytes read from the disk at once.
const PIECE: usize = 64 << 10;
/// Bytes written to the disk at once, where they come fast enough.
const BATCH: usize = 256 << 10;

/// How much of an upload is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Growth {
    /// Its bytes so far.
    pub(crate) length: u64,
    /// Whether there will be more.
    pub(crate) stage: Stage,
}

/// Where an upload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// On its way.
    Coming,
    /// All here: the digest of its bytes, in hexadecimal.
    Whole(Arc<str>),
    /// It broke off.
    Broken,
}

/// The end where bytes go in. Dropping it before [`Intake::finish`] means that the upload broke off.
#[derive(Debug)]
pub(crate) struct Intake {
    file: Arc<File>,
    growth: watch::Sender<Growth>,
    batch: Vec<u8>,
    digest: Sha256,
}

/// An upload on disk; nobody else can see it, and it is gone when the last handle is.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    file: Arc<File>,
    growth: watch::Receiver<Growth>,
}

/// Makes an empty spool.
pub(crate) fn new() -> Result<(Intake, Spool), Failure> {
    let file = Arc::new(tempfile::tempfile().map_err(|error| full(&error))?);
    let (growth, grows) = watch::channel(Growth { length: 0, stage: Stage::Coming });
    let intake = Intake { file: Arc::clone(&file), growth, batch: Vec::with_capacity(BATCH), digest: Sha256::new() };
    Ok((intake, Spool { file, growth: grows }))
}

impl Intake {
    /// Takes a request's body to its end.
    pub(crate) async fn take_body(mut self, body: Body) -> Result<(), Failure> {
        let broken = |error: axum::Error| Failure::of_upload(&error).unwrap_or_else(Failure::broken_off);
        self.take(body.into_data_stream(), broken).await?;
        self.finish().await
    }

    /// Takes pieces to their end; readers see what has come whenever the next piece is late.
    pub(crate) async fn take<S, E, F>(&mut self, mut pieces: S, broken: impl Fn(E) -> F) -> Result<(), F>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        F: From<Failure>,
    {
        loop {
            let next = match pieces.next().now_or_never() {
                Some(next) => next,
                None => {
                    self.flush().await?;
                    pieces.next().await
                }
            };
            let Some(piece) = next else { return Ok(()) };
            self.batch.extend_from_slice(&piece.map_err(&broken)?);
            if self.batch.len() >= BATCH {
                self.flush().await?;
            }
        }
    }

    /// Says that this was all.
    pub(crate) async fn finish(mut self) -> Result<(), Failure> {
        self.flush().await?;
        let digest = format!("{:x}", self.digest.finalize());
        self.growth.send_modify(|growth| growth.stage = Stage::Whole(digest.into()));
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let (file, place) = (Arc::clone(&self.file), self.growth.borrow().length);
        let (batch, mut digest) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.digest));
        let written = spawn_blocking(move || {
            digest.update(&batch);
            file.write_all_at(&batch, place).map(|()| (batch, digest))
        });
        (self.batch, self.digest) = written.await.map_err(io::Error::from).flatten().map_err(|error| full(&error))?;
        self.growth.send_modify(|growth| growth.length += self.batch.len() as u64);
        self.batch.clear();
        Ok(())
    }
}

impl Spool {
    /// Tells how much there is.
    pub(crate) fn growth(&self) -> Growth {
        let growth = self.growth.borrow().clone();
        let abandoned = growth.stage == Stage::Coming && self.growth.has_changed().is_err();
        if abandoned { Growth { stage: Stage::Broken, ..growth } } else { growth }
    }

    /// Returns the digest of its bytes, in hexadecimal; nothing before all of it is here.
    pub(crate) fn sha256(&self) -> String {
        match self.growth().stage {
            Stage::Whole(digest) => digest.to_string(),
            Stage::Coming | Stage::Broken => String::new(),
        }
    }

    /// Waits until there are more than so many bytes, or no more will come.
    pub(crate) async fn grown(&self, beyond: u64) -> Growth {
        let more = |growth: &Growth| growth.length > beyond || growth.stage != Stage::Coming;
        let _abandoned = self.growth.clone().wait_for(more).await.is_err();
        self.growth()
    }

    /// Waits until no more will come.
    pub(crate) async fn settled(&self) -> Growth {
        self.grown(u64::MAX).await
    }

    /// Reads its first bytes, once there are any.
    pub(super) async fn beginning(&self) -> io::Result<Bytes> {
        self.read(0, PIECE).await.map(Bytes::from)
    }

    /// Reads it from the start as a request's body, and follows it to its end.
    pub(super) fn body(&self) -> reqwest::Body {
        reqwest::Body::wrap_stream(self.pieces())
    }

    /// Reads it from the start, and follows it to its end.
    pub(super) fn pieces(&self) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let spool = self.clone();
        try_unfold((spool, 0), |(spool, place)| async move {
            let piece = spool.read(place, PIECE).await?;
            let next = place + piece.len() as u64;
            Ok::<_, io::Error>((!piece.is_empty()).then(|| (Bytes::from(piece), (spool, next))))
        })
    }

    /// Reads at most so many bytes from a place, once there are any: none at the end.
    pub(super) async fn read(&self, place: u64, most: usize) -> io::Result<Vec<u8>> {
        let growth = self.grown(place).await;
        if growth.stage == Stage::Broken {
            return Err(broken_off());
        }
        let length = usize::try_from(growth.length.saturating_sub(place)).unwrap_or(most).min(most);
        let file = Arc::clone(&self.file);
        let read = move || {
            let mut piece = vec![0; length];
            file.read_exact_at(&mut piece, place).map(|()| piece)
        };
        spawn_blocking(read).await?
    }

    /// Opens what is there for somebody who reads it here and there, and may block.
    pub(super) fn reader(&self) -> Reader {
        Reader { file: Arc::clone(&self.file), place: 0, length: self.growth().length }
    }
}

/// A place in a spool. Each reader keeps its own: handles of one file would share theirs.
#[derive(Debug)]
pub(super) struct Reader {
    file: Arc<File>,
    place: u64,
    length: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read_at(buffer, self.place)?;
        self.place += length as u64;
        Ok(length)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.place.checked_add_signed(offset),
        };
        self.place = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.place)
    }
}

/// What whoever reads an upload hears of its end.
pub(super) fn broken_off() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the upload broke off")
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
    use http_body_util::{BodyExt, Collected};
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::ReceiverStream;

    use super::*;

    fn upload() -> Vec<u8> {
        (0_u32..200_000).flat_map(u32::to_le_bytes).collect()
    }

    async fn read(body: reqwest::Body) -> Result<Bytes, reqwest::Error> {
        body.collect().await.map(Collected::to_bytes)
    }

    #[tokio::test]
    async fn a_node_that_still_reads_the_upload_takes_nothing_away_from_the_next_one() {
        let (intake, spool) = new().unwrap();
        intake.take_body(upload().into()).await.unwrap();
        let mut first = spool.body();
        let mut heard = first.frame().await.unwrap().unwrap().into_data().unwrap().to_vec();
        assert!(read(spool.body()).await.unwrap() == upload(), "the second node heard something else");
        heard.extend(read(first).await.unwrap());
        assert!(heard == upload(), "the first node heard something else");
        let digest = format!("{:x}", Sha256::digest(upload()));
        assert_eq!(spool.growth(), Growth { length: 800_000, stage: Stage::Whole(digest.into()) });
    }

    #[tokio::test]
    async fn a_node_hears_what_has_come_before_the_rest_has() {
        let (pieces, coming) = mpsc::channel(1);
        let (intake, spool) = new().unwrap();
        let caller = async move {
            let mut body = spool.body();
            pieces.send(Ok::<_, axum::Error>(Bytes::from_static(b"begin"))).await.unwrap();
            let heard = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(heard, "begin");
            pieces.send(Ok(Bytes::from_static(b"end"))).await.unwrap();
            drop(pieces);
            assert_eq!(read(body).await.unwrap(), "end");
        };
        let body = Body::from_stream(ReceiverStream::new(coming));
        let ((), taken) = tokio::join!(caller, intake.take_body(body));
        taken.unwrap();
    }

    #[tokio::test]
    async fn an_upload_that_breaks_off_is_no_upload_to_whoever_follows_it() {
        let (mut intake, spool) = new().unwrap();
        let piece = futures_util::stream::iter([Ok::<_, Failure>(Bytes::from_static(b"begin"))]);
        intake.take(piece, |failure| failure).await.unwrap();
        drop(intake);
        assert_eq!(spool.settled().await.stage, Stage::Broken);
        assert!(read(spool.body()).await.is_err());
    }
}
