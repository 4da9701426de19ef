//! Engines, as far as a placement must know them: which API they speak and what that API can hear.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::request::Work;

/// Which API a node's engine speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineApi {
    /// `/v1/listen`, as our own engine and Deepgram's do: streams and files.
    #[default]
    Listen,
    /// `/v1/audio/transcriptions`, as speaches, vLLM and whisper.cpp do: files only.
    OpenAi,
}

impl EngineApi {
    /// Tells whether an engine of this API can be given such work.
    #[must_use]
    pub fn hears(self, work: Work) -> bool {
        match (self, work) {
            (Self::Listen, Work::Stream | Work::File) | (Self::OpenAi, Work::File) => true,
            (Self::OpenAi, Work::Stream) => false,
        }
    }
}
