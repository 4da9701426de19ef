//! Keys in Redis: one hash of records by their ids. What it is and how it changed stands in the same hash, so that an eviction
//! takes everything: a part that is lost could be a revocation.

use std::time::Duration;

use async_trait::async_trait;
use redis::{Script, ScriptInvocation};
use scheduler::KeyId;
use serde::{Deserialize, Serialize};

use super::{Redis, milliseconds};
use crate::StoreAway;
use crate::keyring::lost;
use crate::keys::{Digest, Edition, KEY_BATCH, KeyIndex, KeyRecord};

const KEY: &str = "crosspoint:{keys}:records";
/// The longest record, in bytes; one with a hundred pools needs 4 KiB.
const LONGEST: usize = 64 << 10;
/// How records are written today; others open nothing.
const VERSION: u32 = 1;

#[derive(Debug)]
pub(super) struct Scripts {
    read: Script,
    write: Script,
    scan: Script,
    lend: Script,
    redeem: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            read: Script::new(include_str!("read_keys.lua")),
            write: Script::new(include_str!("write_keys.lua")),
            scan: Script::new(include_str!("scan_keys.lua")),
            lend: Script::new("redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])"),
            redeem: Script::new("return redis.call('GETDEL', KEYS[1])"),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Body<K> {
    version: u32,
    key: K,
}

/// Tokens are keys of their own, for each has its own end; by their digests, for whoever reads Redis shall open nothing.
fn token_key(token: &Digest) -> String {
    format!("crosspoint:token:{}", String::from(*token))
}

fn invoke(script: &Script) -> ScriptInvocation<'_> {
    let mut invocation = script.key(KEY);
    invocation.arg(LONGEST);
    invocation
}

/// Reads a body that anybody may have written, under a field that must be its id.
fn read(id: &str, body: &[u8]) -> Option<KeyRecord> {
    let Body { version, key } = serde_json::from_slice::<Body<KeyRecord>>(body).ok()?;
    (version == VERSION && key.id.as_str() == id).then_some(key)
}

/// What a script says of the index: when it was begun, and when it was last changed; zero where it is lost.
fn edition((begun, changed): (u64, u64)) -> Option<Edition> {
    (begun > 0).then_some(Edition { begun, changed })
}

#[async_trait]
impl KeyIndex for Redis {
    async fn edition(&self) -> Result<Option<Edition>, StoreAway> {
        let (state, _): ((u64, u64), Vec<(String, Vec<u8>)>) = self.run(&invoke(&self.keys.read)).await?;
        Ok(edition(state))
    }

    async fn find(&self, ids: &[KeyId]) -> Result<Vec<KeyRecord>, StoreAway> {
        let mut script = invoke(&self.keys.read);
        ids.iter().for_each(|id| {
            script.arg(id.as_str());
        });
        let (state, found): ((u64, u64), Vec<(String, Vec<u8>)>) = self.run(&script).await?;
        edition(state).ok_or_else(lost)?;
        Ok(found.iter().filter_map(|(id, body)| read(id, body)).collect())
    }

    async fn all(&self) -> Result<Vec<KeyRecord>, StoreAway> {
        let (mut cursor, mut records) = ("0".to_owned(), Vec::new());
        loop {
            let mut script = invoke(&self.keys.scan);
            script.arg(&cursor).arg(KEY_BATCH);
            let (next, found): (String, Vec<(String, Vec<u8>)>) = self.run(&script).await?;
            records.extend(found.iter().filter_map(|(id, body)| read(id, body)));
            if next == "0" {
                return Ok(records);
            }
            cursor = next;
        }
    }

    async fn write(&self, records: &[KeyRecord]) -> Result<Edition, StoreAway> {
        let mut script = invoke(&self.keys.write);
        for key in records {
            let body = serde_json::to_string(&Body { version: VERSION, key });
            script.arg(key.id.as_str()).arg(body.map_err(|error| StoreAway(error.to_string()))?);
        }
        edition(self.run(&script).await?).ok_or_else(lost)
    }

    async fn lend(&self, token: &Digest, key: &KeyId, life: Duration) -> Result<(), StoreAway> {
        let mut script = self.keys.lend.key(token_key(token));
        self.run(script.arg(key.as_str()).arg(milliseconds(life))).await
    }

    async fn redeem(&self, token: &Digest) -> Result<Option<KeyId>, StoreAway> {
        let key: Option<String> = self.run(&self.keys.redeem.key(token_key(token))).await?;
        Ok(key.and_then(|key| key.parse().ok()))
    }
}
