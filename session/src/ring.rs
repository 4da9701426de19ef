//! What the caller sent and may have to be replayed: bytes whose positions are counted from the stream's first one. Old audio
//! leaves at the front; the shell stops reading the caller when it is full.

mod pieces;

use std::num::NonZeroU32;

use bytes::Bytes;

use crate::events::Layout;
use crate::units::{Index, Unit};
use pieces::Pieces;

/// Audio from some position on, as it came.
#[derive(Debug)]
pub(crate) struct Ring {
    kept: Pieces,
    /// The position of the first byte that is kept.
    base: u64,
    grid: Grid,
}

/// Which samples lie where.
#[derive(Debug)]
enum Grid {
    /// Each in as many bytes.
    Frames(u64),
    /// As units tell.
    Units(Index),
}

impl Ring {
    /// Starts empty.
    pub(crate) fn new(layout: Layout) -> Self {
        let grid = match layout {
            Layout::Frames { bytes, .. } => Grid::Frames(bytes.get().into()),
            Layout::Units { preroll, .. } => Grid::Units(Index::new(preroll)),
            Layout::Opaque => Grid::Frames(NonZeroU32::MIN.get().into()),
        };
        Self { kept: Pieces::default(), base: 0, grid }
    }

    /// Keeps audio.
    pub(crate) fn push(&mut self, audio: &Bytes) {
        self.kept.push(audio);
    }

    /// Keeps a unit.
    pub(crate) fn push_unit(&mut self, unit: Unit, bytes: &[u8]) {
        let position = self.end();
        if let Grid::Units(index) = &mut self.grid {
            index.push(position, unit);
        }
        self.kept.extend(bytes);
    }

    /// Counts audio and does not keep it: nothing before it is kept either.
    pub(crate) fn pass(&mut self, audio: usize) {
        self.base = self.end() + audio as u64;
        self.kept = Pieces::default();
        self.trim_units();
    }

    /// Begins at a position instead of 0.
    pub(crate) fn begin_at(&mut self, position: u64) {
        self.base = position;
        self.kept = Pieces::default();
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

    /// Returns the position of the first byte of a frame, or of the unit that it is in.
    pub(crate) fn at_frame(&self, frame: u64) -> u64 {
        match &self.grid {
            Grid::Frames(bytes) => frame.saturating_mul(*bytes),
            Grid::Units(index) => index.position(frame).unwrap_or_else(|| self.end()),
        }
    }

    /// Returns the frame that a position is in.
    pub(crate) fn frame(&self, position: u64) -> u64 {
        match &self.grid {
            Grid::Frames(bytes) => position / bytes,
            Grid::Units(index) => index.sample(position),
        }
    }

    /// Returns where a leg begins that is to hear a frame: the first frame that it hears, and the position of its first
    /// byte.
    pub(crate) fn begin(&self, frame: u64) -> (u64, u64) {
        match &self.grid {
            Grid::Frames(_) => (frame, self.at_frame(frame)),
            Grid::Units(index) => index.begin(frame).unwrap_or_else(|| (self.frame(self.end()), self.end())),
        }
    }

    /// Forgets everything before a position; that must be the first byte of a frame or of a unit.
    pub(crate) fn trim(&mut self, position: u64) {
        let old = self.kept.drain(self.index(position));
        self.base += old as u64;
        self.trim_units();
    }

    /// Copies units from a position on, none that begins beyond `end`, and no more than it takes to have `most` bytes;
    /// nothing where audio is not in units.
    pub(crate) fn copy_units(&self, from: u64, end: u64, most: usize) -> Option<Vec<(Unit, Bytes)>> {
        let Grid::Units(index) = &self.grid else { return None };
        let bound = end.min(self.end()).min(from.saturating_add(most as u64));
        let units: Vec<(u64, Unit)> = index.from(from).take_while(|(at, _)| *at < bound).copied().collect();
        let after = units.last().map(|(last, _)| self.after(index, *last));
        let ends = units.iter().skip(1).map(|(at, _)| *at).chain(after);
        Some(units.iter().zip(ends).map(|((at, unit), end)| (*unit, self.copy(*at, end, usize::MAX))).collect())
    }

    /// Returns the position after the unit at a position.
    fn after(&self, index: &Index, position: u64) -> u64 {
        index.from(position + 1).next().map_or_else(|| self.end(), |(at, _)| *at)
    }

    fn trim_units(&mut self) {
        if let Grid::Units(index) = &mut self.grid {
            index.trim(self.base);
        }
    }

    /// Forgets everything from a position on.
    pub(crate) fn truncate(&mut self, position: u64) {
        self.kept.truncate(self.index(position));
    }

    /// Copies at most `most` bytes from a position on, and none beyond `end`.
    pub(crate) fn copy(&self, from: u64, end: u64, most: usize) -> Bytes {
        let first = self.index(from);
        self.kept.copy(first, self.index(end).min(first.saturating_add(most)))
    }

    /// Puts a byte in the place of what is kept between two positions.
    pub(crate) fn fill(&mut self, (from, to): (u64, u64), byte: u8) {
        self.kept.fill((self.index(from), self.index(to)), byte);
    }

    /// Forgets everything and gives the memory back.
    pub(crate) fn clear(&mut self) {
        self.pass(0);
    }

    /// Counts from the first byte that is kept.
    fn index(&self, position: u64) -> usize {
        usize::try_from(position.saturating_sub(self.base)).unwrap_or(usize::MAX).min(self.kept.len())
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
                ring.fill((from, from + 300), 255);
                all.iter_mut().skip(first).take(300).for_each(|byte| *byte = 255);
                prop_assert_eq!(&ring.copy(from, u64::MAX, most)[..], &all[first..last]);
            }
        }
    }
}
