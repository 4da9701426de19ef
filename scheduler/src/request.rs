//! Requests: what a session needs of the node that serves it.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fleet::Line;
use crate::ids::{KeyId, ModelName, NodeId, PoolName, SessionId, TenantId};
use crate::pool::{Compliance, Residency};
use crate::rules::Facts;
use crate::units::MicroDollars;

/// What is to be transcribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A live stream.
    Stream,
    /// A whole file, with somebody waiting for it.
    File,
}

/// Why a placement is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The session begins.
    New,
    /// The session lost its node: it goes before new ones wherever there is a queue.
    Failover,
}

/// Who yields to whom when slots are short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody speaks and reads along.
    Live,
    /// Somebody waits for a file.
    Interactive,
    /// A chunk of a long file, at most 30 s of audio: it takes slots that no stream needs, and yields them.
    Batch,
}

impl Priority {
    /// Returns how many of a node's slots would be given up for a session of this priority: those of batch chunks, which are
    /// revoked within a second.
    pub(crate) fn yielding(self, line: &Line) -> u32 {
        match self {
            Self::Live | Self::Interactive => line.batch.into(),
            Self::Batch => 0,
        }
    }
}

/// What a session needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The session.
    pub session: SessionId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The key that it came with, where there was one.
    pub key: Option<KeyId>,
    /// The session of the whole file, when this is a chunk of it.
    pub file: Option<SessionId>,
    /// The model, aliases already resolved.
    pub model: ModelName,
    /// Stream or file.
    pub work: Work,
    /// New, or moved.
    pub class: Class,
    /// Who it yields to.
    pub priority: Priority,
    /// The only pools that its key may use; every pool when absent.
    pub pools: Option<BTreeSet<PoolName>>,
    /// Where the audio must stay, if it must.
    pub residency: Option<Residency>,
    /// What the pool must have been audited for.
    pub compliance: BTreeSet<Compliance>,
    /// The most a session-hour may cost.
    pub max_cost: Option<MicroDollars>,
    /// Round trip plus the node's chunk latency may not exceed this.
    pub latency_limit: Duration,
    /// What the caller sends, in bytes per second: it decides egress cost.
    pub audio_bytes_per_second: u64,
    /// Nodes that already failed this session.
    pub exclude: BTreeSet<NodeId>,
    /// The node that the session was on a moment ago: it comes first if it may serve and has a soft slot free.
    #[serde(default)]
    pub prefer: Option<NodeId>,
    /// What rules may look at.
    #[serde(default)]
    pub facts: Facts,
}

impl Request {
    /// Returns the gigabytes (10^9 bytes) that an hour of this session sends to its node.
    #[must_use]
    pub fn gigabytes_per_hour(&self) -> f64 {
        self.audio_bytes_per_second as f64 * 3600.0 / 1e9
    }
}
