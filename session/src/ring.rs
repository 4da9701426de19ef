//! What the caller sent and no node has answered for good. It is bounded; at the bound the caller is not read any further.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::stream::Control;

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
    /// Starts empty, with room for `limit` bytes.
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
        self.bytes < self.limit
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

    /// Returns how many bytes are kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
