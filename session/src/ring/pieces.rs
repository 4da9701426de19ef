//! Bytes in pieces, so that nothing is moved where they grow: large messages as they came, small ones together.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// A message of so many bytes is a piece of its own: it is not copied.
const LARGE: usize = 2 << 10;
/// Bytes of small messages that become a piece.
const BLOCK: usize = 8 << 10;

/// A queue of bytes. Positions count from the first one that is there.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    /// Small messages behind the last piece.
    block: BytesMut,
    bytes: usize,
}

impl Pieces {
    /// Adds a message.
    pub(super) fn push(&mut self, message: &Bytes) {
        if message.len() < LARGE {
            return self.extend(message);
        }
        self.bytes += message.len();
        self.seal();
        self.pieces.push_back(message.clone());
    }

    /// Adds a copy of some bytes.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        if self.block.capacity() < self.block.len() + bytes.len() {
            self.seal();
            self.block = BytesMut::with_capacity(BLOCK.max(bytes.len()));
        }
        self.block.extend_from_slice(bytes);
    }

    /// Makes a piece of the small messages.
    fn seal(&mut self) {
        if !self.block.is_empty() {
            self.pieces.push_back(std::mem::take(&mut self.block).freeze());
        }
    }

    /// Counts the bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Takes away at most so many bytes at the front, and returns how many there were.
    pub(super) fn drain(&mut self, most: usize) -> usize {
        let drained = most.min(self.bytes);
        self.bytes -= drained;
        let mut left = drained;
        while let Some(piece) = self.pieces.front_mut().filter(|_piece| left > 0) {
            let cut = left.min(piece.len());
            piece.advance(cut);
            left -= cut;
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        self.block.advance(left);
        drained
    }

    /// Takes away what is behind so many bytes.
    pub(super) fn truncate(&mut self, most: usize) {
        self.seal();
        while let Some(last) = self.pieces.back_mut().filter(|_last| self.bytes > most) {
            let surplus = (self.bytes - most).min(last.len());
            last.truncate(last.len() - surplus);
            self.bytes -= surplus;
            if last.is_empty() {
                self.pieces.pop_back();
            }
        }
    }

    /// Copies the bytes between two positions, as far as they are there.
    pub(super) fn copy(&self, first: usize, last: usize) -> Bytes {
        let mut copy = BytesMut::with_capacity(last.min(self.bytes).saturating_sub(first));
        let mut begins = 0;
        for piece in self.pieces.iter().map(Bytes::as_ref).chain([self.block.as_ref()]) {
            let within = |position: usize| position.saturating_sub(begins).min(piece.len());
            copy.extend_from_slice(&piece[within(first)..within(last).max(within(first))]);
            begins += piece.len();
            if begins >= last {
                break;
            }
        }
        copy.freeze()
    }

    /// Puts a byte in the place of those between two positions.
    pub(super) fn fill(&mut self, (first, last): (usize, usize), byte: u8) {
        self.seal();
        let mut begins = 0;
        for piece in &mut self.pieces {
            let within = |position: usize| position.saturating_sub(begins).min(piece.len());
            let (from, to) = (within(first), within(last));
            begins += piece.len();
            if from < to {
                let mut filled = BytesMut::from(&piece[..]);
                filled[from..to].fill(byte);
                *piece = filled.freeze();
            }
        }
    }
}
