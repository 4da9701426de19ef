//! Other ways to read what a spool keeps: here and there by somebody who may block, and as the body of a request.

use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http_body::{Body, Frame, SizeHint};

use super::Kept;

/// A place in a spool. Each reader keeps its own: handles of one file would share theirs.
#[derive(Debug)]
pub(in crate::delivery) struct Reader {
    pub(super) kept: Arc<Kept>,
    pub(super) place: u64,
    pub(super) length: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let held = self.kept.held().piece(self.place..self.place.saturating_add(buffer.len() as u64));
        let length = match held {
            Some(piece) => {
                buffer[..piece.len()].copy_from_slice(&piece);
                piece.len()
            }
            None if self.place >= self.length => 0,
            None => self.kept.file()?.read_at(buffer, self.place)?,
        };
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

/// A body that tells its length, where that is known.
pub(super) struct Told {
    /// Only ever polled by whoever owns it; the lock is for the types' sake.
    pub(super) pieces: Mutex<BoxStream<'static, io::Result<Bytes>>>,
    pub(super) left: Option<u64>,
}

impl Body for Told {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = self.pieces.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll_next(cx);
        if let (Poll::Ready(Some(Ok(piece))), Some(left)) = (&polled, &mut self.left) {
            *left = left.saturating_sub(piece.len() as u64);
        }
        polled.map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
