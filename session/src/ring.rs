//! What the caller sent and may have to be replayed: bytes whose positions are counted from the stream's first one. Old audio
//! leaves at the front; the shell stops reading the caller when it is full.
//!
//! They are kept in pieces, so that nothing is moved where the ring grows: large messages as they came, small ones together.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use bytes::{Buf, Bytes, BytesMut};

use crate::events::Layout;

/// A message of so many bytes is a piece of its own: it is not copied.
const LARGE: usize = 2 << 10;
/// Bytes of small messages that become a piece.
const BLOCK: usize = 8 << 10;

/// Audio from some position on, as it came.
#[derive(Debug)]
pub(crate) struct Ring {
    pieces: VecDeque<Bytes>,
    /// Small messages behind the last piece.
    block: BytesMut,
    bytes: usize,
    /// The position of the first byte that is kept.
    base: u64,
    frame: u64,
}

impl Ring {
    /// Starts empty.
    pub(crate) fn new(layout: Layout) -> Self {
        let frame = match layout {
            Layout::Frames { bytes, .. } => bytes,
            Layout::Opaque => NonZeroU32::MIN,
        };
        let (pieces, block) = (VecDeque::new(), BytesMut::new());
        Self { pieces, block, bytes: 0, base: 0, frame: frame.get().into() }
    }

    /// Keeps audio.
    pub(crate) fn push(&mut self, audio: &Bytes) {
        self.bytes += audio.len();
        if audio.len() >= LARGE {
            self.seal();
            self.pieces.push_back(audio.clone());
            return;
        }
        if self.block.capacity() < self.block.len() + audio.len() {
            self.seal();
            self.block = BytesMut::with_capacity(BLOCK);
        }
        self.block.extend_from_slice(audio);
    }

    /// Makes a piece of the small messages.
    fn seal(&mut self) {
        if !self.block.is_empty() {
            self.pieces.push_back(std::mem::take(&mut self.block).freeze());
        }
    }

    /// Counts audio and does not keep it: nothing before it is kept either.
    pub(crate) fn pass(&mut self, audio: usize) {
        self.base = self.end() + audio as u64;
        self.bytes = 0;
        (self.pieces, self.block) = (VecDeque::new(), BytesMut::new());
    }

    /// Returns the position of the first byte that is kept.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Returns the position after the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.bytes as u64
    }

    /// Returns how many bytes are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the position of the first byte of a frame.
    pub(crate) fn at_frame(&self, frame: u64) -> u64 {
        frame.saturating_mul(self.frame)
    }

    /// Returns the frame that a position is in.
    pub(crate) fn frame(&self, position: u64) -> u64 {
        position / self.frame
    }

    /// Forgets everything before a position; that must be the first byte of a frame.
    pub(crate) fn trim(&mut self, position: u64) {
        let Some(old) = position.checked_sub(self.base).filter(|old| *old > 0) else { return };
        let mut old = usize::try_from(old).unwrap_or(usize::MAX).min(self.bytes);
        self.bytes -= old;
        self.base += old as u64;
        while let Some(piece) = self.pieces.front_mut().filter(|_piece| old > 0) {
            let cut = old.min(piece.len());
            piece.advance(cut);
            old -= cut;
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        self.block.advance(old);
    }

    /// Copies at most `most` bytes from a position on, and none beyond `end`.
    pub(crate) fn copy(&self, from: u64, end: u64, most: usize) -> Bytes {
        let index = |position: u64| usize::try_from(position.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let first = index(from).min(self.bytes);
        let last = index(end).min(self.bytes).min(first.saturating_add(most)).max(first);
        let mut copy = BytesMut::with_capacity(last - first);
        let mut begins = 0;
        for piece in self.pieces.iter().map(Bytes::as_ref).chain([self.block.as_ref()]) {
            let within = |position: usize| position.saturating_sub(begins).min(piece.len());
            copy.extend_from_slice(&piece[within(first)..within(last)]);
            begins += piece.len();
            if begins >= last {
                break;
            }
        }
        copy.freeze()
    }

    /// Forgets everything and gives the memory back.
    pub(crate) fn clear(&mut self) {
        self.pass(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(frame: u32) -> Ring {
        let bytes = NonZeroU32::new(frame).unwrap();
        Ring::new(Layout::Frames { rate: NonZeroU32::MIN, bytes })
    }

    #[test]
    fn what_was_passed_is_counted_and_gone() {
        let mut ring = ring(2);
        ring.push(&Bytes::from_static(&[1; 10]));
        ring.pass(6);
        assert_eq!((ring.base(), ring.end(), ring.bytes()), (16, 16, 0));
        ring.push(&Bytes::from_static(&[2; 4]));
        assert_eq!((ring.frame(19), ring.at_frame(9)), (9, 18));
        assert_eq!(ring.copy(0, 20, 99), Bytes::from(vec![2; 4]));
    }

    proptest! {
        #[test]
        fn it_is_a_window_on_everything_that_was_pushed(
            steps in prop::collection::vec((0_usize..5_000, 0_u64..90_000, 0_u64..99_000, 1_usize..20_000), 1..60),
        ) {
            let (mut ring, mut all) = (ring(1), Vec::new());
            for (pushed, trimmed, from, most) in steps {
                let audio: Vec<u8> = (0..pushed).map(|n| u8::try_from((all.len() + n) % 251).unwrap()).collect();
                all.extend_from_slice(&audio);
                ring.push(&audio.into());
                ring.trim(trimmed);
                prop_assert_eq!(ring.end(), all.len() as u64);
                let from = from.max(ring.base());
                let first = usize::try_from(from).unwrap().min(all.len());
                let last = (first + most).min(all.len());
                prop_assert_eq!(&ring.copy(from, u64::MAX, most)[..], &all[first..last]);
            }
        }
    }
}
