//! A master that dies, and sentinels that promote its replica.

use std::time::Duration;

use crosspoint_store::{Claim, Leases, Redis, RedisServers};
use scheduler::Timestamp;
use serde_json::json;

use super::process::{Process, free_address, until};
use crate::slot;

/// A master, its replica, and a sentinel that watches them.
struct Watched {
    master: Process,
    _replica: Process,
    sentinel: Process,
}

impl Watched {
    async fn start() -> Option<Self> {
        let master = Process::start(free_address(), &[])?;
        let follow = master.address.to_string();
        let address = free_address();
        let here = address.to_string();
        let replica = Process::start(address, &["--replicaof", &follow, "6379", "--replica-announce-ip", &here])?;
        let lines = format!(
            "sentinel monitor main {follow} 6379 1\nsentinel down-after-milliseconds main 500\n\
             sentinel failover-timeout main 3000\n"
        );
        replica.answers().await;
        until("link to the master", async || {
            let told: String = replica.ask(&["INFO", "replication"]).await;
            told.contains("master_link_status:up")
        })
        .await;
        let sentinel = Process::sentinel(free_address(), &lines)?;
        sentinel.answers().await;
        until("replica known to the sentinel", async || {
            let told: Vec<Vec<String>> = sentinel.ask(&["SENTINEL", "REPLICAS", "main"]).await;
            told.iter().flatten().any(|word| word == "ok")
        })
        .await;
        Some(Self { master, _replica: replica, sentinel })
    }
}

#[tokio::test]
async fn the_store_is_back_as_soon_as_the_replica_is_the_master() {
    let Some(mut watched) = Watched::start().await else { return };
    let nobody = format!("redis://{}:26379", free_address());
    let sentinel = json!({ "sentinel": { "master": "main", "sentinels": [nobody, watched.sentinel.url()] } });
    let servers: RedisServers = serde_json::from_value(sentinel).unwrap();
    let store = Redis::new(&servers, Duration::from_millis(500)).unwrap();
    let now = Timestamp::ZERO;
    until("claim", async || store.claim(&slot(1), 1, now).await.is_ok()).await;
    assert_eq!(store.claim(&slot(2), 1, now).await, Ok(Claim::Full));

    watched.master.kill();
    assert!(store.renew(&[slot(1)], now).await.is_err());
    until("renewal at the new master", async || store.renew(&[slot(1)], now).await.is_ok()).await;
    assert_eq!(store.claim(&slot(2), 1, now).await, Ok(Claim::Full), "what was renewed is there");
}
