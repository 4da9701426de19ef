//! What the router answers. Kinds are texts here, and what is missing has a default: a router of the next version may
//! know more kinds, and say more, than this command.

use serde::Deserialize;

/// `GET /v1/nodes`.
#[derive(Debug, Deserialize)]
pub(crate) struct Nodes {
    pub(crate) nodes: Vec<Node>,
}

/// A node as last reported.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "two facts of an answer, independent of each other")]
pub(crate) struct Node {
    pub(crate) node: String,
    pub(crate) pool: String,
    pub(crate) address: String,
    pub(crate) state: String,
    pub(crate) age_ms: f64,
    pub(crate) soft_slots: u32,
    pub(crate) hard_slots: u32,
    pub(crate) used_slots: u32,
    pub(crate) queue_depth: u32,
    pub(crate) chunk_latency_p95_ms: f64,
    pub(crate) realtime_factor: f64,
    pub(crate) gpus: Vec<Gpu>,
    pub(crate) engine_pid: Option<u32>,
    pub(crate) error_share: f64,
    pub(crate) silent: bool,
    pub(crate) drained: bool,
    pub(crate) leases: u32,
    pub(crate) score: Option<f64>,
    pub(crate) reason: Option<String>,
    pub(crate) notice: Option<Notice>,
}

/// What the cloud has in mind for a node's host.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Notice {
    pub(crate) kind: String,
    pub(crate) left_ms: Option<f64>,
}

/// A GPU of a node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Gpu {
    pub(crate) name: String,
    pub(crate) utilisation: f64,
    pub(crate) memory_used_bytes: f64,
    pub(crate) memory_total_bytes: f64,
    pub(crate) temperature_celsius: u32,
    pub(crate) power_milliwatts: f64,
}

/// `GET /v1/plan`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Plan {
    pub(crate) leader: String,
    pub(crate) age_ms: f64,
    pub(crate) dry_run: bool,
    pub(crate) streams: f64,
    pub(crate) batch: f64,
    pub(crate) required_slots: f64,
    pub(crate) wanted_slots: f64,
    pub(crate) target: f64,
    pub(crate) pools: Vec<PlannedPool>,
    pub(crate) short: Vec<Shortfall>,
}

/// What a pool should be.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PlannedPool {
    pub(crate) pool: String,
    pub(crate) ready: u32,
    pub(crate) booting: u32,
    pub(crate) draining: u32,
    pub(crate) wanted: u32,
    pub(crate) text: String,
    pub(crate) launch: u32,
    pub(crate) undrain: Vec<String>,
    pub(crate) drain: Vec<String>,
    pub(crate) clear: Vec<String>,
    pub(crate) terminate: Vec<String>,
}

/// Sessions that no pool may grow for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Shortfall {
    pub(crate) slots: f64,
}

/// `GET /v1/pools`.
#[derive(Debug, Deserialize)]
pub(crate) struct Pools {
    pub(crate) pools: Vec<Pool>,
}

/// A pool with its nodes summed up.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) provider: String,
    pub(crate) region: String,
    pub(crate) tier: String,
    pub(crate) market: String,
    pub(crate) price: Price,
    pub(crate) residency: String,
    pub(crate) compliance: Vec<String>,
    pub(crate) round_trip_ms: f64,
    pub(crate) nodes: u32,
    pub(crate) serving: u32,
    pub(crate) soft_slots: u32,
    pub(crate) used_slots: u32,
    pub(crate) cost_per_hour: f64,
}

/// A pool's price, in dollars.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Price {
    pub(crate) node_hour: f64,
    pub(crate) egress_gb: f64,
}

/// `GET /v1/sessions`, newest first.
#[derive(Debug, Deserialize)]
pub(crate) struct Sessions {
    pub(crate) sessions: Vec<Session>,
}

/// A session, with the decision that placed it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Session {
    pub(crate) session: String,
    pub(crate) tenant: String,
    pub(crate) model: String,
    pub(crate) work: String,
    pub(crate) state: String,
    pub(crate) node: Option<String>,
    pub(crate) pool: Option<String>,
    pub(crate) epoch: u32,
    pub(crate) age_ms: f64,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) reason: Option<String>,
    pub(crate) audio_seconds: f64,
    pub(crate) slot_seconds: f64,
    pub(crate) bytes_in: f64,
    pub(crate) cost: Cost,
    #[serde(flatten)]
    pub(crate) decision: Explanation,
}

/// A decision with its reasons; also what `POST /v1/explain` answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Explanation {
    pub(crate) placements: Vec<Placement>,
    pub(crate) refusal: Option<String>,
    pub(crate) rejected: Vec<Rejected>,
}

/// A node offered to the session, in order of preference. Amounts are dollars per session-hour.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Placement {
    pub(crate) node: String,
    pub(crate) pool: String,
    pub(crate) terms: Terms,
    pub(crate) total: f64,
}

/// The terms of a score, in dollars per session-hour.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Terms {
    pub(crate) gpu: f64,
    pub(crate) egress: f64,
    pub(crate) latency: f64,
    pub(crate) risk: f64,
    pub(crate) congestion: f64,
    pub(crate) errors: f64,
}

impl Terms {
    /// Returns every term with its name, in the order people read them.
    pub(crate) fn named(&self) -> [(&'static str, f64); 6] {
        [
            ("gpu", self.gpu),
            ("egress", self.egress),
            ("latency", self.latency),
            ("risk", self.risk),
            ("congestion", self.congestion),
            ("errors", self.errors),
        ]
    }
}

/// Nodes of a pool that could not serve, for one reason.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Rejected {
    pub(crate) pool: String,
    pub(crate) example: Option<String>,
    pub(crate) nodes: u32,
    pub(crate) reason: String,
    pub(crate) text: String,
}

/// One try at opening a node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Attempt {
    pub(crate) node: String,
    pub(crate) outcome: String,
    pub(crate) cause: Option<String>,
}

/// `GET /v1/costs`.
#[derive(Debug, Deserialize)]
pub(crate) struct Costs {
    pub(crate) since: String,
    pub(crate) until: String,
    pub(crate) costs: Vec<Spent>,
    pub(crate) total: Spent,
}

/// What was used by something with a name, or by all.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Spent {
    pub(crate) name: String,
    pub(crate) sessions: u64,
    pub(crate) audio_seconds: f64,
    pub(crate) gpu_seconds: f64,
    pub(crate) bytes_in: f64,
    pub(crate) bytes_out: f64,
    pub(crate) cost: Cost,
}

/// What a session cost so far, in dollars.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Cost {
    pub(crate) gpu: f64,
    pub(crate) egress: f64,
    pub(crate) total: f64,
}

/// `GET /v1/keys`, oldest first.
#[derive(Debug, Deserialize)]
pub(crate) struct Keys {
    pub(crate) keys: Vec<Key>,
    #[serde(default)]
    pub(crate) complete: bool,
}

/// `POST /v1/keys`.
#[derive(Debug, Deserialize)]
pub(crate) struct NewKey {
    pub(crate) key: String,
    pub(crate) record: Key,
    #[serde(default)]
    pub(crate) proxies_know: String,
}

/// `POST /v1/keys/{id}/revoke`.
#[derive(Debug, Deserialize)]
pub(crate) struct RevokedKey {
    pub(crate) record: Key,
    #[serde(default)]
    pub(crate) proxies_know: String,
}

/// An API key as it may be shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) label: String,
    pub(crate) state: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) pools: Option<Vec<String>>,
    pub(crate) residency: Option<String>,
    pub(crate) created_at: String,
    pub(crate) expires_at: Option<String>,
    pub(crate) revoked_at: Option<String>,
}
