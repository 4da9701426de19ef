//! Nodes: what runs where, and how fast. Totals are kept beside the nodes, so that passing time costs nothing.

use std::time::Duration;

use scheduler::{NodeId, Timestamp};

use super::{NodeNumber, SessionIndex};
use crate::case::Case;
use crate::policy::{AboveSoft, FileSlots, Mechanisms};
use crate::scenario::SlotSpec;

/// Latency of a chunk on an idle node.
const LATENCY_IDLE: Duration = Duration::from_millis(14);
/// What each stream adds on a node of 270 slots; on smaller nodes in proportion. With [`LATENCY_IDLE`], a linear fit of
/// NVIDIA's table for Riva ASR (270 streams at 160 ms chunks, docs.nvidia.com/nim/riva/asr/1.4.0).
const LATENCY_PER_STREAM: f64 = 0.000_44 * 270.0;
/// How much steeper latency grows above the soft slots.
const ABOVE_SOFT_SLOPE: f64 = 3.0;
/// A window of 10 s whose 95th percentile is above this makes a stream slow.
pub(super) const LATENCY_SLO: Duration = Duration::from_millis(500);

/// Returns the 95th percentile of chunk latency over its mean: lognormal, with the 99th percentile at three times the middle.
#[must_use]
pub(super) fn p95_factor() -> f64 {
    (3.0_f64.ln() / 2.326_348 * 1.644_854).exp()
}

/// Returns the mean latency of a chunk on a node where `running` streams and chunks of files run.
#[must_use]
pub(super) fn chunk_latency(slots: SlotSpec, running: u32) -> Duration {
    let load = f64::from(running) / f64::from(slots.soft.max(1));
    let bent = load.min(1.0) + (load - 1.0).max(0.0) * ABOVE_SOFT_SLOPE;
    LATENCY_IDLE + Duration::from_secs_f64(LATENCY_PER_STREAM * bent)
}

/// How far a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Ordered, and paid for.
    Booting,
    /// Takes streams.
    Serving,
    /// Takes no more streams; its streams stay.
    Draining,
    /// Takes no more streams; its streams are moved away.
    Clearing,
    /// Will be taken away then.
    Noticed(Timestamp),
    /// Is no more.
    Gone,
}

/// A node.
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) pool: usize,
    pub(super) phase: Phase,
    pub(super) launched: Timestamp,
    pub(super) streams: Vec<SessionIndex>,
    pub(super) files: u32,
    /// How many times slower than it should be.
    pub(super) slowness: f64,
    pub(super) sequence: u64,
}

impl Node {
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.streams.len()).unwrap_or(u32::MAX)
    }

    /// Tells whether streams run here.
    pub(super) fn runs(&self) -> bool {
        match self.phase {
            Phase::Serving | Phase::Draining | Phase::Clearing | Phase::Noticed(_) => true,
            Phase::Booting | Phase::Gone => false,
        }
    }

    /// Tells whether files may run here.
    fn takes_files(&self) -> bool {
        match self.phase {
            Phase::Serving | Phase::Draining | Phase::Clearing => true,
            Phase::Booting | Phase::Noticed(_) | Phase::Gone => false,
        }
    }
}

/// What is running and paid for at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    /// Streams that have a slot.
    pub streams: u32,
    /// Slots that run chunks of files.
    pub files: u32,
    /// Streams above their nodes' soft slots.
    pub above: u32,
    /// Soft slots of all nodes that are paid for.
    pub paid_slots: u32,
    /// Of those, slots of nodes that boot.
    pub booting_slots: u32,
    /// Nodes that are paid for, by pool.
    pub nodes: Vec<u32>,
    /// Dollars an hour of those nodes and of what is missing from commitments.
    pub dollars_per_hour: f64,
    /// Of those dollars, what is missing from commitments.
    pub missing_per_hour: f64,
}

/// All nodes there ever were.
pub(super) struct Nodes {
    nodes: Vec<Node>,
    live: Vec<NodeNumber>,
    slots: Vec<SlotSpec>,
    files: FileSlots,
    level: Level,
}

impl Nodes {
    pub(super) fn new(case: &Case, mechanisms: Mechanisms) -> Self {
        let slots = case.fleet.pools.iter().map(|pool| match mechanisms.above_soft {
            AboveSoft::Used => pool.slots,
            AboveSoft::Unused => SlotSpec { hard: pool.slots.soft, ..pool.slots },
        });
        let level = Level { nodes: vec![0; case.fleet.pools.len()], ..Level::default() };
        Self { nodes: Vec::new(), live: Vec::new(), slots: slots.collect(), files: mechanisms.files, level }
    }

    pub(super) fn level(&self) -> &Level {
        &self.level
    }

    pub(super) fn level_mut(&mut self) -> &mut Level {
        &mut self.level
    }

    pub(super) fn get(&self, number: NodeNumber) -> &Node {
        &self.nodes[number as usize]
    }

    pub(super) fn get_mut(&mut self, number: NodeNumber) -> &mut Node {
        &mut self.nodes[number as usize]
    }

