//! `proxy.resume`: what is kept of streams whose callers may come back, and the secret that tokens are sealed with.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Seal;

/// A secret shorter than this could be guessed, in bytes.
const LEAST_SECRET: usize = 32;

/// How long, and how much, is kept of a stream whose caller asked for `ack` or `events` and has lost its connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResumeConfig {
    /// How long its node goes on.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub leg: Duration,
    /// How long all else is kept.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub keep: Duration,
    /// Final results kept of one stream, at most.
    pub results: usize,
    /// Bytes of final results kept of one stream, at most.
    pub result_bytes: usize,
    /// Streams that wait for their callers at one time, at most; one more ends at once.
    pub streams: usize,
    /// What is kept of all of them, at most, in bytes.
    pub bytes: usize,
    /// File with the secret that all proxies share; without one, tokens are good at the proxy alone that wrote them.
    pub secret: Option<PathBuf>,
}

impl Default for ResumeConfig {
    fn default() -> Self {
        Self {
            leg: Duration::from_secs(5),
            keep: Duration::from_secs(60),
            results: 256,
            result_bytes: 256 << 10,
            streams: 1_000,
            bytes: 256 << 20,
            secret: None,
        }
    }
}

/// Says that the secret of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ResumeSecretError {
    /// The file cannot be read.
    #[error("proxy.resume.secret: cannot read {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// It is too short.
    #[error("proxy.resume.secret: {} holds {bytes} bytes, expected {LEAST_SECRET} or more: make one with `openssl rand -hex 32`", path.display())]
    Short {
        /// The file.
        path: PathBuf,
        /// How many there are.
        bytes: usize,
    },
}

impl ResumeConfig {
    /// Returns what a session keeps, and for how long.
    pub(crate) fn parking(&self) -> session::Parking {
        session::Parking { leg: self.leg, keep: self.keep }
    }

    /// Reads the secret, or draws one.
    pub(crate) fn seal(&self) -> Result<Seal, ResumeSecretError> {
        let Some(path) = self.secret.clone() else { return Ok(Seal::random()) };
        let secret = match std::fs::read(&path) {
            Ok(secret) => secret,
            Err(cause) => return Err(ResumeSecretError::Unreadable { path, cause }),
        };
        let secret = secret.trim_ascii();
        if secret.len() < LEAST_SECRET {
            return Err(ResumeSecretError::Short { path, bytes: secret.len() });
        }
        Ok(Seal::new(secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_short_or_not_there_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let config = ResumeConfig { secret: Some(path.clone()), ..ResumeConfig::default() };
        let error = config.seal().err().unwrap().to_string();
        assert!(error.contains("cannot read") && error.contains("secret"), "{error}");
        std::fs::write(&path, "  too short \n").unwrap();
        let error = config.seal().err().unwrap().to_string();
        assert!(error.contains("holds 9 bytes"), "{error}");
        std::fs::write(&path, "k".repeat(32)).unwrap();
        assert!(config.seal().is_ok());
    }
}
