//! Which side of a connection this is, and how much the other one may send.

use std::num::NonZeroUsize;

/// Bytes of a message: 1 MiB is half a minute of 16-bit speech, a thousand times what clients send at once.
const MESSAGE: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 20) - 1);
/// Frames of a message.
const FRAGMENTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// A side of a connection. Clients mask what they send, servers do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The side that asked for the upgrade.
    Client,
    /// The side that answered.
    Server,
}

/// How much the other side may send at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in a message, and so in a frame.
    pub message: NonZeroUsize,
    /// Frames in a message.
    pub fragments: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message: MESSAGE, fragments: FRAGMENTS }
    }
}
