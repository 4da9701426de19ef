//! Where sound is cut into results: what a voice needs, what a caller asks for, and what comes of both.

use std::time::Duration;

use audio::SampleRate;

use crate::query::{Feature, Options};
use crate::recognizer::Word;

/// How a voice cuts sound into results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segmentation {
    /// The shortest silence that may end an utterance, whatever the caller asks: words live on what surrounds them.
    pub(crate) shortest_pause: Duration,
    /// The silence that ends a result even when the caller asked for a longer one.
    pub(crate) longest_pause: Duration,
    /// From this length on, a result is cut at the next short gap.
    pub(crate) long: Duration,
    /// At this length a result is cut wherever it is.
    pub(crate) longest: Duration,
    /// Silence alone becomes an empty result at this length.
    pub(crate) longest_silence: Duration,
    /// Audio between two guesses.
    pub(crate) interim_every: Duration,
}

impl Default for Segmentation {
    fn default() -> Self {
        Self {
            shortest_pause: Duration::from_millis(300),
            longest_pause: Duration::from_secs(1),
            long: Duration::from_secs(8),
            longest: Duration::from_secs(15),
            longest_silence: Duration::from_secs(4),
            interim_every: Duration::from_millis(500),
        }
    }
}

/// A gap that is good enough to cut a long result.
const GAP: Duration = Duration::from_millis(80);

/// Why a result ends where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It does not: it is a guess.
    Interim,
    /// It became long, or the sound ended in silence.
    Length,
    /// The caller's endpointing silence passed.
    Pause,
    /// The caller asked for it.
    Finalize,
    /// The stream ended while something was being said.
    End,
}

impl Cause {
    /// Tells whether what was being said counts as complete.
    pub(crate) const fn ends_speech(self) -> bool {
        match self {
            Self::Pause | Self::Finalize | Self::End => true,
            Self::Interim | Self::Length => false,
        }
    }
}

/// What is known of one stretch of sound; positions are samples since the start of the stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piece {
    /// First sample.
    pub(crate) start: u64,
    /// One past the last sample.
    pub(crate) end: u64,
    /// What was said.
    pub(crate) words: Vec<Word>,
    /// Why it ends here.
    pub(crate) cause: Cause,
}

/// Something to tell the caller.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    /// A guess or a result.
    Piece(Piece),
    /// Somebody began to speak at this sample.
    SpeechStarted(u64),
    /// Nothing was said for long enough since the end of the last word, at this sample.
    UtteranceEnd(u64),
}

/// Spans of time, in samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spans {
    /// Silence that completes what is being said; absent when the caller does not want to know.
    pub(crate) endpoint: Option<u64>,
    /// Silence that ends a result.
    pub(crate) pause: u64,
    /// Silence after which the end of an utterance is announced.
    pub(crate) utterance_end: Option<u64>,
    /// From here on a result is cut at the next gap.
    pub(crate) long: u64,
    /// A gap that is good enough to cut a long result.
    pub(crate) gap: u64,
    /// Here a result is cut wherever it is.
    pub(crate) longest: u64,
    /// Here silence alone becomes a result.
    pub(crate) longest_silence: u64,
    /// Audio between two guesses; absent when the caller wants none.
    pub(crate) interim_every: Option<u64>,
}

impl Spans {
    /// Reconciles what the caller asks for with what the voice needs.
    pub(crate) fn new(options: &Options, segmentation: &Segmentation) -> Self {
        let samples = |span: Duration| SampleRate::HZ_16000.samples_in(span);
        let endpoint = options.endpointing.map(|asked| asked.max(segmentation.shortest_pause));
        let wants_interims = options.wants(Feature::InterimResults);
        Self {
            endpoint: endpoint.map(samples),
            pause: samples(endpoint.unwrap_or(segmentation.longest_pause).min(segmentation.longest_pause)),
            utterance_end: options.utterance_end.map(samples),
            long: samples(segmentation.long),
            gap: samples(GAP),
            longest: samples(segmentation.longest),
            longest_silence: samples(segmentation.longest_silence),
            interim_every: wants_interims.then(|| samples(segmentation.interim_every)),
        }
    }
}
