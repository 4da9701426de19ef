//! Bytes in, messages out. Pure: no socket. It holds no more than has come, whatever a header announces.

use bytes::Bytes;

use crate::close::Close;
use crate::fault::Violation;
use crate::frame::Frame;
use crate::head::{Fin, Head, Opcode};
use crate::limits::{Limits, Role};
use crate::mask::Mask;

/// Something a peer said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text, which is UTF-8.
    Text(Frame),
    /// Anything else.
    Binary(Frame),
    /// A question whether this side lives. A [`crate::Socket`] has answered it.
    Ping(Frame),
    /// An answer to a ping, or a sign of life.
    Pong(Frame),
    /// The end, with its reason if it has one. A [`crate::Socket`] has answered it.
    Close(Option<Close>),
}

/// Understands what a peer sends, however its bytes are cut.
#[derive(Debug)]
pub struct Reader {
    from: Role,
    limits: Limits,
    bytes: Vec<u8>,
    /// Bytes at the beginning that have been understood.
    read: usize,
    unfinished: Option<Unfinished>,
}

/// A message of which more frames will come.
#[derive(Debug)]
struct Unfinished {
    opcode: Opcode,
    payload: Vec<u8>,
    /// Bytes at the beginning that are whole letters, where it is a text.
    checked: usize,
    frames: usize,
}

impl Reader {
    /// Reads what a peer of that role sends.
    #[must_use]
    pub const fn new(from: Role, limits: Limits) -> Self {
        Self { from, limits, bytes: Vec::new(), read: 0, unfinished: None }
    }

    /// Takes bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.read);
        self.read = 0;
        if self.bytes.is_empty() {
            // Exactly as large, so that a frame that came alone becomes its own memory.
            self.bytes = bytes.to_vec();
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Returns the next message, if all of it has come.
    ///
    /// # Errors
    /// Fails when the peer breaks the rules; nothing can be read any more then.
    pub fn message(&mut self) -> Result<Option<Message>, Violation> {
        while let Some((head, wire)) = self.frame()? {
            if let Some(message) = self.take(&head, wire)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    fn frame(&mut self) -> Result<Option<(Head, Bytes)>, Violation> {
        let unread = self.bytes.get(self.read..).unwrap_or_default();
        let Some(head) = Head::read(unread, self.from, &self.limits)? else { return Ok(None) };
        self.check_order(&head)?;
        let Some(frame) = unread.get(..head.frame()) else { return Ok(None) };
        let whole = frame.len() == self.bytes.len();
        let wire = if whole { std::mem::take(&mut self.bytes).into() } else { Bytes::copy_from_slice(frame) };
        self.read = if whole { 0 } else { self.read + head.frame() };
        if self.read == self.bytes.len() {
            (self.bytes, self.read) = (Vec::new(), 0);
        }
        Ok(Some((head, wire)))
    }

    /// Judges a header by what came before it.
    fn check_order(&self, head: &Head) -> Result<(), Violation> {
        match (head.opcode, &self.unfinished) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) | (Opcode::Text | Opcode::Binary, None) => Ok(()),
            (Opcode::Text | Opcode::Binary, Some(_)) => Err(Violation::Interrupted),
            (Opcode::Continuation, None) => Err(Violation::NothingToContinue),
            (Opcode::Continuation, Some(unfinished)) => unfinished.check_room(head.payload, &self.limits),
        }
    }

    fn take(&mut self, head: &Head, wire: Bytes) -> Result<Option<Message>, Violation> {
        match (head.opcode, head.fin) {
            (Opcode::Text, Fin::Last) => {
                let frame = Frame::received(head, wire);
                std::str::from_utf8(frame.payload()).map_err(|_error| Violation::Utf8)?;
                Ok(Some(Message::Text(frame)))
            }
            (Opcode::Binary, Fin::Last) => Ok(Some(Message::Binary(Frame::received(head, wire)))),
            (Opcode::Ping, _) => Ok(Some(Message::Ping(Frame::received(head, wire)))),
            (Opcode::Pong, _) => Ok(Some(Message::Pong(Frame::received(head, wire)))),
            (Opcode::Close, _) => Close::read(Frame::received(head, wire).payload()).map(Message::Close).map(Some),
            (Opcode::Text | Opcode::Binary | Opcode::Continuation, _) => self.join(head, &wire),
        }
    }

    /// Puts a frame to the others of its message.
    fn join(&mut self, head: &Head, wire: &[u8]) -> Result<Option<Message>, Violation> {
        let mut message = self.unfinished.take().unwrap_or_else(|| Unfinished::new(head.opcode));
        message.add(&wire[head.size..], head.mask, head.fin)?;
        match head.fin {
            Fin::More => {
                self.unfinished = Some(message);
                Ok(None)
            }
            Fin::Last => Ok(Some(message.finished())),
        }
    }

    /// Returns how many bytes wait to become a message.
    #[must_use]
    pub fn held(&self) -> usize {
        self.bytes.capacity() + self.unfinished.as_ref().map_or(0, |message| message.payload.capacity())
    }
}

impl Unfinished {
    const fn new(opcode: Opcode) -> Self {
        Self { opcode, payload: Vec::new(), checked: 0, frames: 0 }
    }

    fn check_room(&self, more: usize, limits: &Limits) -> Result<(), Violation> {
        let (bytes, limit) = (self.payload.len() + more, limits.message.get());
        if bytes > limit {
            return Err(Violation::TooLong { bytes: bytes as u64, limit });
        }
        let fragments = limits.fragments.get();
        if self.frames >= fragments { Err(Violation::TooManyFragments(fragments)) } else { Ok(()) }
    }

    fn add(&mut self, payload: &[u8], mask: Option<Mask>, fin: Fin) -> Result<(), Violation> {
        let at = self.payload.len();
        self.payload.extend_from_slice(payload);
        if let Some(mask) = mask {
            mask.apply(&mut self.payload[at..]);
        }
        self.frames += 1;
        match self.opcode {
            Opcode::Text => self.check_text(fin),
            Opcode::Binary | Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => Ok(()),
        }
    }

    /// Checks what has come of a text; only its end may cut a letter, and only while more will come.
    fn check_text(&mut self, fin: Fin) -> Result<(), Violation> {
        let unchecked = self.payload.get(self.checked..).unwrap_or_default();
        match (std::str::from_utf8(unchecked), fin) {
            (Ok(_), _) => self.checked = self.payload.len(),
            (Err(error), Fin::More) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            (Err(_), _) => return Err(Violation::Utf8),
        }
        Ok(())
    }

    fn finished(self) -> Message {
        let frame = Frame::make(self.opcode, &self.payload);
        match self.opcode {
            Opcode::Text => Message::Text(frame),
            Opcode::Binary | Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => {
                Message::Binary(frame)
            }
        }
    }
}

#[cfg(test)]
mod tests;
