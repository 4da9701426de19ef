//! Where the engine is, what it speaks, and whose pages it has.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use reqwest::Url;
use scheduler::{EngineApi, ModelName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Config, plain_url};
use crate::engine::{Deepgram, Kind, Kinds, OpenAi, Own, Triton, Vllm, page_of};
use crate::error::AgentError;

/// Where Deepgram's and Triton's metrics pages are by default: on ports of their own.
const DEEPGRAM_METRICS_PORT: u16 = 9991;
const TRITON_METRICS_PORT: u16 = 8002;

/// Where the engine is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Base URL of the engine's pages, as the agent reaches them.
    pub url: String,
    /// Which API it speaks to proxies.
    pub api: EngineApi,
    /// Whose pages it has.
    pub server: ServerConfig,
    /// Its metrics page; where such servers have it when absent.
    pub metrics: Option<String>,
    /// The page that answers with status 200 while it is well. Deepgram and Triton have their own.
    pub health: String,
    /// Streams or files that it hears at the same time: required where it does not say, and the smaller one where it does.
    pub slots: Option<NonZeroU32>,
    /// What it calls those of `models` that it knows by another name. Not for `listen`.
    pub models: BTreeMap<ModelName, ModelName>,
    /// File with the key that it wants before it lists its models. For `openai` only.
    pub key: Option<PathBuf>,
}

/// Whose pages an engine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerConfig {
    /// Found out by looking.
    #[default]
    Auto,
    /// Our own, or another that has the same pages.
    Crosspoint,
    /// Deepgram self-hosted.
    Deepgram,
    /// NVIDIA Triton.
    Triton,
    /// vLLM.
    Vllm,
    /// Another OpenAI-compatible server.
    Openai,
}

impl ServerConfig {
    const fn label(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Crosspoint => "crosspoint",
            Self::Deepgram => "deepgram",
            Self::Triton => "triton",
            Self::Vllm => "vllm",
            Self::Openai => "openai",
        }
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8090".to_owned(),
            api: EngineApi::default(),
            server: ServerConfig::default(),
            metrics: None,
            health: "/health".to_owned(),
            slots: None,
            models: BTreeMap::new(),
            key: None,
        }
    }
}

impl Config {
    /// Returns where the engine's pages are, and which it has or may have.
    pub(crate) fn engine_kinds(&self) -> Result<Kinds, AgentError> {
        let engine = &self.engine;
        match engine.api {
            EngineApi::Listen => self.of_listen(),
            EngineApi::OpenAi if self.engine_url()?.path() != "/" => Err(AgentError::UrlWithPath(engine.url.clone())),
            EngineApi::OpenAi => self.of_openai(),
        }
    }

    fn of_listen(&self) -> Result<Kinds, AgentError> {
        let engine = &self.engine;
        if engine.key.is_some() {
            return Err(AgentError::NotForListen("key"));
        }
        if !engine.models.is_empty() && engine.server != ServerConfig::Triton {
            return Err(AgentError::NotForListen("models"));
        }
        Ok(match engine.server {
            ServerConfig::Auto => {
                Kinds::OneOf { url: self.engine_url()?, kinds: vec![self.own()?, self.deepgram()?, self.triton()?] }
            }
            ServerConfig::Crosspoint => Kinds::Known(self.own()?),
            ServerConfig::Deepgram => Kinds::Known(self.deepgram()?),
            ServerConfig::Triton => Kinds::Known(self.triton()?),
            server @ (ServerConfig::Vllm | ServerConfig::Openai) => {
                return Err(AgentError::OtherApi { server: server.label(), api: "listen" });
            }
        })
    }

    fn of_openai(&self) -> Result<Kinds, AgentError> {
        let engine = &self.engine;
        let metrics = self.metrics_page("metrics", None)?;
        Ok(Kinds::Known(match engine.server {
            ServerConfig::Auto | ServerConfig::Vllm => self.openai(Some(Vllm::new(metrics)))?,
            ServerConfig::Openai => self.openai(None)?,
            ServerConfig::Triton => self.triton()?,
            server @ (ServerConfig::Crosspoint | ServerConfig::Deepgram) => {
                return Err(AgentError::OtherApi { server: server.label(), api: "openai" });
            }
        }))
    }

