//! Reload: what a running process takes over from a configuration that was read again, and what has to wait for a restart.

use std::path::PathBuf;

use process::Shutdown;
use process::reload::{ConfigHash, follow};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tracing::warn;

use crate::config::{Config, ConfigError};

/// What a kind of process reads of the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reads {
    /// Keys that it takes over while it runs.
    pub(crate) live: &'static [&'static str],
    /// Sections that it looks at when it starts.
    pub(crate) at_start: &'static [&'static str],
}

/// Of a router.
pub(crate) const ROUTER: Reads = Reads {
    live: &["pools", "policy", "scoring", "placement", "rules", "planner", "models"],
    at_start: &["router", "store", "logs"],
};
/// Of a proxy.
pub(crate) const PROXY: Reads = Reads { live: &["models", "proxy.limits"], at_start: &["proxy", "store", "logs"] };
/// Of both in one process.
pub(crate) const UP: Reads = Reads {
    live: &["pools", "policy", "scoring", "placement", "rules", "planner", "models", "proxy.limits"],
    at_start: &["router", "proxy", "store", "logs", "agent", "engine"],
};

/// Follows the configuration until the drain begins: `load` reads it, `apply` takes over what may change.
pub(crate) fn start<L, A>(reads: Reads, file: Option<PathBuf>, (mut load, mut apply): (L, A), shutdown: &Shutdown)
where
    L: FnMut() -> Result<Config, ConfigError> + Send + 'static,
    A: FnMut(&Config) + Send + 'static,
{
    // What this process began with was read a moment ago; were it gone since, the first reload says so.
    let began = load().unwrap_or_default();
    let hash = reads.hash(&began);
    let read = move || {
        let next = load().map_err(|error| error.to_string())?;
        apply(&next);
        let waiting = reads.waiting(&began, &next);
        if !waiting.is_empty() {
            warn!(keys = waiting.join(", "), "changed keys that only a restart puts in force");
        }
        Ok(reads.hash(&next))
    };
    shutdown.spawn("configuration", follow(file, hash, read, shutdown.clone()));
}

impl Reads {
    /// Returns a number for what is taken over while the process runs.
    fn hash(&self, config: &Config) -> ConfigHash {
        let config = written(config);
        let text: String = self.live.iter().map(|key| format!("{key}={}\n", at(&config, key))).collect();
        let digest = Sha256::digest(text);
        let first = digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
        ConfigHash(first)
    }

    /// Names the keys that differ and are read at the start only.
    fn waiting(&self, before: &Config, after: &Config) -> Vec<String> {
        let (before, after) = (written(before), written(after));
        let mut found = Vec::new();
        for section in self.at_start {
            changes(section, at(&before, section), at(&after, section), &mut found);
        }
        let is_live = |key: &String| {
            self.live
                .iter()
                .any(|live| key.strip_prefix(live).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
        };
        found.retain(|key| !is_live(key));
        found
    }
}

/// A configuration that was read can be written.
fn written(config: &Config) -> Value {
    serde_json::to_value(config).unwrap_or_default()
}

fn at<'a>(config: &'a Value, key: &str) -> &'a Value {
    key.split('.').fold(config, |value, part| &value[part])
}

/// Collects the paths of values that differ; a list counts as one value.
fn changes(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(one), Value::Object(other)) => {
            let mut keys: Vec<_> = one.keys().chain(other.keys()).collect();
            keys.sort();
            keys.dedup();
            keys.into_iter().for_each(|key| changes(&format!("{path}.{key}"), &before[key], &after[key], found));
        }
        (_, _) if before != after => found.push(path.to_owned()),
        (_, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(change: impl FnOnce(&mut Config)) -> Config {
        let mut config = Config::default();
        change(&mut config);
        config
    }

    #[test]
    fn keys_that_need_a_restart_are_named_and_others_are_not() {
        let after = changed(|config| {
            config.router.admin.set_port(1);
            config.proxy.limits.concurrent = Some(3);
            config.proxy.edge.header_count = std::num::NonZeroUsize::MIN;
            config.scoring.errors = 0.7;
            config.logs.filter = "debug".to_owned();
        });
        let waiting = |reads: Reads| reads.waiting(&Config::default(), &after).join(" ");
        assert_eq!(waiting(ROUTER), "router.admin logs.filter");
        assert_eq!(waiting(PROXY), "proxy.edge.header_count logs.filter");
        assert_eq!(waiting(UP), "router.admin proxy.edge.header_count logs.filter");
        assert_eq!(UP.waiting(&after, &after), [""; 0]);
    }

    #[test]
    fn the_hash_is_of_what_is_taken_over() {
        let hash = |change: fn(&mut Config)| ROUTER.hash(&changed(change));
        let before = hash(|_| ());
        assert_eq!(before, hash(|config| config.router.admin.set_port(1)));
        assert_ne!(before, hash(|config| config.scoring.errors = 0.7));
        assert_ne!(before, hash(|config| config.pools[0].tier = scheduler::Tier::Overflow));
    }
}
