//! The gate between a socket and hyper: only bytes that the [`Follower`] has passed go through, and heads go through
//! whole. It is apart from hyper because hyper forgives what must be refused, and merges before anybody can look.
//!
//! A bad head is replaced by one that no caller can send: its header `_`, whose name the follower refuses, names the
//! rule that was broken. So the answer is written by hyper, after the answers of the requests before it, and the two
//! sides of hyper share no state. A bad body is an input error with the [`Violation`] inside.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::Limits;
use super::follower::Follower;
use super::lanes::Berth;
use super::seats::Seat;
use super::violation::Violation;

/// Name of the header that carries a refusal past hyper.
pub(super) const REFUSAL: &str = "_";
/// Time in which a caller may still send what nobody will read, so that closing does not destroy the answer on its way.
const FAREWELL: Duration = Duration::from_secs(2);

/// What becomes of the caller's next bytes.
#[derive(Debug)]
enum Passage {
    /// They are judged.
    Open,
    /// A body broke a rule: hyper is told, then nothing more is read.
    Broken(Violation),
    /// A head broke a rule and was replaced: nothing more is read.
    Shut,
    /// The caller never began: hyper sees the end of the stream.
    Ended,
}

/// A socket that lets only well-formed requests in.
#[derive(Debug)]
pub(super) struct Gate<I> {
    io: I,
    follower: Follower,
    header_read: Duration,
    passage: Passage,
    /// Passed, and on its way to hyper.
    passed: BytesMut,
    /// The beginning of a head: less than the header limit.
    held: BytesMut,
    /// Runs while a head is awaited that must end in time.
    patience: Option<Pin<Box<Sleep>>>,
    /// Runs once the writing side is shut and the caller may not have noticed.
    farewell: Option<Pin<Box<Sleep>>>,
    place: (Seat, Berth),
}

impl<I> Gate<I> {
    /// Puts a gate before a socket that has just been accepted. Its place is given back when the socket is closed, be
    /// it by hyper or by whoever was handed the connection as a WebSocket.
    pub(super) fn new(io: I, limits: Arc<Limits>, place: (Seat, Berth)) -> Self {
        let header_read = limits.header_read;
        Self {
            io,
            follower: Follower::new(limits),
            header_read,
            passage: Passage::Open,
            passed: BytesMut::new(),
            held: BytesMut::new(),
            patience: Some(Box::pin(sleep(header_read))),
            farewell: None,
            place,
        }
    }

    /// Judges what was read into `buf` after its first `before` bytes, and leaves there only what may go on at once.
    fn inspect(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let fresh = &buf.filled()[before..];
        let violation = if self.held.is_empty() {
            let followed = self.follower.follow(fresh);
            self.held.extend_from_slice(&fresh[followed.passed..]);
            buf.set_filled(before + followed.passed);
            self.await_head(followed.passed);
            followed.violation
        } else {
            self.held.extend_from_slice(fresh);
            buf.set_filled(before);
            let followed = self.follower.follow(&self.held);
            self.passed = self.held.split_to(followed.passed);
            self.await_head(followed.passed);
            followed.violation
        };
        if self.follower.is_beyond() {
            self.place.1.streams();
        }
        if let Some(violation) = violation {
            self.refuse(violation);
        }
    }

    /// Lets the time of a head run from its first byte, and of the first head from the accept.
    fn await_head(&mut self, passed: usize) {
        if passed > 0 || self.held.is_empty() {
            self.patience = None;
        }
        if self.held.is_empty() {
            self.held = BytesMut::new();
        } else if self.patience.is_none() {
            self.patience = Some(Box::pin(sleep(self.header_read)));
        }
    }

    fn refuse(&mut self, violation: Violation) {
        self.held = BytesMut::new();
        self.patience = None;
        if self.follower.is_at_head() {
            let label = violation.label();
            let stand_in = format!("GET / HTTP/1.1\r\nhost: _\r\nconnection: close\r\n{REFUSAL}: {label}\r\n\r\n");
            self.passed.extend_from_slice(stand_in.as_bytes());
            self.passage = Passage::Shut;
        } else {
            self.passage = Passage::Broken(violation);
        }
    }

    /// Gives hyper what has passed, or the end of it.
    fn hand_over(&mut self, buf: &mut ReadBuf<'_>) -> Option<Poll<io::Result<()>>> {
        if !self.passed.is_empty() {
            let length = self.passed.len().min(buf.remaining());
            buf.put_slice(&self.passed[..length]);
            self.passed.advance(length);
            return Some(Poll::Ready(Ok(())));
        }
        match self.passage {
            Passage::Open => None,
            Passage::Broken(violation) => {
                self.passage = Passage::Shut;
                Some(Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation))))
            }
            Passage::Shut => Some(Poll::Pending),
            Passage::Ended => Some(Poll::Ready(Ok(()))),
        }
    }

    /// Ends the wait for a head whose time is over.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(patience) = &mut self.patience else { return Poll::Pending };
        ready!(patience.as_mut().poll(cx));
        if self.held.is_empty() {
            self.patience = None;
            self.passage = Passage::Ended;
        } else {
            self.refuse(Violation::SlowHead);
        }
        Poll::Ready(())
    }

    /// Tells whether the caller may still be sending when the connection closes.
    fn is_cut_short(&self) -> bool {
        matches!(self.passage, Passage::Broken(_) | Passage::Shut)
            || self.follower.is_in_body()
            || !self.held.is_empty()
    }
}

impl<I: AsyncRead + Unpin> Gate<I> {
    /// Reads and forgets until the caller has hung up or the time for that is over.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 4096];
        loop {
            if self.farewell.as_mut().is_none_or(|farewell| farewell.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(());
            }
            let mut buf = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Gate<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        let before = buf.filled().len();
        loop {
            if let Some(handed_over) = gate.hand_over(buf) {
                return handed_over;
            }
            match Pin::new(&mut gate.io).poll_read(cx, buf)? {
                Poll::Pending => ready!(gate.poll_patience(cx)),
                Poll::Ready(()) if buf.filled().len() == before => return Poll::Ready(Ok(())),
                Poll::Ready(()) => gate.inspect(buf, before),
            }
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        if gate.farewell.is_none() {
            ready!(Pin::new(&mut gate.io).poll_shutdown(cx))?;
            if !gate.is_cut_short() {
                return Poll::Ready(Ok(()));
            }
            gate.farewell = Some(Box::pin(sleep(FAREWELL)));
        }
        gate.poll_farewell(cx).map(Ok)
    }
}
