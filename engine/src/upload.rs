//! The body of an upload as it comes in: what it is, what it was, and how long the next piece may take.

use std::time::Duration;

use audio::Container;
use axum::body::BodyDataStream;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::answer::Received;
use crate::refusal::Refusal;

/// A body that is read piece by piece.
pub(crate) struct Upload<'a> {
    body: &'a mut BodyDataStream,
    idle: Duration,
    digest: Sha256,
    /// What was read to know the container, and still has to come out.
    start: BytesMut,
}

impl<'a> Upload<'a> {
    /// Starts at the first byte; a piece may take as long as `idle`.
    pub(crate) fn new(body: &'a mut BodyDataStream, idle: Duration) -> Self {
        Self { body, idle, digest: Sha256::new(), start: BytesMut::new() }
    }

    /// Tells what the file looks like; nothing may have been taken yet.
    pub(crate) async fn container(&mut self) -> Result<Container, Refusal> {
        while self.start.len() < Container::PREFIX {
            let Some(bytes) = self.read().await? else { break };
            self.start.extend_from_slice(&bytes);
        }
        Ok(Container::of(&self.start))
    }

    /// Returns the next piece, until there is none.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        let bytes = if self.start.is_empty() { self.read().await? } else { Some(self.start.split().freeze()) };
        if let Some(bytes) = &bytes {
            self.digest.update(bytes);
        }
        Ok(bytes)
    }

    /// Describes what came.
    pub(crate) fn received(self, duration: Duration, channels: usize) -> Received {
        let sha256 = format!("{:x}", self.digest.finalize());
        Received { sha256, duration: duration.as_secs_f64(), channels }
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Refusal> {
        let next = timeout(self.idle, self.body.next()).await.map_err(|_| Refusal::Slow)?;
        next.transpose().map_err(|_| Refusal::Cut)
    }
}
