//! What the caller sent and no node has answered for good. It is bounded; at the bound the caller is not read any further.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::events::Control;

/// What a message costs beside its own bytes, so that tiny messages cannot fill the memory.
const MESSAGE_BYTES: usize = 64;

/// One thing the caller sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Audio, as it came.
    Audio(Bytes),
    /// A control message, as it came.
    Control(Control, Bytes),
}

impl Kept {
    fn bytes(&self) -> usize {
        match self {
            Self::Audio(bytes) | Self::Control(_, bytes) => bytes.len(),
        }
    }
}

/// Kept messages in the order they came.
#[derive(Debug)]
pub struct Ring {
    kept: VecDeque<Kept>,
    bytes: usize,
    limit: usize,
}

impl Ring {
    /// Starts empty, with room for `limit` bytes; each message takes 64 bytes beside its own.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { kept: VecDeque::new(), bytes: 0, limit }
    }

    /// Keeps a message. One message more than fits is kept too: it was already read.
    pub fn keep(&mut self, message: Kept) {
        self.bytes += message.bytes();
        self.kept.push_back(message);
    }

    /// Tells whether more may be read from the caller.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.bytes + self.kept.len() * MESSAGE_BYTES < self.limit
    }

    /// Forgets everything and gives the memory back.
    pub fn clear(&mut self) {
        self.kept = VecDeque::new();
        self.bytes = 0;
    }

    /// Returns what is kept, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter()
    }

    /// Tells whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Returns how many bytes the kept messages have.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audio(bytes: usize) -> Kept {
        Kept::Audio(Bytes::from(vec![1; bytes]))
    }

    #[test]
    fn what_was_kept_comes_back_in_order() {
        let flush = Kept::Control(Control::Finalize, Bytes::from_static(b"{}"));
        let mut ring = Ring::new(1_000);
        let messages = [audio(3), flush, audio(5)];
        messages.iter().cloned().for_each(|message| ring.keep(message));
        assert!(ring.iter().eq(&messages));
        assert_eq!((ring.bytes(), ring.is_empty()), (10, false));
    }

    #[test]
    fn a_full_ring_keeps_what_was_already_read_and_has_room_again_when_cleared() {
        let mut ring = Ring::new(1_000);
        ring.keep(audio(900));
        assert!(ring.has_room());
        ring.keep(audio(900));
        assert!(!ring.has_room());
        assert_eq!(ring.bytes(), 1_800);
        ring.clear();
        assert!(ring.has_room() && ring.is_empty() && ring.bytes() == 0);
    }

    #[test]
    fn tiny_messages_fill_the_ring_too() {
        let mut ring = Ring::new(6_500);
        (0..99).for_each(|_| ring.keep(audio(1)));
        assert!(ring.has_room());
        ring.keep(audio(1));
        assert!(!ring.has_room());
    }
}
