//! What a node is sent, whichever API its engine speaks: a file as it is, or the samples of a chunk.

use std::io;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};

use super::spool::{Growth, Spool, Stage, broken_off};

/// The type of raw samples.
const RAW: &str = "application/octet-stream";

/// A file, or a chunk of one. Any number of nodes can have it, one after the other.
#[derive(Clone, Debug)]
pub(crate) enum Freight {
    /// A file, which may still come in.
    File {
        /// The type that it is said to have.
        content_type: String,
        /// Its bytes.
        spool: Spool,
    },
    /// The samples of a chunk; their layout is in the query.
    Chunk(Bytes),
}

impl Freight {
    /// Waits until all of it is here, and counts its bytes.
    ///
    /// # Errors
    /// Fails when it broke off.
    pub(crate) async fn length(&self) -> io::Result<u64> {
        match self {
            Self::File { spool, .. } => match spool.settled().await {
                Growth { length, stage: Stage::Whole } => Ok(length),
                Growth { stage: Stage::Coming | Stage::Broken, .. } => Err(broken_off()),
            },
            Self::Chunk(samples) => Ok(samples.len() as u64),
        }
    }

    /// Reads its first bytes, as many as are read at once.
    pub(crate) async fn beginning(&self) -> io::Result<Bytes> {
        match self {
            Self::File { spool, .. } => spool.beginning().await,
            Self::Chunk(samples) => Ok(samples.clone()),
        }
    }

    /// Reads it from the start.
    pub(crate) fn pieces(&self) -> BoxStream<'static, io::Result<Bytes>> {
        match self {
            Self::File { spool, .. } => spool.pieces().boxed(),
            Self::Chunk(samples) => stream::iter([Ok(samples.clone())]).boxed(),
        }
    }

    /// Names its type.
    pub(super) fn content_type(&self) -> &str {
        match self {
            Self::File { content_type, .. } => content_type,
            Self::Chunk(_) => RAW,
        }
    }

    /// Reads it from the start as a request's body: a file is followed to its end.
    pub(super) fn body(&self) -> reqwest::Body {
        match self {
            Self::File { spool, .. } => spool.body(),
            Self::Chunk(samples) => samples.clone().into(),
        }
    }
}
