//! A request's body on its way to a handler: its size and its speed are watched while it is read, never stored.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Limits;
use super::violation::Violation;

/// The rule that a request's body broke, once it has.
pub(super) type Verdict = Arc<OnceLock<Violation>>;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The edge refused it, and will say so to the caller whatever the handler answers.
    #[error("refused: {0}")]
    Refused(Violation),
    /// The connection broke.
    #[error("the upload broke off: {0}")]
    Broken(#[source] hyper::Error),
}

/// A body under watch.
#[derive(Debug)]
pub(super) struct Upload {
    body: Incoming,
    room: u64,
    pace: Pace,
    verdict: Verdict,
}

impl Upload {
    /// Watches `body` and writes the rule that it breaks into `verdict`.
    pub(super) fn new(body: Incoming, limits: &Limits, verdict: Verdict) -> Self {
        let pace = Pace::new(limits.body_bytes_per_window(), limits.body_window);
        Self { body, room: limits.upload_bytes.get(), pace, verdict }
    }

    fn refused(&self, violation: Violation) -> UploadError {
        UploadError::Refused(*self.verdict.get_or_init(|| violation))
    }

    fn received(&mut self, frame: &Frame<Bytes>) -> Result<(), UploadError> {
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        self.pace.received(length);
        self.room = self.room.checked_sub(length).ok_or_else(|| self.refused(Violation::UploadTooLarge))?;
        Ok(())
    }

    fn failed(&self, error: hyper::Error) -> UploadError {
        match Violation::behind(&error) {
            Some(violation) => self.refused(violation),
            None => UploadError::Broken(error),
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let upload = self.get_mut();
        upload.pace.asked();
        match Pin::new(&mut upload.body).poll_frame(cx) {
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(upload.received(&frame).map(|()| frame))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(upload.failed(error)))),
            Poll::Pending => upload.pace.poll_too_slow(cx).map(|()| Some(Err(upload.refused(Violation::SlowBody)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Asks for a quantity in every window of waiting. The time in which the handler asks for nothing does not count: a
/// slow engine must not be held against the caller.
#[derive(Debug)]
struct Pace {
    quantity: u64,
    window: Duration,
    /// What is still to come before `deadline`.
    missing: u64,
    deadline: Instant,
    /// Since when the handler has asked for nothing.
    away_since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    fn new(quantity: u64, window: Duration) -> Self {
        let now = Instant::now();
        Self { quantity, window, missing: quantity, deadline: now + window, away_since: Some(now), alarm: None }
    }

    fn asked(&mut self) {
        if let Some(away_since) = self.away_since.take() {
            self.deadline += away_since.elapsed();
        }
    }

    /// Starts a new window once enough has come. What comes after the deadline was there before anybody asked again.
    fn received(&mut self, length: u64) {
        let now = Instant::now();
        self.missing = self.missing.saturating_sub(length);
        if self.missing == 0 || now > self.deadline {
            self.missing = self.quantity;
            self.deadline = now + self.window;
        }
        self.away_since = Some(now);
    }

    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if alarm.deadline() != deadline {
            alarm.as_mut().reset(deadline);
        }
        alarm.as_mut().poll(cx)
    }
}
