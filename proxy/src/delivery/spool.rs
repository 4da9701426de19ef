//! The spool: an upload, in memory as far as there is room and in an unlinked temporary file beyond. Whoever sends it on or
//! decodes it reads from there, and may follow while it still comes in; so any number of nodes can have it, one after the other,
//! and memory holds its beginning at most.

mod failing;
mod held;
mod reading;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream::try_unfold;
use futures_util::{FutureExt, Stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::Failure;
pub(super) use failing::broken_off;
use failing::full;
use held::{Batch, Held, Room};
use reading::{Reader, Told};

/// Bytes read from the disk at once.
const PIECE: usize = 64 << 10;
/// Bytes taken before readers see them, where they come fast enough.
const BATCH: usize = 256 << 10;

/// Makes spools, which share a room in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spools(Room);

impl Spools {
    /// Makes an empty spool, for so many bytes where that is known.
    pub(crate) fn open(&self, expected: Option<u64>) -> (Intake, Spool) {
        let (growth, grows) = watch::channel(Growth { length: 0, stage: Stage::Coming });
        let held = Mutex::new(Held::within(self.0.clone()));
        let kept = Arc::new(Kept { expected, held, ..Kept::default() });
        let intake = Intake { kept: Arc::clone(&kept), growth, batch: Batch::default(), digest: None };
        (intake, Spool { kept, growth: grows })
    }
}

/// How much of an upload is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Growth {
    /// Its bytes so far.
    pub(crate) length: u64,
    /// Whether there will be more.
    pub(crate) stage: Stage,
}

/// Where an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// On its way.
    Coming,
    /// All here.
    Whole,
    /// It broke off.
    Broken,
}

/// Where the bytes are.
#[derive(Debug, Default)]
struct Kept {
    /// Its bytes, if somebody said how many will come.
    expected: Option<u64>,
    held: Mutex<Held>,
    /// What is not held, each byte at its own place.
    file: OnceLock<File>,
    /// The digest of all bytes, in hexadecimal, where it was made on their way to the disk.
    digest: OnceLock<String>,
}

impl Kept {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the file, which is made when it is first needed. Nobody else can see it, and it is gone when the last handle is.
    fn file(&self) -> io::Result<&File> {
        match self.file.get() {
            Some(file) => Ok(file),
            None => tempfile::tempfile().map(|file| self.file.get_or_init(|| file)),
        }
    }

    fn digest_of_held(&self) -> Sha256 {
        let mut digest = Sha256::new();
        self.held().pieces().for_each(|piece| digest.update(piece));
        digest
    }

    /// Writes pieces to the disk, and goes on with the digest of everything before them.
    fn write(&self, pieces: &[Bytes], mut place: u64, digest: Option<Sha256>) -> io::Result<Sha256> {
        let mut digest = digest.unwrap_or_else(|| self.digest_of_held());
        for piece in pieces {
            digest.update(piece);
            self.file()?.write_all_at(piece, place)?;
            place += piece.len() as u64;
        }
        Ok(digest)
    }
}

/// The end where bytes go in. Dropping it before [`Intake::finish`] means that the upload broke off.
#[derive(Debug)]
pub(crate) struct Intake {
    kept: Arc<Kept>,
    growth: watch::Sender<Growth>,
    batch: Batch,
    /// Of everything so far, once something went to the disk.
    digest: Option<Sha256>,
}

/// An upload.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    kept: Arc<Kept>,
    growth: watch::Receiver<Growth>,
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
            self.batch.add(piece.map_err(&broken)?);
            if self.batch.bytes() >= BATCH {
                self.flush().await?;
            }
        }
    }

    /// Says that this was all.
    pub(crate) async fn finish(mut self) -> Result<(), Failure> {
        self.flush().await?;
        if let Some(digest) = self.digest.take() {
            self.kept.digest.get_or_init(|| hexadecimal(digest));
        }
        self.growth.send_modify(|growth| growth.stage = Stage::Whole);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        let bytes = self.batch.bytes();
        let mut pieces = self.batch.take();
        if pieces.is_empty() {
            return Ok(());
        }
        // What follows something on disk is there too.
        let is_held = self.digest.is_none() && self.kept.held().keep(&mut pieces);
        if !is_held {
            let (kept, place, digest) = (Arc::clone(&self.kept), self.growth.borrow().length, self.digest.take());
            let written = spawn_blocking(move || kept.write(&pieces, place, digest)).await;
            self.digest = Some(written.map_err(io::Error::from).flatten().map_err(|error| full(&error))?);
        }
        self.growth.send_modify(|growth| growth.length += bytes as u64);
        Ok(())
    }
}

