//! The header of a frame (RFC 6455, section 5.2), and what can be refused on its word alone.

use crate::fault::Violation;
use crate::limits::{Limits, Role};
use crate::mask::Mask;

/// Payload of a ping, pong or close, in bytes.
const CONTROL: u64 = 125;
/// Lengths that say that the length comes in the next two, or eight, bytes.
const IN_TWO: u8 = 126;
const IN_EIGHT: u8 = 127;
/// The longest header: two bytes, eight of length, four of mask.
pub(crate) const LONGEST: usize = 14;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    const fn of(bits: u8) -> Result<Self, Violation> {
        Ok(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            reserved => return Err(Violation::ReservedOpcode(reserved)),
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    const fn is_control(self) -> bool {
        match self {
            Self::Close | Self::Ping | Self::Pong => true,
            Self::Continuation | Self::Text | Self::Binary => false,
        }
    }
}

/// Whether more frames of the message follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fin {
    Last,
    More,
}

/// A parsed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) fin: Fin,
    pub(crate) opcode: Opcode,
    pub(crate) mask: Option<Mask>,
    /// Bytes of the header itself.
    pub(crate) size: usize,
    /// Bytes of the payload, within the limit.
    pub(crate) payload: usize,
}

impl Head {
    /// Reads the header at the beginning of `bytes`; none where they are too few. What is wrong is said as soon as it can
    /// be seen: a frame that announces too much is refused before its mask has come.
    pub(crate) fn read(bytes: &[u8], from: Role, limits: &Limits) -> Result<Option<Self>, Violation> {
        let [first, second, rest @ ..] = bytes else {
            return bytes.first().map_or(Ok(None), |first| kind(*first).map(|_kind| None));
        };
        let (fin, opcode) = kind(*first)?;
        let masked = match (second & 0x80 != 0, from) {
            (true, Role::Client) => true,
            (false, Role::Server) => false,
            (false, Role::Client) => return Err(Violation::Unmasked),
            (true, Role::Server) => return Err(Violation::Masked),
        };
        let Some((announced, length_bytes)) = length(second & 0x7f, rest)? else { return Ok(None) };
        if opcode.is_control() && announced > CONTROL {
            return Err(Violation::LongControl(announced));
        }
        let limit = limits.message.get();
        let payload = usize::try_from(announced).ok().filter(|payload| *payload <= limit);
        let payload = payload.ok_or(Violation::TooLong { bytes: announced, limit })?;
        let mask_bytes = rest.get(length_bytes..).unwrap_or_default();
        let mask = match (masked, mask_bytes.first_chunk()) {
            (true, None) => return Ok(None),
            (true, Some(mask)) => Some(Mask(*mask)),
            (false, _) => None,
        };
        let size = 2 + length_bytes + mask.map_or(0, |mask| mask.0.len());
        Ok(Some(Self { fin, opcode, mask, size, payload }))
    }

    /// Bytes of the whole frame.
    pub(crate) const fn frame(&self) -> usize {
        self.size + self.payload
    }
}

/// Reads the first byte.
fn kind(first: u8) -> Result<(Fin, Opcode), Violation> {
    if first & 0x70 != 0 {
        return Err(Violation::ReservedBits);
    }
    let fin = if first & 0x80 != 0 { Fin::Last } else { Fin::More };
    let opcode = Opcode::of(first & 0x0f)?;
    if opcode.is_control() && fin == Fin::More { Err(Violation::FragmentedControl) } else { Ok((fin, opcode)) }
}

/// Reads the length of the payload and how many more bytes than the second it took.
fn length(short: u8, rest: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
    let (length, bytes, least, most) = match short {
        IN_TWO => (rest.first_chunk().map(|bytes| u64::from(u16::from_be_bytes(*bytes))), 2, 126, u64::MAX),
        IN_EIGHT => (rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)), 8, 1 << 16, i64::MAX.unsigned_abs()),
        short => (Some(u64::from(short)), 0, 0, u64::MAX),
    };
    match length {
        Some(length) if length < least || length > most => Err(Violation::Length(length)),
        Some(length) => Ok(Some((length, bytes))),
        None => Ok(None),
    }
}

/// Writes the header of a frame that is a whole message.
pub(crate) fn write(opcode: Opcode, payload: usize, mask: Option<Mask>, into: &mut Vec<u8>) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    into.push(0x80 | opcode.bits());
    match (u8::try_from(payload), u16::try_from(payload)) {
        (Ok(short), _) if short < IN_TWO => into.push(masked | short),
        (_, Ok(medium)) => {
            into.push(masked | IN_TWO);
            into.extend(medium.to_be_bytes());
        }
        (_, Err(_)) => {
            into.push(masked | IN_EIGHT);
            into.extend((payload as u64).to_be_bytes());
        }
    }
    into.extend(mask.iter().flat_map(|mask| mask.0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8], from: Role) -> Result<Option<Head>, Violation> {
        Head::read(bytes, from, &Limits::default())
    }

    #[test]
    fn what_is_wrong_is_said_with_the_first_byte_that_shows_it() {
        for (bytes, from, expected) in [
            (&[0xc2][..], Role::Client, Violation::ReservedBits),
            (&[0x83], Role::Client, Violation::ReservedOpcode(3)),
            (&[0x8b], Role::Client, Violation::ReservedOpcode(11)),
            (&[0x09], Role::Client, Violation::FragmentedControl),
            (&[0x82, 0x01], Role::Client, Violation::Unmasked),
            (&[0x82, 0x81], Role::Server, Violation::Masked),
            (&[0x89, 0xfe, 0x00, 0x7e], Role::Client, Violation::LongControl(126)),
            (&[0x82, 0x7e, 0x00, 0x7d], Role::Server, Violation::Length(125)),
            (&[0x82, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Role::Server, Violation::Length(65_535)),
            (&[0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0], Role::Server, Violation::Length(1 << 63)),
            (
                &[0x82, 0xff, 0, 0, 0, 0, 0x03, 0x93, 0x87, 0x00],
                Role::Client,
                Violation::TooLong { bytes: 60_000_000, limit: 1 << 20 },
            ),
        ] {
            assert_eq!(read(bytes, from), Err(expected), "{bytes:x?}");
            for short in 0..bytes.len() - 1 {
                assert_eq!(read(&bytes[..short], from), Ok(None), "{:x?} of {bytes:x?}", &bytes[..short]);
            }
        }
    }

    #[test]
    fn a_frame_of_just_the_limit_is_taken() {
        let bytes = [0x82, 0x7f, 0, 0, 0, 0, 0, 0x10, 0, 0];
        assert_eq!(read(&bytes, Role::Server).unwrap().map(|head| head.payload), Some(1 << 20));
        let bytes = [0x82, 0x7f, 0, 0, 0, 0, 0, 0x10, 0, 1];
        let expected = Violation::TooLong { bytes: (1 << 20) + 1, limit: 1 << 20 };
        assert_eq!(read(&bytes, Role::Server), Err(expected));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(payload in 0_usize..1 << 20, mask: Option<[u8; 4]>) {
            let (mask, from) = (mask.map(Mask), if mask.is_some() { Role::Client } else { Role::Server });
            let mut bytes = Vec::new();
            write(Opcode::Binary, payload, mask, &mut bytes);
            let expected = Head { fin: Fin::Last, opcode: Opcode::Binary, mask, size: bytes.len(), payload };
            prop_assert_eq!(read(&bytes, from), Ok(Some(expected)));
            prop_assert!(bytes.len() <= LONGEST);
        }
    }
}
