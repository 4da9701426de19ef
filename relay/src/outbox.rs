//! What waits to be written: whole frames, within a bound that stops the other side from being read.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Bytes that may wait before there is no room.
const BOUND: usize = 256 << 10;
/// What a frame costs beside its own bytes, so that tiny frames cannot fill the memory.
const FRAME: usize = 64;
/// Frames written with one call.
const AT_ONCE: usize = 32;

/// Frames in the order in which they will be written.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// How much of the first frame has been written.
    begun: usize,
    /// The answer to the last ping; it goes before what waits, and stands for those before it that did not go yet.
    pong: Option<Bytes>,
    first: First,
}

/// What the first frame is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum First {
    #[default]
    Frame,
    /// An answer to a ping that has not been begun, so that a later one may take its place.
    Pong,
}

impl Outbox {
    /// Tells whether another frame may be added.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes + self.frames.len() * FRAME < BOUND
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.pong.is_none()
    }

    pub(crate) fn add(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    pub(crate) fn answer_ping(&mut self, pong: Bytes) {
        self.pong = Some(pong);
    }

    /// Writes everything and flushes the pipe.
    pub(crate) fn poll_flush<P: AsyncWrite + Unpin>(
        &mut self,
        pipe: &mut P,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_empty() {
            return Pin::new(pipe).poll_flush(cx);
        }
        while !self.is_empty() {
            self.let_pong_pass();
            let written = ready!(self.poll_write(pipe, cx))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.note_written(written);
        }
        if self.frames.capacity() > AT_ONCE {
            self.frames = VecDeque::new();
        }
        Pin::new(pipe).poll_flush(cx)
    }

    fn let_pong_pass(&mut self) {
        if self.begun == 0
            && let Some(pong) = self.pong.take()
        {
            if self.first == First::Pong {
                self.bytes -= self.frames.pop_front().map_or(0, |stale| stale.len());
            }
            self.bytes += pong.len();
            self.frames.push_front(pong);
            self.first = First::Pong;
        }
    }

    fn poll_write<P: AsyncWrite + Unpin>(&self, pipe: &mut P, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let pipe = Pin::new(pipe);
        match self.frames.front() {
            Some(frame) if self.frames.len() == 1 || self.pong.is_some() => pipe.poll_write(cx, frame),
            Some(_) | None => {
                let mut slices = [IoSlice::new(&[]); AT_ONCE];
                let frames = slices.iter_mut().zip(&self.frames);
                let count = frames.map(|(slice, frame)| *slice = IoSlice::new(frame)).count();
                pipe.poll_write_vectored(cx, &slices[..count])
            }
        }
    }

    fn note_written(&mut self, mut written: usize) {
        self.bytes = self.bytes.saturating_sub(written);
        self.first = First::Frame;
        while written > 0
            && let Some(frame) = self.frames.front_mut()
        {
            let part = written.min(frame.len());
            frame.advance(part);
            written -= part;
            if frame.is_empty() {
                self.frames.pop_front();
                self.begun = 0;
            } else {
                self.begun += part;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;

    /// Moves everything through a pipe that takes `size` bytes at a time.
    async fn moved(mut outbox: Outbox, size: usize) -> Vec<u8> {
        let (mut near, mut far) = tokio::io::duplex(size);
        let writing = async move { poll_fn(|cx| outbox.poll_flush(&mut near, cx)).await };
        let mut all = Vec::new();
        let (written, read) = tokio::join!(writing, far.read_to_end(&mut all));
        written.unwrap();
        read.unwrap();
        all
    }

    #[tokio::test]
    async fn what_is_added_is_written_in_order_however_little_goes_at_once() {
        for size in [1, 3, 7, 1_000] {
            let mut outbox = Outbox::default();
            let frames: Vec<Vec<u8>> = (0..100).map(|number| vec![number; usize::from(number) % 9 + 1]).collect();
            frames.iter().for_each(|frame| outbox.add(frame.clone().into()));
            assert_eq!(moved(outbox, size).await, frames.concat());
        }
    }

    #[tokio::test]
    async fn a_pong_passes_what_waits_but_never_splits_a_frame() {
        let (mut near, mut far) = tokio::io::duplex(2);
        let mut outbox = Outbox::default();
        outbox.add(Bytes::from_static(b"first"));
        outbox.add(Bytes::from_static(b"second"));
        let pending = poll_fn(|cx| Poll::Ready(outbox.poll_flush(&mut near, cx).is_pending())).await;
        assert!(pending);
        outbox.answer_ping(Bytes::from_static(b"(stale)"));
        outbox.answer_ping(Bytes::from_static(b"(pong)"));
        let mut begun = [0; 2];
        far.read_exact(&mut begun).await.unwrap();
        let rest = moved(outbox, 4).await;
        assert_eq!([&begun[..], &rest].concat(), b"first(pong)second");
    }

    #[test]
    fn there_is_room_up_to_256_kib() {
        let mut outbox = Outbox::default();
        outbox.add(vec![0; BOUND - FRAME - 1].into());
        assert!(outbox.has_room());
        outbox.add(vec![0; 1].into());
        assert!(!outbox.has_room());
        outbox.note_written(FRAME + 1);
        assert!(outbox.has_room());
    }

    #[test]
    fn tiny_frames_take_room_too() {
        let mut outbox = Outbox::default();
        (0..BOUND / (FRAME + 1)).for_each(|_frame| outbox.add(Bytes::from_static(b"x")));
        assert!(outbox.has_room());
        outbox.add(Bytes::from_static(b"x"));
        assert!(!outbox.has_room());
    }
}