impl Spool {
    /// Tells how much there is.
    pub(crate) fn growth(&self) -> Growth {
        let growth = *self.growth.borrow();
        let abandoned = growth.stage == Stage::Coming && self.growth.has_changed().is_err();
        if abandoned { Growth { stage: Stage::Broken, ..growth } } else { growth }
    }

    /// Returns the digest of its bytes, in hexadecimal; nothing before all of it is here.
    pub(crate) async fn sha256(&self) -> String {
        if self.growth().stage != Stage::Whole {
            return String::new();
        }
        match self.kept.digest.get() {
            Some(digest) => digest.clone(),
            None => {
                let kept = Arc::clone(&self.kept);
                spawn_blocking(move || hexadecimal(kept.digest_of_held())).await.unwrap_or_default()
            }
        }
    }

    /// Waits until there are more than so many bytes, or no more will come.
    pub(crate) async fn grown(&self, beyond: u64) -> Growth {
        let more = |growth: &Growth| growth.length > beyond || growth.stage != Stage::Coming;
        if !more(&self.growth()) {
            let _abandoned = self.growth.clone().wait_for(more).await.is_err();
        }
        self.growth()
    }

    /// Waits until no more will come.
    pub(crate) async fn settled(&self) -> Growth {
        self.grown(u64::MAX).await
    }

    /// Reads its first bytes, once there are any.
    pub(super) async fn beginning(&self) -> io::Result<Bytes> {
        self.piece(0).await
    }

    /// Reads it from the start as a request's body, and follows it to its end. The body tells its length where that is known.
    pub(super) fn body(&self) -> reqwest::Body {
        let Growth { length, stage } = self.growth();
        let length = if stage == Stage::Whole { Some(length) } else { self.kept.expected };
        reqwest::Body::wrap(Told { pieces: Mutex::new(self.pieces().boxed()), left: length })
    }

    /// Reads it from the start, and follows it to its end.
    pub(super) fn pieces(&self) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let spool = self.clone();
        try_unfold((spool, 0), |(spool, place)| async move {
            let piece = spool.piece(place).await?;
            let next = place + piece.len() as u64;
            Ok::<_, io::Error>((!piece.is_empty()).then_some((piece, (spool, next))))
        })
    }

    /// Reads at most so many bytes from a place, once there are any: none at the end.
    pub(super) async fn read(&self, place: u64, most: usize) -> io::Result<Bytes> {
        let first = self.piece(place).await?;
        let here = usize::try_from(self.growth().length.saturating_sub(place)).unwrap_or(usize::MAX).min(most);
        if first.is_empty() || first.len() >= here {
            return Ok(first.slice(..first.len().min(most)));
        }
        let mut all = BytesMut::with_capacity(here);
        all.extend_from_slice(&first);
        while all.len() < here {
            let piece = self.piece(place + all.len() as u64).await?;
            all.extend_from_slice(&piece[..piece.len().min(here - all.len())]);
        }
        Ok(all.freeze())
    }

    /// Reads bytes from a place, as many as are read at once, once there are any: none at the end.
    async fn piece(&self, place: u64) -> io::Result<Bytes> {
        let growth = self.grown(place).await;
        if growth.stage == Stage::Broken {
            return Err(broken_off());
        }
        if growth.length <= place {
            return Ok(Bytes::new());
        }
        if let Some(piece) = self.kept.held().piece(place..growth.length) {
            return Ok(piece);
        }
        let length = usize::try_from(growth.length - place).unwrap_or(PIECE).min(PIECE);
        let kept = Arc::clone(&self.kept);
        let read = move || {
            let mut piece = vec![0; length];
            kept.file()?.read_exact_at(&mut piece, place).map(|()| Bytes::from(piece))
        };
        spawn_blocking(read).await?
    }

    /// Opens what is there for somebody who reads it here and there, and may block.
    pub(super) fn reader(&self) -> Reader {
        Reader { kept: Arc::clone(&self.kept), place: 0, length: self.growth().length }
    }
}

