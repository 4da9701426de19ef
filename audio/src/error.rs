//! Why sound cannot be heard: one error for streams and files, so that whoever answers a caller matches in one place.

use std::time::Duration;

use thiserror::Error;

use crate::sniff::Container;
use crate::wav::WavError;

/// Why a stream or a file cannot be heard, or not any further.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AudioError {
    /// The file is of a kind that is not decoded.
    #[error(
        "unsupported audio: it looks like {container}; send WAV, FLAC, MP3, Ogg (Opus or Vorbis), WebM, M4A, AAC or \
         AIFF, or raw audio with its encoding and sample rate"
    )]
    Unsupported {
        /// What its first bytes look like.
        container: Container,
    },
    /// The file is of a kind that is decoded, but only as a whole.
    #[error(
        "{container} cannot be heard as a stream, send it as a file; a stream takes WAV, Opus in Ogg or WebM, or raw \
         audio with its encoding and sample rate"
    )]
    NotStreamed {
        /// What its first bytes look like.
        container: Container,
    },
    /// The file's container is known, but what is inside cannot be decoded.
    #[error("the {container} holds no sound that can be decoded ({problem}); send Opus, Vorbis, AAC, MP3, FLAC or WAV")]
    Codec {
        /// What its first bytes look like.
        container: Container,
        /// What the parser says.
        problem: String,
    },
    /// The file is damaged.
    #[error("the {container} is damaged: {problem}")]
    Corrupt {
        /// What its first bytes look like.
        container: Container,
        /// What the decoder says.
        problem: String,
    },
    /// The file itself cannot be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(std::io::ErrorKind),
    /// There was no sound in the whole file.
    #[error("the audio is empty")]
    Empty,
    /// The WAV header cannot be used.
    #[error(transparent)]
    Wav(#[from] WavError),
    /// The sound is longer than the stream may be.
    #[error("the audio is longer than {} s, send it in parts", .limit.as_secs())]
    TooLong {
        /// The longest that was allowed.
        limit: Duration,
    },
    /// The file is a bomb, or hours of digital silence.
    #[error("the {container} unpacks to more than {times} times its size, send it as WAV or in parts")]
    Inflated {
        /// What its first bytes look like.
        container: Container,
        /// The most that was allowed.
        times: u64,
    },
}

impl AudioError {
    /// Says why a file is refused where only streams are heard.
    pub(crate) const fn not_streamed(container: Container) -> Self {
        if container.is_packed() { Self::NotStreamed { container } } else { Self::Unsupported { container } }
    }
}
