//! The store's part of the configuration: which backend, and how long it may take to answer.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::RedisServers;

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
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { redis: None, timeout: Duration::from_millis(50) }
    }
}

impl StoreConfig {
    /// Hides every password, for showing.
    #[must_use]
    pub fn without_passwords(self) -> Self {
        Self { redis: self.redis.map(RedisServers::without_passwords), ..self }
    }
}