fn hexadecimal(digest: Sha256) -> String {
    format!("{:x}", digest.finalize())
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::{BodyExt, Collected};
    use std::io::{Read, Seek, SeekFrom};
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::ReceiverStream;

    use super::*;

    /// So much that its end goes to the disk.
    const LONG: u32 = 2_000_000;

    fn upload(words: u32) -> Vec<u8> {
        (0..words).flat_map(u32::to_le_bytes).collect()
    }

    fn new() -> (Intake, Spool) {
        Spools::default().open(None)
    }

    async fn read(body: reqwest::Body) -> Result<Bytes, reqwest::Error> {
        body.collect().await.map(Collected::to_bytes)
    }

    /// Takes an upload in pieces of uneven sizes.
    async fn take(intake: Intake, upload: Vec<u8>) {
        let sizes = [100_usize, 70_000, 300_000, 17, 16_384].into_iter().cycle();
        let mut rest = Bytes::from(upload);
        let pieces: Vec<_> =
            sizes.map_while(|size| (!rest.is_empty()).then(|| rest.split_to(size.min(rest.len())))).collect();
        let body = futures_util::stream::iter(pieces.into_iter().map(Ok::<_, axum::Error>));
        intake.take_body(Body::from_stream(body)).await.unwrap();
    }

    #[tokio::test]
    async fn a_node_that_still_reads_the_upload_takes_nothing_away_from_the_next_one() {
        for words in [200_000, LONG] {
            let (intake, spool) = new();
            take(intake, upload(words)).await;
            let mut first = spool.body();
            let mut heard = first.frame().await.unwrap().unwrap().into_data().unwrap().to_vec();
            assert!(read(spool.body()).await.unwrap() == upload(words), "the second node heard something else");
            heard.extend(read(first).await.unwrap());
            assert!(heard == upload(words), "the first node heard something else");
            assert_eq!(spool.growth(), Growth { length: u64::from(words) * 4, stage: Stage::Whole });
            assert_eq!(spool.sha256().await, format!("{:x}", Sha256::digest(upload(words))));
            assert_eq!(spool.kept.file.get().is_some(), words == LONG, "only what is long goes to the disk");
        }
    }

    #[tokio::test]
    async fn an_upload_is_read_from_any_place_in_memory_and_on_disk() {
        let (intake, spool) = new();
        take(intake, upload(LONG)).await;
        let all = upload(LONG);
        for place in [0_usize, 99, 100, 69_000, 4_000_000, 4_200_000, 7_999_990] {
            let expected = &all[place..all.len().min(place + 150_000)];
            assert!(spool.read(place as u64, 150_000).await.unwrap() == expected, "read at {place}");
            let mut reader = spool.reader();
            reader.seek(SeekFrom::Start(place as u64)).unwrap();
            let mut heard = Vec::new();
            reader.take(150_000).read_to_end(&mut heard).unwrap();
            assert!(heard == expected, "heard at {place}");
        }
        assert!(spool.read(8_000_000, 1).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_body_tells_its_length_as_soon_as_that_is_known() {
        let (intake, spool) = Spools::default().open(Some(4_000));
        assert_eq!(spool.body().size_hint().exact(), Some(4_000));
        take(intake, upload(1_000)).await;
        let (intake, unknown) = new();
        assert_eq!(unknown.body().size_hint().exact(), None);
        take(intake, upload(1_000)).await;
        assert_eq!(unknown.body().size_hint().exact(), Some(4_000));
        assert!(read(unknown.body()).await.unwrap() == upload(1_000));
    }

    #[tokio::test]
    async fn a_node_hears_what_has_come_before_the_rest_has() {
        let (pieces, coming) = mpsc::channel(1);
        let (intake, spool) = new();
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
        let (mut intake, spool) = new();
        let piece = futures_util::stream::iter([Ok::<_, Failure>(Bytes::from_static(b"begin"))]);
        intake.take(piece, |failure| failure).await.unwrap();
        drop(intake);
        assert_eq!(spool.settled().await.stage, Stage::Broken);
        assert!(read(spool.body()).await.is_err());
        assert_eq!(spool.sha256().await, "");
    }
}
