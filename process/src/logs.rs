//! The one log subscriber: constant sentences plus fields, to standard error, as JSON lines or as words for people.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Words and fields, coloured on a terminal.
    #[default]
    Human,
    /// One JSON object a line; control characters are escaped.
    Json,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Which lines are written: a level, or `target=level` pairs (`info,crosspoint_proxy=debug`).
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Human }
    }
}

/// Says what is wrong with a log configuration.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter does not parse.
    #[error("expected a log filter such as \"info\" or \"info,crosspoint_proxy=debug\", got \"{0}\"")]
    Filter(String),
    /// A subscriber was installed before.
    #[error("logs were already started in this process")]
    AlreadyStarted,
}

/// Starts logging for this process.
///
/// # Errors
/// Fails on a filter that does not parse, and on a second call in one process.
pub fn start(config: &LogConfig) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(&config.filter).map_err(|_| LogError::Filter(config.filter.clone()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_timer(SystemTime);
    let started = match config.format {
        LogFormat::Human => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|_| LogError::AlreadyStarted)
}
