//! What peers do wrong, and how connections end without a word.

use std::io;

use thiserror::Error;

/// A peer does not speak the protocol, or says too much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// One of the three bits is set that only extensions may use.
    #[error("a reserved bit is set and no extension was agreed on")]
    ReservedBits,
    /// The kind of the frame is not defined.
    #[error("the opcode {0:#x} is reserved")]
    ReservedOpcode(u8),
    /// A client sent a frame without a mask.
    #[error("a client's frame has no mask")]
    Unmasked,
    /// A server sent a frame with a mask.
    #[error("a server's frame has a mask")]
    Masked,
    /// A length is written with more bytes than it needs, or with the highest bit.
    #[error("the length {0} is not written in the shortest way")]
    Length(u64),
    /// A ping, pong or close of more than 125 bytes.
    #[error("a control frame has {0} bytes, more than 125")]
    LongControl(u64),
    /// A ping, pong or close in several frames.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A frame that continues no message.
    #[error("there is no message to continue")]
    NothingToContinue,
    /// A new message before the last one was complete.
    #[error("a message begins within another one")]
    Interrupted,
    /// A close of one byte, which is no code.
    #[error("a close has one byte, which is no code")]
    HalfCloseCode,
    /// A close with a code that may not be sent.
    #[error("{0} is no close code that may be sent")]
    CloseCode(u16),
    /// Text, or the reason of a close, is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// The message is longer than is taken.
    #[error("a message has {bytes} bytes or more, over the limit of {limit}")]
    TooLong {
        /// What its frames so far, and the header of the next one, come to.
        bytes: u64,
        /// What is taken.
        limit: usize,
    },
    /// The message has more frames than are taken.
    #[error("a message has more than {0} frames")]
    TooManyFragments(usize),
}

impl Violation {
    /// Returns the close code that tells the peer: 1002, 1007 or 1009.
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::Unmasked
            | Self::Masked
            | Self::Length(_)
            | Self::LongControl(_)
            | Self::FragmentedControl
            | Self::NothingToContinue
            | Self::Interrupted
            | Self::HalfCloseCode
            | Self::CloseCode(_) => 1002,
            Self::Utf8 => 1007,
            Self::TooLong { .. } | Self::TooManyFragments(_) => 1009,
        }
    }
}

/// A connection came to nothing.
#[derive(Debug, Error)]
pub enum Broken {
    /// The peer broke the rules.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The connection failed.
    #[error("connection lost: {0}")]
    Lost(#[from] io::Error),
    /// The connection ended before a close.
    #[error("connection ended without a close")]
    Ended,
}