    /// Returns the nodes that are paid for, in the order of their launch.
    pub(super) fn live(&self) -> &[NodeNumber] {
        &self.live
    }

    pub(super) fn slots(&self, pool: usize) -> SlotSpec {
        self.slots[pool]
    }

    pub(super) fn add(&mut self, node: Node) -> NodeNumber {
        let number = NodeNumber::try_from(self.nodes.len()).unwrap_or(NodeNumber::MAX);
        let soft = self.slots[node.pool].soft;
        self.level.nodes[node.pool] += 1;
        self.level.paid_slots += soft;
        self.level.booting_slots += soft;
        self.nodes.push(node);
        self.live.push(number);
        number
    }

    /// Marks a booting node as serving.
    pub(super) fn serve(&mut self, number: NodeNumber) {
        let soft = self.slots[self.get(number).pool].soft;
        self.level.booting_slots -= soft;
        self.get_mut(number).phase = Phase::Serving;
    }

    /// Takes a node away; its streams must be gone, its files are given up.
    pub(super) fn remove(&mut self, number: NodeNumber) {
        self.set_files(number, 0);
        let (pool, booting) = (self.get(number).pool, self.get(number).phase == Phase::Booting);
        let soft = self.slots[pool].soft;
        self.level.nodes[pool] -= 1;
        self.level.paid_slots -= soft;
        self.level.booting_slots -= if booting { soft } else { 0 };
        self.get_mut(number).phase = Phase::Gone;
        self.live.retain(|live| *live != number);
    }

    /// Tells whether a node would take one more stream: its own word is final.
    pub(super) fn accepts(&self, number: NodeNumber) -> bool {
        let node = self.get(number);
        let files = match self.files {
            FileSlots::Idle => 0,
            FileSlots::Own => node.files,
        };
        node.phase == Phase::Serving && node.count() + files < self.slots[node.pool].hard
    }

    /// Puts a stream on a node and returns its place there. A chunk of a file gives way when all soft slots are taken.
    pub(super) fn put(&mut self, number: NodeNumber, session: SessionIndex) -> Put {
        let soft = self.slots[self.get(number).pool].soft;
        let node = self.get_mut(number);
        node.streams.push(session);
        let (count, files) = (node.count(), node.files);
        self.level.streams += 1;
        let above = count > soft;
        self.level.above += u32::from(above);
        let yields = self.files == FileSlots::Idle && files > 0 && count + files > soft;
        if yields {
            self.set_files(number, files - 1);
        }
        Put { place: count - 1, above, yielded: u32::from(yields) }
    }

    /// Takes a stream off its node; returns the stream that has its place now, if another has.
    pub(super) fn take(&mut self, number: NodeNumber, place: u32) -> Option<SessionIndex> {
        let soft = self.slots[self.get(number).pool].soft;
        let node = self.get_mut(number);
        let above = node.count() > soft;
        node.streams.swap_remove(place as usize);
        let moved = node.streams.get(place as usize).copied();
        self.level.streams -= 1;
        self.level.above -= u32::from(above);
        moved
    }

    /// Returns the soft slots of a node that no stream uses, for files.
    pub(super) fn room_for_files(&self, number: NodeNumber) -> u32 {
        let node = self.get(number);
        if node.takes_files() { self.slots[node.pool].soft.saturating_sub(node.count()) } else { 0 }
    }

    pub(super) fn set_files(&mut self, number: NodeNumber, files: u32) {
        let node = self.get_mut(number);
        if node.files != files {
            let before = std::mem::replace(&mut node.files, files);
            self.level.files = self.level.files + files - before;
        }
    }

    /// Returns the mean latency of a chunk on a node now.
    pub(super) fn latency(&self, number: NodeNumber) -> Duration {
        let node = self.get(number);
        chunk_latency(self.slots[node.pool], node.count() + node.files).mul_f64(node.slowness)
    }
}

/// How a stream was put on a node.
pub(super) struct Put {
    /// Its place among the node's streams.
    pub(super) place: u32,
    /// Whether it is above the soft slots.
    pub(super) above: bool,
    /// Chunks that gave way.
    pub(super) yielded: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_is_linear_to_the_soft_slots_and_three_times_steeper_above() {
        let slots = SlotSpec { soft: 100, hard: 115 };
        let ms = |running| chunk_latency(slots, running).as_secs_f64() * 1e3;
        assert!((ms(0) - 14.0).abs() < 1e-6);
        assert!((ms(100) - 132.8).abs() < 1e-6);
        assert!((ms(110) - ms(100) - 3.0 * (ms(100) - ms(90))).abs() < 1e-6);
    }

    #[test]
    fn a_full_node_is_within_the_latency_target_even_above_its_soft_slots() {
        let p95 = chunk_latency(SlotSpec { soft: 24, hard: 27 }, 27).mul_f64(p95_factor());
        assert!(p95 < LATENCY_SLO, "{p95:?}");
    }
}
