//! One side of a connection, after the upgrade: messages in, frames out. Pings and closes are answered here.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::close::Close;
use crate::fault::{Broken, Violation};
use crate::frame::Frame;
use crate::head::Opcode;
use crate::limits::{Limits, Role};
use crate::mask::Masks;
use crate::outbox::Outbox;
use crate::reader::{Message, Reader};

/// Bytes read with one call, on the stack: an idle connection has no buffer.
const AT_ONCE: usize = 16 << 10;

/// One side of a connection.
#[derive(Debug)]
pub struct Socket<P> {
    pipe: P,
    role: Role,
    reader: Reader,
    outbox: Outbox,
    masks: Masks,
    mouth: Mouth,
    ear: Ear,
}

/// Whether this side may still speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mouth {
    Open,
    /// A close was said, or is about to be.
    Closed,
}

/// Whether the other side may still speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ear {
    Open,
    /// It has said its close: what comes after is nothing.
    Closed,
    /// Nothing will come.
    Deaf,
}

impl<P: AsyncRead + AsyncWrite + Unpin> Socket<P> {
    /// Begins after the upgrade. `already_read` came behind it, in the same read.
    #[must_use]
    pub fn new(pipe: P, role: Role, limits: Limits, already_read: &[u8]) -> Self {
        let from = match role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        let mut reader = Reader::new(from, limits);
        reader.push(already_read);
        let (outbox, masks) = (Outbox::default(), Masks::default());
        Self { pipe, role, reader, outbox, masks, mouth: Mouth::Open, ear: Ear::Open }
    }

    /// Returns what lies below.
    pub const fn get_mut(&mut self) -> &mut P {
        &mut self.pipe
    }

    /// Tells whether less waits to be written than the bound of 256 KiB, so that more may be sent.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.outbox.has_room()
    }

    /// Puts a frame behind those that wait; [`Self::poll_flush`] writes it. After a close it goes nowhere.
    pub fn push(&mut self, frame: &Frame) {
        if self.mouth == Mouth::Open {
            let wire = frame.for_sending(self.role, || self.masks.draw());
            self.outbox.add(wire);
        }
    }

    /// Says why this side ends the connection, once; nothing can be sent after it.
    pub fn push_close(&mut self, close: Option<&Close>) {
        let payload = close.map(Close::payload).unwrap_or_default();
        self.push(&Frame::make(Opcode::Close, &payload));
        self.mouth = Mouth::Closed;
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// Fails when the connection does.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_flush(&mut self.pipe, cx)
    }

    /// Returns the next message; none after the close of the other side, once it is answered.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Broken>>> {
        loop {
            match self.ear {
                Ear::Open => match self.reader.message() {
                    Ok(Some(message)) => return Poll::Ready(Some(Ok(self.heard(message, cx)))),
                    Ok(None) => {}
                    Err(violation) => return Poll::Ready(Some(Err(self.refuse(violation)))),
                },
                Ear::Closed => {
                    ready!(self.poll_last_words(cx));
                    return Poll::Ready(None);
                }
                Ear::Deaf => return Poll::Ready(None),
            }
            if let Err(broken) = ready!(self.poll_read(cx)) {
                self.ear = Ear::Deaf;
                return Poll::Ready(Some(Err(broken)));
            }
        }
    }

    /// Sends a frame and waits until it is written.
    ///
    /// # Errors
    /// Fails when the connection does.
    pub async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.push(frame);
        self.flush().await
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// Fails when the connection does.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Waits for the next message; none after the close of the other side.
    pub async fn next(&mut self) -> Option<Result<Message, Broken>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Takes leave: writes what waits and the close, then reads until the other side has taken its own, or has gone. A
    /// connection that is closed with unread bytes resets, and the other side would lose the close. Where the other side
    /// broke the rules its answer is not understood, so it is shown the end of the connection. It has no deadline.
    pub async fn leave(&mut self, close: &Close) {
        self.push_close(Some(close));
        if self.flush().await.is_err() {
            return;
        }
        while let Some(late) = self.next().await {
            if late.is_err() {
                break;
            }
        }
        if self.ear == Ear::Deaf && self.pipe.shutdown().await.is_ok() {
            let mut rest = [0; 4 << 10];
            while self.pipe.read(&mut rest).await.is_ok_and(|read| read > 0) {}
        }
    }

    /// Notes what concerns the connection itself.
    fn heard(&mut self, message: Message, cx: &mut Context<'_>) -> Message {
        match &message {
            Message::Ping(ping) => self.answer(ping, cx),
            Message::Close(close) => {
                self.push_close(close.as_ref().map(|close| Close::new(close.code, "")).as_ref());
                self.ear = Ear::Closed;
            }
            Message::Text(_) | Message::Binary(_) | Message::Pong(_) => {}
        }
        message
    }

    fn answer(&mut self, ping: &Frame, cx: &mut Context<'_>) {
        if self.mouth == Mouth::Open {
            let pong = Frame::make(Opcode::Pong, ping.payload());
            self.outbox.answer_ping(pong.for_sending(self.role, || self.masks.draw()));
            // What goes wrong is seen by whoever reads or writes next.
            let _ = self.poll_flush(cx);
        }
    }

    fn refuse(&mut self, violation: Violation) -> Broken {
        self.ear = Ear::Deaf;
        violation.into()
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let mut space = [std::mem::MaybeUninit::uninit(); AT_ONCE];
        let mut space = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.pipe).poll_read(cx, &mut space))?;
        if space.filled().is_empty() {
            return Poll::Ready(Err(Broken::Ended));
        }
        self.reader.push(space.filled());
        Poll::Ready(Ok(()))
    }

    /// Answers the close; a server hangs up then, a client waits for it to.
    fn poll_last_words(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if ready!(self.poll_flush(cx)).is_ok() && self.role == Role::Client {
            while ready!(self.poll_read(cx)).is_ok() {
                self.reader = Reader::new(Role::Server, Limits::default());
            }
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests;
