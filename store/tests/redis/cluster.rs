//! A cluster of three for one test.

use std::time::Duration;

use async_trait::async_trait;
use crosspoint_store::{Claim, Lease, Leases, Redis, RedisServers};
use redis::Value;
use scheduler::Timestamp;
use serde_json::json;

use super::process::{PATIENCE, Process, free_address, until};
use super::{age, session};
use crate::{Bench, Store};

/// How the 16,384 slots are dealt out.
const SLOTS: [[&str; 2]; 3] = [["0", "5460"], ["5461", "10922"], ["10923", "16383"]];

/// Three masters, and a store on them.
pub(crate) struct Cluster {
    store: Redis,
    nodes: Vec<Process>,
}

impl Cluster {
    /// Starts an empty one; none where there is no `redis-server`.
    pub(crate) async fn start() -> Option<Self> {
        let mut nodes = Vec::new();
        for [from, to] in SLOTS {
            let address = free_address();
            let here = address.to_string();
            let node = Process::start(address, &["--cluster-enabled", "yes", "--cluster-announce-ip", &here])?;
            node.answers().await;
            node.ask::<Value>(&["CLUSTER", "ADDSLOTSRANGE", from, to]).await;
            nodes.push(node);
        }
        for node in &nodes[1..] {
            nodes[0].ask::<Value>(&["CLUSTER", "MEET", &node.address.to_string(), "6379"]).await;
        }
        for node in &nodes {
            until("cluster", async || {
                let told: String = node.ask(&["CLUSTER", "INFO"]).await;
                told.contains("cluster_state:ok") && told.contains("cluster_known_nodes:3")
            })
            .await;
        }
        // One of the seeds is nobody.
        let seeds = json!({ "cluster": [format!("redis://{}:6379", free_address()), nodes[1].url()] });
        let servers: RedisServers = serde_json::from_value(seeds).unwrap();
        Some(Self { store: Redis::new(&servers, PATIENCE).unwrap(), nodes })
    }
}

#[async_trait]
impl Bench for Cluster {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO
    }

    async fn pass(&mut self, time: Duration) {
        for node in &self.nodes {
            age(node, time).await;
        }
    }
}

#[tokio::test]
async fn what_is_written_lies_on_every_node() {
    let Some(cluster) = Cluster::start().await else { return };
    for number in 0..30 {
        let lease = Lease::slot(&format!("node-{number}").parse().unwrap(), session(1));
        assert_eq!(cluster.store.claim(&lease, 1, cluster.now()).await, Ok(Claim::Held));
    }
    for node in &cluster.nodes {
        assert!(node.ask::<u32>(&["DBSIZE"]).await > 0);
    }
}
