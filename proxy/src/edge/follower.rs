//! Follows the requests of one connection, head, body, head, so that every head is checked on its raw bytes however the
//! bytes were cut into reads. Pure: no socket, no clock, no memory but its place.

use std::sync::Arc;

use super::Limits;
use super::chunk::Chunk;
use super::head::{self, Sequel};
use super::violation::Violation;

/// A place in the stream of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the start of a head whose first `searched` bytes hold no empty line.
    Head { searched: usize },
    /// Within a body that has this many bytes to come, at least one.
    Body(u64),
    /// Within a body in chunks.
    Chunks(Chunk),
    /// After a request for a WebSocket: nothing is judged any more.
    Beyond,
}

const NEXT_HEAD: Place = Place::Head { searched: 0 };

/// How far the bytes that were shown may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Followed {
    /// Bytes that may go on. Where there is no violation, the rest is the beginning of a head and must be shown again,
    /// with what comes after it.
    pub(super) passed: usize,
    /// The rule that the bytes after those break.
    pub(super) violation: Option<Violation>,
}

/// The follower of one connection.
#[derive(Debug)]
pub(super) struct Follower {
    place: Place,
    limits: Arc<Limits>,
}

impl Follower {
    /// Starts before the first head of a connection.
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        Self { place: NEXT_HEAD, limits }
    }

    /// Tells whether the next byte belongs to a head.
    pub(super) fn is_at_head(&self) -> bool {
        matches!(self.place, Place::Head { .. })
    }

    /// Tells whether a WebSocket was asked for.
    pub(super) fn is_beyond(&self) -> bool {
        matches!(self.place, Place::Beyond)
    }

    /// Tells whether the next byte belongs to a body.
    pub(super) fn is_in_body(&self) -> bool {
        matches!(self.place, Place::Body(_) | Place::Chunks(_))
    }

    /// Judges `bytes`, which begin where the last call stopped passing them.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Followed {
        let mut passed = 0;
        while passed < bytes.len() {
            match self.step(&bytes[passed..]) {
                Ok(0) => break,
                Ok(more) => passed += more,
                Err(violation) => return Followed { passed, violation: Some(violation) },
            }
        }
        Followed { passed, violation: None }
    }

    /// Moves past one head or one piece of a body; zero bytes mean that a head is not complete.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        match self.place {
            Place::Head { searched } => self.head(bytes, searched),
            Place::Body(left) => {
                let (passed, left) = consume(bytes, left);
                self.place = if left == 0 { NEXT_HEAD } else { Place::Body(left) };
                Ok(passed)
            }
            Place::Chunks(Chunk::Content(left)) => {
                let (passed, left) = consume(bytes, left);
                self.place = Place::Chunks(if left == 0 { Chunk::ContentCr } else { Chunk::Content(left) });
                Ok(passed)
            }
            Place::Chunks(chunk) => {
                self.place = chunk.after(bytes[0])?.map_or(NEXT_HEAD, Place::Chunks);
                Ok(1)
            }
            Place::Beyond => Ok(bytes.len()),
        }
    }

    fn head(&mut self, bytes: &[u8], searched: usize) -> Result<usize, Violation> {
        let limit = self.limits.header_bytes.get();
        let bytes = &bytes[..bytes.len().min(limit)];
        let Some(end) = head::end(bytes, searched) else {
            self.place = Place::Head { searched: bytes.len() };
            return if bytes.len() < limit { Ok(0) } else { Err(head::excess(bytes, &self.limits)) };
        };
        self.place = match head::check(&bytes[..end], &self.limits)? {
            Sequel::Length(0) => NEXT_HEAD,
            Sequel::Length(length) => Place::Body(length),
            Sequel::Chunks => Place::Chunks(Chunk::START),
            Sequel::WebSocket => Place::Beyond,
        };
        Ok(end)
    }
}

/// Takes up to `left` bytes: returns how many, and how many are left then.
fn consume(bytes: &[u8], left: u64) -> (usize, u64) {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (taken, left - taken as u64)
}
