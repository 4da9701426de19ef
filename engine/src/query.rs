//! What a caller asks for in the query of `/v1/listen`. Unknown parameters are ignored, as the API's own servers do.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use audio::{Channels, Encoding, Format, FormatError, SampleRate};

/// A switch that is off unless the query turns it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Feature {
    /// Guesses are sent before a result is final.
    InterimResults,
    /// The start of speech is announced.
    VadEvents,
    /// Words carry their punctuated form (here: the word itself).
    Punctuate,
    /// As `Punctuate`, and files get paragraphs.
    SmartFormat,
    /// Files get utterances.
    Utterances,
    /// Files get paragraphs.
    Paragraphs,
}

impl Feature {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "interim_results" => Self::InterimResults,
            "vad_events" => Self::VadEvents,
            "punctuate" => Self::Punctuate,
            "smart_format" => Self::SmartFormat,
            "utterances" => Self::Utterances,
            "paragraphs" => Self::Paragraphs,
            _ => return None,
        })
    }
}

/// Everything the engine understands of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The layout of raw audio; absent for files that say it themselves.
    pub(crate) format: Option<Format>,
    /// Silence that ends an utterance; absent when the caller turned this off.
    pub(crate) endpointing: Option<Duration>,
    /// Silence after which the end of an utterance is announced.
    pub(crate) utterance_end: Option<Duration>,
    /// Silence between two utterances of a file.
    pub(crate) utterance_split: Duration,
    features: BTreeSet<Feature>,
}

/// Says which parameter cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    /// A number or a switch does not parse.
    #[error("expected {expected} for {name}, got \"{got}\"")]
    Value {
        /// The parameter.
        name: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What was sent.
        got: String,
    },
    /// Raw audio cannot be read without its rate.
    #[error("raw audio needs sample_rate beside encoding={0}, or send a container such as WAV without encoding")]
    NoSampleRate(Encoding),
    /// The format is not one that is decoded.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Channels are mixed, never heard one by one.
    #[error("multichannel is not supported by this engine, send each channel as a request of its own")]
    Multichannel,
}

/// What raw audio needs, as far as the query has told it.
#[derive(Default)]
struct Layout {
    encoding: Option<Encoding>,
    rate: Option<SampleRate>,
    channels: Option<Channels>,
}

impl Layout {
    fn format(self) -> Result<Option<Format>, QueryError> {
        let Some(encoding) = self.encoding else { return Ok(None) };
        let rate = self.rate.ok_or(QueryError::NoSampleRate(encoding))?;
        Ok(Some(Format { encoding, rate, channels: self.channels.unwrap_or(Channels::MONO) }))
    }
}

impl Options {
    /// Reads the decoded pairs of a query; a repeated parameter counts the last time.
    ///
    /// # Errors
    /// Fails when a known parameter has a value it cannot have.
    pub(crate) fn read(pairs: &[(String, String)]) -> Result<Self, QueryError> {
        let mut options = Self {
            format: None,
            endpointing: Some(Duration::from_millis(10)),
            utterance_end: None,
            utterance_split: Duration::from_millis(800),
            features: BTreeSet::new(),
        };
        let mut layout = Layout::default();
        for (name, value) in pairs {
            options.set(&mut layout, name, value)?;
        }
        options.format = layout.format()?;
        Ok(options)
    }

    /// Tells whether a feature is on.
    pub(crate) fn wants(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// Tells whether words carry their punctuated form.
    pub(crate) fn punctuated(&self) -> bool {
        self.wants(Feature::Punctuate) || self.wants(Feature::SmartFormat)
    }

    fn set(&mut self, layout: &mut Layout, name: &str, value: &str) -> Result<(), QueryError> {
        match name {
            "encoding" => layout.encoding = Some(value.parse()?),
            "sample_rate" => layout.rate = Some(number::<u32>("sample_rate", value)?.try_into()?),
            "channels" => layout.channels = Some(number::<u32>("channels", value)?.try_into()?),
            "multichannel" if switch("multichannel", value)? == Switch::On => return Err(QueryError::Multichannel),
            "endpointing" => self.endpointing = endpointing(value)?,
            "utterance_end_ms" => self.utterance_end = Some(milliseconds("utterance_end_ms", value)?),
            "utt_split" => self.utterance_split = seconds("utt_split", value)?,
            _ => self.set_feature(name, value)?,
        }
        Ok(())
    }

    fn set_feature(&mut self, name: &str, value: &str) -> Result<(), QueryError> {
        let Some(feature) = Feature::named(name) else { return Ok(()) };
        match switch("a switch", value)? {
            Switch::On => self.features.insert(feature),
            Switch::Off => self.features.remove(&feature),
        };
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Switch {
    On,
    Off,
}

fn switch(name: &'static str, value: &str) -> Result<Switch, QueryError> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(Switch::On),
        "false" | "0" | "" => Ok(Switch::Off),
        _ => Err(QueryError::Value { name, expected: "true or false", got: value.to_owned() }),
    }
}

fn endpointing(value: &str) -> Result<Option<Duration>, QueryError> {
    match value.to_ascii_lowercase().as_str() {
        "false" => Ok(None),
        "true" => Ok(Some(Duration::from_millis(10))),
        _ => milliseconds("endpointing", value).map(Some),
    }
}

fn milliseconds(name: &'static str, value: &str) -> Result<Duration, QueryError> {
    Ok(Duration::from_millis(number::<u32>(name, value)?.into()))
}

fn seconds(name: &'static str, value: &str) -> Result<Duration, QueryError> {
    let wrong = || QueryError::Value { name, expected: "seconds", got: value.to_owned() };
    let seconds: f64 = value.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

fn number<T: FromStr>(name: &'static str, value: &str) -> Result<T, QueryError> {
    value.parse().map_err(|_| QueryError::Value { name, expected: "a whole number", got: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &[(&str, &str)]) -> Result<Options, QueryError> {
        let pairs: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Options::read(&pairs)
    }

    #[test]
    fn switches_are_read_as_every_client_writes_them() {
        for on in ["true", "True", "TRUE", "1"] {
            assert!(read(&[("interim_results", on)]).unwrap().wants(Feature::InterimResults), "{on}");
        }
        assert!(!read(&[("interim_results", "false")]).unwrap().wants(Feature::InterimResults));
        assert!(read(&[("vad_events", "maybe")]).is_err());
    }

    #[test]
    fn raw_audio_needs_its_sample_rate() {
        let error = read(&[("encoding", "linear16")]).unwrap_err().to_string();
        assert!(error.contains("needs sample_rate"), "{error}");
        let format = read(&[("encoding", "linear16"), ("sample_rate", "16000")]).unwrap().format;
        assert_eq!(format, Some(Format::SPEECH));
        assert_eq!(read(&[("sample_rate", "16000")]).unwrap().format, None);
    }

    #[test]
    fn endpointing_is_a_time_or_off() {
        assert_eq!(read(&[]).unwrap().endpointing, Some(Duration::from_millis(10)));
        assert_eq!(read(&[("endpointing", "300")]).unwrap().endpointing, Some(Duration::from_millis(300)));
        assert_eq!(read(&[("endpointing", "False")]).unwrap().endpointing, None);
        assert!(read(&[("endpointing", "-1")]).is_err());
    }

    #[test]
    fn nothing_unknown_is_an_error() {
        assert!(read(&[("keyterm", "a"), ("keyterm", "b"), ("zorb", "")]).is_ok());
    }
}
