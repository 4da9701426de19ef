//! A multipart body on its way to its reader, which keeps whatever it is given: it is given no more than it hands on.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;

/// Bytes that the reader may hold: a part's headers must fit.
const WINDOW: u64 = 256 << 10;
/// How often the reader may ask for more in vain before it is clear that it cannot go on with what it has.
const ASKS: u32 = 4;

/// What a reader has handed on, told by whoever took it.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken(Arc<AtomicU64>);

impl Taken {
    /// Notes that `bytes` were taken out of the reader.
    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The reader holds a window full of bytes, and none of them are a field's.
#[derive(Debug, thiserror::Error)]
#[error("the headers of a part are over {WINDOW} bytes")]
struct HeadersTooLong;

/// A body that waits for its reader.
#[derive(Debug)]
pub(super) struct Window<S> {
    body: S,
    given: u64,
    taken: Taken,
    /// What had been taken when the reader last asked in vain, and how often it has since.
    stuck: (u64, u32),
}

impl<S> Window<S> {
    /// Bounds what the reader of `body` holds.
    pub(super) fn new(body: S, taken: Taken) -> Self {
        Self { body, given: 0, taken, stuck: (0, 0) }
    }

    fn is_stuck(&mut self) -> bool {
        let taken = self.taken.total();
        let (before, asks) = self.stuck;
        let asks = if taken == before { asks + 1 } else { 1 };
        self.stuck = (taken, asks);
        asks > ASKS
    }
}

impl<S: Stream<Item = Result<Bytes, axum::Error>> + Unpin> Stream for Window<S> {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let window = self.get_mut();
        if window.given.saturating_sub(window.taken.total()) > WINDOW {
            if window.is_stuck() {
                return Poll::Ready(Some(Err(axum::Error::new(HeadersTooLong))));
            }
            // The reader must use what it has, and be asked again.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = Pin::new(&mut window.body).poll_next(cx);
        if let Poll::Ready(Some(Ok(data))) = &next {
            window.given += data.len() as u64;
        }
        next
    }
}
