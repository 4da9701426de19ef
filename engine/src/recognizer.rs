//! The seam between a voice and the session around it: sound goes in, words with times come out.

use crate::sphinx::SphinxError;

/// Samples a second inside the engine: every recogniser hears 16 kHz mono.
pub(crate) const RATE: u32 = 16_000;

/// What the pause detector says of a piece of sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sound {
    /// Somebody speaks.
    Speech,
    /// Nobody does.
    Silence,
}

/// One recognised word. Times are samples since the start of the stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Word {
    /// The word as the model spells it.
    pub(crate) text: String,
    /// First sample.
    pub(crate) start: u64,
    /// One past the last sample.
    pub(crate) end: u64,
    /// From 0 to 1. Words of an open utterance carry [`UNJUDGED`].
    pub(crate) confidence: f64,
}

/// The confidence of words that may still change: neither voice judges them before the utterance ends.
pub(crate) const UNJUDGED: f64 = 0.5;

/// A voice hearing one stream, utterance after utterance.
pub(crate) trait Recognizer: Send {
    /// Hears the next samples of the stream; the first speech after a conclusion opens an utterance.
    fn hear(&mut self, samples: &[i16], sound: Sound) -> Result<(), RecognizerError>;

    /// Says what the open utterance seems to be.
    fn guess(&mut self) -> Vec<Word>;

    /// Ends the open utterance, if any, and says what it was.
    fn conclude(&mut self) -> Result<Vec<Word>, RecognizerError>;
}

/// Says why a voice stopped hearing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecognizerError {
    /// The real voice failed.
    #[error(transparent)]
    Sphinx(#[from] SphinxError),
    /// The synthetic voice was told to die here.
    #[error("the synthetic engine was told to die after this much audio")]
    ToldToDie,
    /// The synthetic voice was told to hang here.
    #[error("the synthetic engine was told to hang after this much audio")]
    ToldToHang,
}
