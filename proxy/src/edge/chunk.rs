//! Follows a body in chunks, byte by byte, as strictly as RFC 9112 allows: sizes in hexadecimal, CR LF after each line
//! and each chunk, no trailer fields.

use super::violation::Violation;

/// Digits of a chunk's size: as many as 64 bits have.
const SIZE_DIGITS: u8 = 16;
/// Bytes of a chunk's extension, which nobody reads.
const EXTENSION_BYTES: u16 = 256;

/// A place within a body in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// Within the size, of which `digits` have come.
    Size { value: u64, digits: u8 },
    /// Within the extension after the size, of which `length` bytes have come.
    Extension { value: u64, length: u16 },
    /// Before the LF that ends the size.
    SizeEnd(u64),
    /// Before this many bytes of content, at least one.
    Content(u64),
    /// Before the CR after a chunk's content.
    ContentCr,
    /// Before the LF after a chunk's content.
    ContentLf,
    /// Before the CR that ends the body.
    LastCr,
    /// Before the LF that ends the body.
    LastLf,
}

impl Chunk {
    /// The place before the first chunk.
    pub(super) const START: Self = Self::Size { value: 0, digits: 0 };

    /// Moves past `byte`; `None` is the end of the body.
    ///
    /// # Errors
    ///
    /// [`Violation::Chunk`] or [`Violation::Trailer`] where the byte has no place.
    pub(super) fn after(self, byte: u8) -> Result<Option<Self>, Violation> {
        let next = match self {
            Self::Size { value, digits } => size(value, digits, byte),
            Self::Extension { value, .. } if byte == b'\r' => Some(Self::SizeEnd(value)),
            Self::Extension { value, length } => (length < EXTENSION_BYTES && !(byte.is_ascii_control()))
                .then_some(Self::Extension { value, length: length + 1 }),
            Self::SizeEnd(0) => (byte == b'\n').then_some(Self::LastCr),
            Self::SizeEnd(size) => (byte == b'\n').then_some(Self::Content(size)),
            Self::Content(0 | 1) => Some(Self::ContentCr),
            Self::Content(more) => Some(Self::Content(more - 1)),
            Self::ContentCr => (byte == b'\r').then_some(Self::ContentLf),
            Self::ContentLf => (byte == b'\n').then_some(Self::START),
            Self::LastCr if byte != b'\r' => return Err(Violation::Trailer),
            Self::LastCr => Some(Self::LastLf),
            Self::LastLf if byte == b'\n' => return Ok(None),
            Self::LastLf => None,
        };
        next.map(Some).ok_or(Violation::Chunk)
    }
}

fn size(value: u64, digits: u8, byte: u8) -> Option<Chunk> {
    match (char::from(byte).to_digit(16), byte) {
        (Some(digit), _) if digits < SIZE_DIGITS => {
            Some(Chunk::Size { value: value << 4 | u64::from(digit), digits: digits + 1 })
        }
        (None, b'\r') if digits > 0 => Some(Chunk::SizeEnd(value)),
        (None, b';') if digits > 0 => Some(Chunk::Extension { value, length: 0 }),
        (Some(_) | None, _) => None,
    }
}
