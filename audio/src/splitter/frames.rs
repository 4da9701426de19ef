//! Raw samples as units: pieces of at most 20 ms, each of whole frames.

use super::{Piece, Tell, UnitKind};
use crate::format::SampleRate;

/// The widest frame: eight channels of four bytes.
const MAX_FRAME: usize = 32;
/// Units of this many in a second are the longest.
const UNITS_PER_SECOND: u32 = 50;

/// Carries the bytes of an incomplete frame from one push to the next.
#[derive(Clone, Debug)]
pub(super) struct Frames {
    frame: usize,
    rate: SampleRate,
    partial: [u8; MAX_FRAME],
    partial_len: usize,
}

impl Frames {
    /// Starts at the first byte of a frame of `frame` bytes, which are at most 32.
    pub(super) const fn new(frame: usize, rate: SampleRate) -> Self {
        Self { frame, rate, partial: [0; MAX_FRAME], partial_len: 0 }
    }

    pub(super) const fn rate(&self) -> SampleRate {
        self.rate
    }

    pub(super) fn push(&mut self, bytes: &[u8], tell: &mut Tell<'_>) {
        let rest = self.complete_partial(bytes, tell);
        let (whole, cut) = rest.split_at(rest.len() - rest.len() % self.frame);
        let longest = (self.rate.hertz() / UNITS_PER_SECOND) as usize * self.frame;
        for piece in whole.chunks(longest) {
            self.tell(piece, tell);
        }
        self.keep(cut);
    }

    /// Fills up the frame that the last call left incomplete and returns the bytes after it.
    fn complete_partial<'a>(&mut self, bytes: &'a [u8], tell: &mut Tell<'_>) -> &'a [u8] {
        if self.partial_len == 0 {
            return bytes;
        }
        let (head, rest) = bytes.split_at(bytes.len().min(self.frame - self.partial_len));
        self.keep(head);
        if self.partial_len == self.frame {
            self.partial_len = 0;
            self.tell(&self.partial[..self.frame], tell);
        }
        rest
    }

    fn keep(&mut self, cut: &[u8]) {
        let end = self.partial_len + cut.len();
        self.partial[self.partial_len..end].copy_from_slice(cut);
        self.partial_len = end;
    }

    fn tell(&self, piece: &[u8], tell: &mut Tell<'_>) {
        let samples = u32::try_from(piece.len() / self.frame).unwrap_or(u32::MAX);
        tell(Piece { samples, kind: UnitKind::Frames }, piece);
    }
}
