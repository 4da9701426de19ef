//! A node as a decision sees it: one cache line, no text, no pointer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::EngineApi;
use crate::fleet::promises::Promised;
use crate::numbers::{count, whole};
use crate::pool::Pool;
use crate::report::{NodeState, Report};
use crate::units::{Ratio, Timestamp};

/// Time in which half of a node's error share is forgotten.
const ERROR_HALF_LIFE: Duration = Duration::from_secs(30);
/// Weight of one open in the error share.
const ERROR_STEP: f32 = 0.2;
/// A node that just became ready starts with this share of its slots.
const SLOW_START_SHARE: f32 = 0.25;
/// Loads above this say no more than that the node is far too full.
const MOST_LOAD: f32 = 8.0;

/// Names a node inside one fleet and its views: numbers of nodes that were forgotten are given to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeIndex(pub(crate) u32);

impl NodeIndex {
    /// Returns the number, which is small: nodes are numbered from zero.
    #[must_use]
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// Names a pool inside one fleet: its place in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct PoolIndex(pub(crate) u8);

impl PoolIndex {
    pub(crate) fn get(self) -> usize {
        self.0.into()
    }
}

/// What keeps a node from taking sessions, if anything does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    Serving,
    Starting,
    Failing,
    Draining,
    /// It behaved worse than its pool, and rests.
    Ejected,
    /// No node has this number.
    Gone,
}

impl From<NodeState> for Standing {
    fn from(state: NodeState) -> Self {
        match state {
            NodeState::Starting => Self::Starting,
            NodeState::Serving => Self::Serving,
            NodeState::Draining => Self::Draining,
            NodeState::Failing => Self::Failing,
        }
    }
}

/// Whether new sessions are steered to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    /// In the open set.
    Open,
    /// Keeps its sessions, serves batch, empties out; takes a stream only when no open node can.
    Closed,
}

/// One node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[repr(C, align(64))]
pub(crate) struct Line {
    /// When the agent said it, on this process's clock.
    pub(crate) reported_at: Timestamp,
    /// Bits of the models it serves, as the view numbers them.
    pub(crate) models: u64,
    pub(crate) errors_at: Timestamp,
    /// When it became ready, if that was seen to happen; zero otherwise.
    pub(crate) ready_at: Timestamp,
    pub(crate) errors: f32,
    /// Audio chunk to result, 95th percentile, in microseconds.
    pub(crate) latency: u32,
    /// The same with the memory of a peak, for the policy `peak_ewma`.
    pub(crate) peak: f32,
    /// Sessions a second that this process places there.
    pub(crate) rate: f32,
    /// The price of a node-hour over soft slots, in microdollars.
    pub(crate) slot_price: u32,
    pub(crate) used: u16,
    pub(crate) soft: u16,
    pub(crate) hard: u16,
    /// Slots of `used` that batch chunks hold and would yield.
    pub(crate) batch: u16,
    pub(crate) pool: PoolIndex,
    pub(crate) standing: Standing,
    pub(crate) side: Side,
    pub(crate) api: EngineApi,
}

const _: () = assert!(size_of::<Line>() == 64, "a node fills one cache line");

#[expect(clippy::cast_possible_truncation, reason = "a sane report has at most 10,000 slots")]
fn slots(count: u32) -> u16 {
    count as u16
}

impl Line {
    /// The line of a number that no node has.
    pub(crate) fn gone() -> Self {
        Self {
            reported_at: Timestamp::ZERO,
            models: 0,
            errors_at: Timestamp::ZERO,
            ready_at: Timestamp::ZERO,
            errors: 0.0,
            latency: 0,
            peak: 0.0,
            rate: 0.0,
            slot_price: 0,
            used: 0,
            soft: 0,
            hard: 0,
            batch: 0,
            pool: PoolIndex(0),
            standing: Standing::Gone,
            side: Side::Open,
            api: EngineApi::Listen,
        }
    }

