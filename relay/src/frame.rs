//! A whole message in one frame: its bytes on the wire, and its payload.

use bytes::Bytes;

use crate::head::{self, Head, LONGEST, Opcode};
use crate::limits::Role;
use crate::mask::Mask;

/// A message in one frame. Cloning it copies nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    wire: Bytes,
    payload: Bytes,
    opcode: Opcode,
    from: Role,
}

impl Frame {
    /// Makes a frame of sound, or of anything that is no text.
    #[must_use]
    pub fn binary(payload: &[u8]) -> Self {
        Self::make(Opcode::Binary, payload)
    }

    /// Makes a frame of text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::make(Opcode::Text, text.as_bytes())
    }

    /// Makes a ping; what is over 125 bytes is left out.
    #[must_use]
    pub fn ping(payload: &[u8]) -> Self {
        Self::make(Opcode::Ping, &payload[..payload.len().min(125)])
    }

    /// Makes a frame as a server sends it; a client's is masked when it is sent.
    pub(crate) fn make(opcode: Opcode, payload: &[u8]) -> Self {
        let wire = Bytes::from(written(opcode, payload, None));
        let payload = wire.slice(wire.len() - payload.len()..);
        Self { wire, payload, opcode, from: Role::Server }
    }

    /// Takes a frame as it came, all of it.
    pub(crate) fn received(head: &Head, wire: Bytes) -> Self {
        let masked = wire.slice(head.size..);
        let Some(mask) = head.mask else {
            return Self { wire, payload: masked, opcode: head.opcode, from: Role::Server };
        };
        let mut payload = masked.to_vec();
        mask.apply(&mut payload);
        Self { wire, payload: payload.into(), opcode: head.opcode, from: Role::Client }
    }

    /// Returns the payload, without a mask.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Returns the frame as it is on the wire, header and mask included.
    #[must_use]
    pub const fn wire(&self) -> &Bytes {
        &self.wire
    }

    /// Returns the payload of a text; empty for anything that is none.
    #[must_use]
    pub fn as_text(&self) -> &str {
        match self.opcode {
            Opcode::Text => std::str::from_utf8(&self.payload).unwrap_or_default(),
            Opcode::Continuation | Opcode::Binary | Opcode::Close | Opcode::Ping | Opcode::Pong => "",
        }
    }

    /// Returns the bytes that a side writes: as they came where that side may send them so. `mask` is for a client whose
    /// frame has none.
    pub(crate) fn for_sending(&self, role: Role, mask: impl FnOnce() -> Mask) -> Bytes {
        match (role, self.from) {
            (Role::Client, Role::Client) | (Role::Server, Role::Server) => self.wire.clone(),
            (Role::Client, Role::Server) => written(self.opcode, &self.payload, Some(mask())).into(),
            (Role::Server, Role::Client) => written(self.opcode, &self.payload, None).into(),
        }
    }
}

fn written(opcode: Opcode, payload: &[u8], mask: Option<Mask>) -> Vec<u8> {
    let mut wire = Vec::with_capacity(LONGEST + payload.len());
    head::write(opcode, payload.len(), mask, &mut wire);
    let at = wire.len();
    wire.extend_from_slice(payload);
    if let Some(mask) = mask {
        mask.apply(&mut wire[at..]);
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: Mask = Mask([1, 2, 3, 4]);

    #[test]
    fn a_server_sends_its_own_frames_bare_and_a_client_masks_them() {
        let frame = Frame::text("abcd");
        assert_eq!(&frame.for_sending(Role::Server, || MASK)[..], [0x81, 4, b'a', b'b', b'c', b'd']);
        let masked = [0x81, 0x84, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2, b'c' ^ 3, b'd' ^ 4];
        assert_eq!(&frame.for_sending(Role::Client, || MASK)[..], masked);
        assert_eq!(frame.as_text(), "abcd");
        assert_eq!(Frame::binary(b"abcd").as_text(), "");
    }
}
