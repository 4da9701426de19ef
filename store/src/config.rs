//! The store's part of the configuration: which backend, and how long it may take to answer.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use deadpool_redis::redis::Client;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::journal::{Damage, Journal, JournalError, Kept, Replay};

/// Where state is kept that must outlive a process or be shared between routers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The Redis that several routers share; each process's own memory when absent.
    pub redis: Option<RedisUrl>,
    /// How long one call to Redis may take; what takes longer counts as failed.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Where records are journalled; they live in memory when absent, and end with the process.
    pub directory: Option<PathBuf>,
}

/// The largest size of one journal, in bytes: 200,000 records of usage, or 100,000 keys.
const JOURNAL_BYTES: u64 = 64 << 20;

impl StoreConfig {
    /// Opens the journal `name` in the directory, or one in memory. What was damaged in it is logged. Blocks.
    ///
    /// # Errors
    /// Fails when the file cannot be used, or when another process does.
    pub fn journal<R>(&self, name: &'static str) -> Result<(Journal<R>, Vec<Kept<R>>), JournalError>
    where
        R: Serialize + DeserializeOwned,
    {
        let Some(directory) = &self.directory else {
            info!(journal = name, "records live in memory and end with this process: store.directory is not set");
            return Ok((Journal::in_memory(), Vec::new()));
        };
        let path = directory.join(name).with_extension("journal");
        let (journal, Replay { records, damage }) = Journal::open(&path, JOURNAL_BYTES)?;
        info!(path = %path.display(), records = records.len(), "journal opened");
        if damage != Damage::default() {
            warn!(path = %path.display(), ?damage, "a part of the journal could not be read");
        }
        Ok((journal, records))
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { redis: None, timeout: Duration::from_millis(50), directory: None }
    }
}

/// Where a Redis is, as `redis://[user:password@]host:port[/database]`. `Debug` hides it, for it may hold a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct RedisUrl(String);

/// Says that a text is no address of a Redis; the text is not shown, for it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the address of a Redis such as redis://127.0.0.1:6379, without TLS")]
pub struct BadRedisUrl;

impl RedisUrl {
    /// Gives the address to the one place that connects.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RedisUrl {
    type Error = BadRedisUrl;
    fn try_from(text: String) -> Result<Self, BadRedisUrl> {
        Client::open(text.as_str()).map_err(|_| BadRedisUrl)?;
        Ok(Self(text))
    }
}

impl From<RedisUrl> for String {
    fn from(url: RedisUrl) -> Self {
        url.0
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redis]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_never_shown() {
        let url = RedisUrl::try_from("redis://user:hunter2@10.0.0.1:6379/1".to_owned());
        assert_eq!(format!("{url:?}"), "Ok([redis])");
        for bad in ["", "here", "http://10.0.0.1", "rediss://10.0.0.1:6379", "redis://:port"] {
            assert_eq!(RedisUrl::try_from(bad.to_owned()), Err(BadRedisUrl), "{bad}");
        }
    }
}