    /// Takes the figures of a sane report of a node of `pool`.
    pub(crate) fn take(&mut self, report: &Report, pool: &Pool, at: Timestamp) {
        self.reported_at = at;
        self.latency = u32::try_from(report.chunk_latency_p95.as_micros()).unwrap_or(u32::MAX);
        self.peak = self.peak.max(self.latency as f32);
        self.used = slots(report.used_slots);
        self.soft = slots(report.soft_slots);
        self.hard = slots(report.hard_slots);
        self.api = report.api;
        self.price(pool);
    }

    /// Changes what the node is up to. One that is seen to become ready begins slowly; one that rests goes on resting.
    pub(crate) fn become_standing(&mut self, state: NodeState, at: Timestamp) {
        let next = Standing::from(state);
        match (self.standing, next) {
            (Standing::Ejected, Standing::Serving) => {}
            (Standing::Starting | Standing::Failing, Standing::Serving) => {
                self.ready_at = at;
                self.standing = next;
            }
            (
                Standing::Serving
                | Standing::Draining
                | Standing::Gone
                | Standing::Ejected
                | Standing::Starting
                | Standing::Failing,
                _,
            ) => self.standing = next,
        }
    }

    /// Tells whether a node has this number, and is in this pool.
    pub(crate) fn is_in(&self, pool: usize) -> bool {
        self.standing != Standing::Gone && self.pool.get() == pool
    }

    /// Divides the price of a node-hour over the soft slots.
    pub(crate) fn price(&mut self, pool: &Pool) {
        let price = pool.price.node_hour.0 as f64 / f64::from(self.soft.max(1));
        self.slot_price = u32::try_from(whole(price)).unwrap_or(u32::MAX);
    }

    /// Returns the share of opens that failed lately, halved every 30 s.
    pub(crate) fn error_share(&self, now: Timestamp) -> Ratio {
        if self.errors == 0.0 {
            return Ratio::ZERO;
        }
        let halves = now.since(self.errors_at).as_secs_f32() / ERROR_HALF_LIFE.as_secs_f32();
        Ratio::clamped(self.errors * (-halves).exp2())
    }

    /// Counts one open, as a share that failed: 0 or 1.
    pub(crate) fn observe_open(&mut self, failed: f32, now: Timestamp) {
        self.errors = self.error_share(now).get() * (1.0 - ERROR_STEP) + failed * ERROR_STEP;
        self.errors_at = now;
    }

    /// Estimates the slots in use: those reported, those promised here since, and those that `others` like this process
    /// have likely promised (C3, Suresh et al., NSDI 2015: the concurrency of other clients is taken to be one's own).
    pub(crate) fn used_estimate(&self, promised: Promised, others: u32, now: Timestamp) -> u32 {
        let known = u32::from(self.used) + promised.count(now);
        if others == 0 || self.rate == 0.0 {
            return known;
        }
        let unseen = others as f32 * self.rate * now.since(self.reported_at).as_secs_f32();
        known + count(unseen.min(f32::from(self.hard)))
    }

    /// Estimates the slots in use for comparing nodes with each other: `others` are taken to have promised here just what this
    /// process has, which is right on average and keeps each router's sessions apart. It is too coarse to call a node full.
    pub(crate) fn used_likely(&self, promised: Promised, others: u32, now: Timestamp) -> u32 {
        let estimate = self.used_estimate(promised, others, now);
        if others == 0 {
            return estimate;
        }
        estimate.max(u32::from(self.used) + promised.count(now) * (others + 1))
    }

    /// Returns how many of `slots` are lent to a node that became ready less than `slow_start` ago.
    pub(crate) fn lent(&self, slots: u16, slow_start: Duration, now: Timestamp) -> u32 {
        let since = now.since(self.ready_at);
        if self.ready_at == Timestamp::ZERO || since >= slow_start {
            return slots.into();
        }
        let share = SLOW_START_SHARE + (1.0 - SLOW_START_SHARE) * since.as_secs_f32() / slow_start.as_secs_f32();
        count(f32::from(slots) * share).max(slots.min(1).into())
    }

    /// Returns the reported load over soft slots, without the slots that batch holds: it yields them.
    pub(crate) fn load(&self) -> f32 {
        let streams = self.used.saturating_sub(self.batch);
        (f32::from(streams) / f32::from(self.soft.max(1))).min(MOST_LOAD)
    }
}
