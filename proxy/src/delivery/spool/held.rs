//! The part of an upload that is in memory: its first bytes, as they came. Most uploads are short, and never see the disk.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of all uploads together that may be in memory.
const ROOM: usize = 64 << 20;
/// Bytes of one upload that may be.
const SHARE: usize = 4 << 20;
/// A piece of so many bytes is kept as it came. A smaller one is copied: it may hold a larger buffer that it was read into.
const LARGE: usize = 16 << 10;

/// The memory that uploads share.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM)))
    }
}

impl Room {
    fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()
    }
}

/// Pieces that follow one another, from the upload's first byte on.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Each with the place after its last byte.
    pieces: Vec<(u64, Bytes)>,
    room: Room,
    taken: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Starts empty, in a room that it shares.
    pub(super) fn within(room: Room) -> Self {
        Self { room, ..Self::default() }
    }

    /// Keeps the next pieces if there is room for all of them.
    pub(super) fn keep(&mut self, pieces: &mut Vec<Bytes>) -> bool {
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        let fits = self.end() + bytes as u64 <= SHARE as u64;
        let Some(more) = fits.then(|| self.room.take(bytes)).flatten() else { return false };
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        for piece in pieces.drain(..) {
            self.pieces.push((self.end() + piece.len() as u64, piece));
        }
        true
    }

    /// Returns the place after the last byte.
    pub(super) fn end(&self) -> u64 {
        self.pieces.last().map_or(0, |(end, _piece)| *end)
    }

    /// Returns bytes from a place on, as many as are in one piece and within `range`; none where that is not in memory.
    pub(super) fn piece(&self, range: Range<u64>) -> Option<Bytes> {
        let index = self.pieces.partition_point(|(end, _piece)| *end <= range.start);
        let (end, piece) = self.pieces.get(index)?;
        let within = |place: u64| {
            let before_end = usize::try_from(end.saturating_sub(place)).unwrap_or(usize::MAX);
            piece.len().saturating_sub(before_end)
        };
        Some(piece.slice(within(range.start)..within(range.end)))
    }

    /// Lists all pieces.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter().map(|(_end, piece)| piece)
    }
}

/// What has come and is nowhere yet.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pieces: Vec<Bytes>,
    /// Small pieces, put together.
    small: BytesMut,
    bytes: usize,
}

impl Batch {
    /// Puts a piece behind the others.
    pub(super) fn add(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        if piece.len() < LARGE {
            self.small.extend_from_slice(&piece);
        } else {
            self.seal();
            self.pieces.push(piece);
        }
    }

    /// Counts its bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes everything out of it.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.seal();
        self.bytes = 0;
        std::mem::take(&mut self.pieces)
    }

    fn seal(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push(self.small.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_held_is_what_came_from_any_place_on(
            sizes in prop::collection::vec((1_usize..40_000, any::<bool>()), 1..20),
            (from, most) in (0_u64..400_000, 1_u64..100_000),
        ) {
            let (mut batch, mut held, mut all) = (Batch::default(), Held::default(), Vec::new());
            for (size, is_late) in sizes {
                let piece: Vec<u8> = (0..size).map(|n| u8::try_from((all.len() + n) % 251).unwrap()).collect();
                all.extend_from_slice(&piece);
                batch.add(piece.into());
                if is_late {
                    prop_assert!(held.keep(&mut batch.take()));
                }
            }
            prop_assert!(held.keep(&mut batch.take()));
            prop_assert_eq!(held.end(), all.len() as u64);
            let (mut place, end) = (from, (from + most).min(held.end()));
            while let Some(piece) = (place < end).then(|| held.piece(place..end)).flatten() {
                let index = usize::try_from(place).unwrap();
                prop_assert!(!piece.is_empty() && piece == all[index..index + piece.len()]);
                place += piece.len() as u64;
            }
            prop_assert_eq!(place, end.max(from));
        }
    }

    #[test]
    fn uploads_share_a_room_and_none_takes_all_of_it() {
        let room = Room::default();
        let mebibyte = || vec![Bytes::from(vec![0; 1 << 20])];
        let mut uploads: Vec<Held> = (0..17).map(|_upload| Held::within(room.clone())).collect();
        let kept = |held: &mut Held| (0..5).filter(|_piece| held.keep(&mut mebibyte())).count();
        let counts: Vec<_> = uploads.iter_mut().map(kept).collect();
        assert_eq!((&counts[..16], counts[16]), (&[4; 16][..], 0));
        uploads.pop();
        uploads.pop();
        assert_eq!(kept(&mut Held::within(room)), 4, "what one gives back another may have");
    }
}
