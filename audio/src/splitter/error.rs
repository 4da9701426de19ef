//! Why a stream cannot be cut: apart from [`crate::AudioError`], since such a stream can still be heard.

use thiserror::Error;

use super::{MAX_HEADERS, MAX_STREAM_HEADER};
use crate::sniff::Container;
use crate::wav::WavError;

/// Why a stream cannot be cut into units. It may be sent on as it is, but not begun in the middle.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SplitError {
    /// The container is none of those that are known here.
    #[error("{container} cannot be begun in the middle; send raw audio, WAV, or Opus in Ogg or WebM")]
    Container {
        /// What the first bytes look like.
        container: Container,
    },
    /// The WAV header cannot be used.
    #[error(transparent)]
    Wav(#[from] WavError),
    /// The container holds another codec.
    #[error("the {container} holds no Opus, and only Opus can be begun in the middle; send Opus or raw audio")]
    Codec {
        /// What the first bytes look like.
        container: Container,
    },
    /// The container is used in a way that is not taken apart here.
    #[error("the {container} has {what}, and cannot be begun in the middle; send it without")]
    Layout {
        /// What the first bytes look like.
        container: Container,
        /// What it has.
        what: &'static str,
    },
    /// The framing is broken.
    #[error("the {container} is damaged: {problem}")]
    Damaged {
        /// What the first bytes look like.
        container: Container,
        /// What is wrong.
        problem: &'static str,
    },
    /// The header goes on and on.
    #[error("the header of the {container} is longer than {MAX_STREAM_HEADER} bytes")]
    LongHeader {
        /// What the first bytes look like.
        container: Container,
    },
    /// The stream begins again and again.
    #[error("the {container} began anew more than {MAX_HEADERS} times within a few seconds")]
    ManyHeaders {
        /// What the first bytes look like.
        container: Container,
    },
}
