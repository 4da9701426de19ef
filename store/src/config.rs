//! The store's part of the configuration: which backend, and how long it may take to answer.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::RedisServers;
use crate::journal::{Damage, Journal, JournalError, Kept, Replay};

/// Where state is kept that must outlive a process or be shared between routers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The Redis that several routers share; each process's own memory when absent.
    pub redis: Option<RedisServers>,
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
    pub fn journal<R>(&self, name: &str) -> Result<(Journal<R>, Vec<Kept<R>>), JournalError>
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

    /// Tells whether a journal of this name was opened before.
    #[must_use]
    pub fn has_journal(&self, name: &str) -> bool {
        self.directory.as_ref().is_some_and(|directory| directory.join(name).with_extension("journal").exists())
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { redis: None, timeout: Duration::from_millis(50), directory: None }
    }
}

impl StoreConfig {
    /// Hides every password, for showing.
    #[must_use]
    pub fn without_passwords(self) -> Self {
        Self { redis: self.redis.map(RedisServers::without_passwords), ..self }
    }
}
