//! What the caller sent and may have to be replayed: one buffer of bytes whose positions are counted from the stream's
//! first byte. Old audio leaves at the front; the shell stops reading the caller when it is full.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use bytes::Bytes;

use crate::events::Layout;

/// A buffer that has shrunk to a quarter of its room gives the rest back, above this size.
const LEAST_ROOM: usize = 64 << 10;

/// Audio from some position on, as it came.
#[derive(Debug)]
pub(crate) struct Ring {
    kept: VecDeque<u8>,
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
        Self { kept: VecDeque::new(), base: 0, frame: frame.get().into() }
    }

    /// Keeps audio.
    pub(crate) fn push(&mut self, audio: &[u8]) {
        self.kept.extend(audio);
    }

    /// Counts audio and does not keep it: nothing before it is kept either.
    pub(crate) fn pass(&mut self, audio: usize) {
        self.base = self.end() + audio as u64;
        self.kept = VecDeque::new();
    }

    /// Begins at a position instead of 0.
    pub(crate) fn begin_at(&mut self, position: u64) {
        self.base = position;
        self.kept = VecDeque::new();
    }

    /// Returns the position of the first byte that is kept.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Returns the position after the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.kept.len() as u64
    }

    /// Returns how many bytes are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.kept.len()
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
        let old = usize::try_from(old).unwrap_or(usize::MAX).min(self.kept.len());
        self.kept.drain(..old);
        self.base += old as u64;
        if self.kept.capacity() > LEAST_ROOM && self.kept.len() < self.kept.capacity() / 4 {
            self.kept.shrink_to(self.kept.len() * 2);
        }
    }

    /// Forgets everything from a position on.
    pub(crate) fn truncate(&mut self, position: u64) {
        let kept = usize::try_from(position.saturating_sub(self.base)).unwrap_or(usize::MAX);
        self.kept.truncate(kept);
    }

    /// Copies at most `most` bytes from a position on, and none beyond `end`.
    pub(crate) fn copy(&self, from: u64, end: u64, most: usize) -> Bytes {
        let index = |position: u64| usize::try_from(position.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let first = index(from).min(self.kept.len());
        let last = index(end).min(self.kept.len()).min(first.saturating_add(most)).max(first);
        let (front, back) = self.kept.as_slices();
        let piece = |slice: &[u8], offset: usize| {
            let within = |position: usize| position.saturating_sub(offset).min(slice.len());
            slice[within(first)..within(last)].to_vec()
        };
        let mut copy = piece(front, 0);
        copy.extend(piece(back, front.len()));
        Bytes::from(copy)
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
        ring.push(&[1; 10]);
        ring.pass(6);
        assert_eq!((ring.base(), ring.end(), ring.bytes()), (16, 16, 0));
        ring.push(&[2; 4]);
        assert_eq!((ring.frame(19), ring.at_frame(9)), (9, 18));
        assert_eq!(ring.copy(0, 20, 99), Bytes::from(vec![2; 4]));
    }

    proptest! {
        #[test]
        fn it_is_a_window_on_everything_that_was_pushed(
            steps in prop::collection::vec((0_usize..200, 0_u64..300, 0_u64..2_000, 1_usize..64), 1..60),
        ) {
            let (mut ring, mut all) = (ring(1), Vec::new());
            for (pushed, trimmed, from, most) in steps {
                let audio: Vec<u8> = (0..pushed).map(|n| u8::try_from((all.len() + n) % 251).unwrap()).collect();
                ring.push(&audio);
                all.extend(audio);
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
