//! What an engine is told before it starts: one struct with one home for every default.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::span;
use crate::sphinx::SphinxConfig;
use crate::synthetic::SyntheticConfig;

/// Which voice answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Voice {
    /// PocketSphinx: real speech, on the CPU.
    #[default]
    Sphinx,
    /// The coded audio of tests and benchmarks.
    Synthetic,
}

impl Voice {
    /// Names the voice as configuration, health page and metrics do.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sphinx => "sphinx",
            Self::Synthetic => "synthetic",
        }
    }
}

/// One engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the API, `/health` and `/metrics` are served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Which voice answers.
    pub voice: Voice,
    /// Streams and files heard at the same time; one more is refused with 503.
    pub slots: NonZeroU16,
    /// The model's name in results.
    pub model: String,
    /// Where the real voice is found.
    pub sphinx: SphinxConfig,
    /// How the synthetic voice behaves.
    pub synthetic: SyntheticConfig,
    /// How far away the engine seems: handshakes and responses wait one round trip, results half of one.
    #[serde(with = "span")]
    #[schemars(with = "String")]
    pub link_round_trip: Duration,
    /// A stream that sends no frame for so long is closed with NET-0001.
    #[serde(with = "span")]
    #[schemars(with = "String")]
    pub idle: Duration,
    /// Audio of one stream that may wait to be heard before its socket is no longer read.
    #[serde(with = "span")]
    #[schemars(with = "String")]
    pub buffer: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8090)),
            voice: Voice::default(),
            slots: NonZeroU16::MIN.saturating_add(3),
            model: "sphinx-en-us".to_owned(),
            sphinx: SphinxConfig::default(),
            synthetic: SyntheticConfig::default(),
            link_round_trip: Duration::ZERO,
            idle: Duration::from_secs(10),
            buffer: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_words_and_survive_a_round_trip() {
        let config: Config = serde_json::from_str(r#"{"link_round_trip":"15ms","voice":"synthetic"}"#).unwrap();
        assert_eq!((config.link_round_trip, config.voice), (Duration::from_millis(15), Voice::Synthetic));
        let text = serde_json::to_string(&config).unwrap();
        assert!(text.contains(r#""link_round_trip":"15ms""#), "{text}");
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
    }

    #[test]
    fn a_misspelt_key_and_a_bare_number_are_errors_that_show_them() {
        let misspelt = serde_json::from_str::<Config>(r#"{"slot":1}"#).unwrap_err().to_string();
        assert!(misspelt.contains("unknown field `slot`"), "{misspelt}");
        let bare = serde_json::from_str::<Config>(r#"{"idle":"10"}"#).unwrap_err().to_string();
        assert!(bare.contains("got \"10\""), "{bare}");
    }
}