    fn own(&self) -> Result<Kind, AgentError> {
        let health = page_of(&self.engine_url()?, &self.engine.health);
        Ok(Kind::Own(Own { health, metrics: self.metrics_page("metrics", None)?, most: self.engine.slots }))
    }

    fn deepgram(&self) -> Result<Kind, AgentError> {
        let status = page_of(&self.engine_url()?, "v1/status");
        let metrics = self.metrics_page("metrics", Some(DEEPGRAM_METRICS_PORT))?;
        Ok(Kind::Deepgram(Box::new(Deepgram::new(status, metrics, self.engine.slots))))
    }

    fn triton(&self) -> Result<Kind, AgentError> {
        let metrics = self.metrics_page("metrics", Some(TRITON_METRICS_PORT))?;
        let (base, slots) = (self.engine_url()?, self.engine.slots);
        Ok(Kind::Triton(Box::new(Triton::new(base, metrics, slots, self.names()?))))
    }

    fn openai(&self, vllm: Option<Vllm>) -> Result<Kind, AgentError> {
        let base = self.engine_url()?;
        Ok(Kind::OpenAi(Box::new(OpenAi {
            health: page_of(&base, &self.engine.health),
            models: page_of(&base, "v1/models"),
            key: self.engine.key.clone(),
            slots: self.engine.slots.ok_or(AgentError::NoSlots)?,
            wanted: self.names()?,
            listed: None,
            vllm,
        })))
    }

    /// Returns the metrics page: the configured one, else that of the server, on its own port where it has one.
    fn metrics_page(&self, page: &str, port: Option<u16>) -> Result<Url, AgentError> {
        if let Some(metrics) = &self.engine.metrics {
            return plain_url("engine.metrics", metrics);
        }
        let mut base = self.engine_url()?;
        if let Some(port) = port {
            base.set_path("/");
            // A URL with a host, as this one, can have a port.
            let _ = base.set_port(Some(port));
        }
        Ok(page_of(&base, page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(yaml: &str) -> Config {
        let pool = Some("aws".parse().unwrap());
        Config { engine: serde_json::from_str(yaml).unwrap(), pool, ..Config::default() }
    }

    #[test]
    fn what_an_engine_of_the_other_api_needs_is_said() {
        for (yaml, expected) in [
            (
                r#"{"api":"openai"}"#,
                "engine.slots is missing: set it to how many files the engine hears at the same time",
            ),
            (
                r#"{"api":"openai","slots":1,"url":"http://gpu:8000/asr"}"#,
                "expected engine.url without a path, for proxies send files to /v1/audio/transcriptions, \
                 got \"http://gpu:8000/asr\"",
            ),
            (r#"{"key":"k"}"#, "engine.key is for engine.api openai only: remove it, or set engine.api"),
            (r#"{"server":"vllm"}"#, "engine.server vllm does not speak engine.api listen: set one of them"),
            (
                r#"{"api":"openai","slots":1,"server":"deepgram"}"#,
                "engine.server deepgram does not speak engine.api openai: set one of them",
            ),
            (
                r#"{"api":"openai","slots":1,"models":{"whisper":"x"}}"#,
                "engine.models names whisper, which models does not list",
            ),
        ] {
            assert_eq!(engine(yaml).engine_kinds().unwrap_err().to_string(), expected);
        }
        let named = engine(r#"{"api":"openai","slots":1,"models":{"sphinx-en-us":"small"}}"#).identity().unwrap();
        assert_eq!(named.models.values().map(ModelName::as_str).collect::<Vec<_>>(), ["small"]);
    }

    #[test]
    fn metrics_pages_are_where_such_servers_have_them() {
        let page = |yaml: &str, port| engine(yaml).metrics_page("metrics", port).unwrap().to_string();
        assert_eq!(page(r#"{"url":"http://gpu:8080/x"}"#, Some(9991)), "http://gpu:9991/metrics");
        assert_eq!(page(r#"{"url":"http://gpu:8090"}"#, None), "http://gpu:8090/metrics");
        assert_eq!(page(r#"{"metrics":"http://gpu:1/m"}"#, Some(9991)), "http://gpu:1/m");
    }
}
