//! What a part of a session has used so far, as the journal keeps it and the wire carries it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proto::v1;
use scheduler::{KeyId, ModelName, NodeId, Placement, PoolName, Request, SessionId, TenantId, Work};
use serde::{Deserialize, Serialize};
use session::Usage;

/// Why a session ended whose proxy died under it.
const LOST: &str = "proxy_lost";

/// Where a part of a session stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    /// It goes on.
    Live,
    /// The session left it.
    Left,
    /// The session ended with it, for this reason.
    Ended(String),
}

/// A part of a session, and everything it has used so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spent {
    /// The session that pays; of a chunk, the file's.
    pub(crate) session: SessionId,
    pub(crate) part: u32,
    /// Session, part and sequence together are unique; of one part, the highest says the most.
    pub(crate) sequence: u64,
    pub(crate) is_chunk: bool,
    tenant: TenantId,
    key: KeyId,
    model: ModelName,
    work: Work,
    node: NodeId,
    pool: PoolName,
    slot_hour_microdollars: i64,
    at: u64,
    audio: Duration,
    slot: Duration,
    bytes_in: u64,
    bytes_out: u64,
    standing: Standing,
}

impl Spent {
    /// Begins a part that has used nothing. Without a key nobody pays.
    pub(super) fn begin(request: &Request, placement: &Placement, part: u32) -> Option<Self> {
        Some(Self {
            session: request.file.unwrap_or(request.session),
            part,
            sequence: 0,
            is_chunk: request.file.is_some(),
            tenant: request.tenant.clone(),
            key: request.key.clone()?,
            model: request.model.clone(),
            work: request.work,
            node: placement.node.clone(),
            pool: placement.pool.clone(),
            slot_hour_microdollars: placement.terms.gpu.0,
            at: now(),
            audio: Duration::ZERO,
            slot: Duration::ZERO,
            bytes_in: 0,
            bytes_out: 0,
            standing: Standing::Live,
        })
    }

    pub(super) fn so_far(&self, sequence: u64, used: &Usage, standing: Standing) -> Self {
        let Usage { audio, bytes_in, bytes_out, slot } = *used;
        Self { sequence, at: now(), audio, slot, bytes_in, bytes_out, standing, ..self.clone() }
    }

    /// Tells whether the part goes on.
    pub(super) fn is_live(&self) -> bool {
        self.standing == Standing::Live
    }

    /// Ends a part that the process before this one did not.
    pub(super) fn lost(self) -> Self {
        let standing = if self.is_chunk { Standing::Left } else { Standing::Ended(LOST.to_owned()) };
        Self { sequence: self.sequence + 1, standing, ..self }
    }

    pub(super) fn to_wire(&self) -> v1::UsageRecord {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let work = match self.work {
            Work::Stream => v1::Work::Stream,
            Work::File => v1::Work::File,
        };
        v1::UsageRecord {
            session: self.session.to_string(),
            part: self.part,
            sequence: self.sequence,
            tenant: self.tenant.to_string(),
            key: self.key.to_string(),
            model: self.model.to_string(),
            work: work.into(),
            node: self.node.to_string(),
            pool: self.pool.to_string(),
            slot_hour_microdollars: self.slot_hour_microdollars,
            at_seconds: self.at,
            audio_microseconds: micros(self.audio),
            slot_microseconds: micros(self.slot),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            ended: match &self.standing {
                Standing::Live | Standing::Left => None,
                Standing::Ended(reason) => Some(reason.clone()),
            },
        }
    }
}

/// Wall time: it decides the day on the bill, and nothing else.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
