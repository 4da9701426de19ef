//! The nodes of a pool that may be drawn from, and what they cost on average: kept up to date by whole numbers added and
//! taken away, so that a report costs the same however large the pool is.

use serde::{Deserialize, Serialize};

use crate::fleet::line::{Line, NodeIndex};
use crate::numbers::whole;

/// Sums over nodes, in whole units so that taking away undoes adding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sums {
    slot_price: i64,
    latency: i64,
    /// The eighth power of the load, in millionths.
    congestion: i64,
    /// Error shares, in millionths.
    errors: i64,
    /// Soft slots not in use, as reported.
    room: i64,
    /// Slots not in use, as reported, those above the soft ones included.
    over: i64,
    soft: i64,
}

impl Sums {
    fn of(line: &Line) -> Self {
        Self {
            slot_price: line.slot_price.into(),
            latency: line.latency.into(),
            congestion: whole(f64::from(line.load()).powi(8) * 1e6),
            errors: whole(f64::from(line.errors) * 1e6),
            room: line.soft.saturating_sub(line.used.saturating_sub(line.batch)).into(),
            over: line.hard.saturating_sub(line.used).into(),
            soft: line.soft.into(),
        }
    }

    fn add(&mut self, other: Self) {
        self.slot_price += other.slot_price;
        self.latency += other.latency;
        self.congestion += other.congestion;
        self.errors += other.errors;
        self.room += other.room;
        self.over += other.over;
        self.soft += other.soft;
    }

    fn take(&mut self, other: Self) {
        self.slot_price -= other.slot_price;
        self.latency -= other.latency;
        self.congestion -= other.congestion;
        self.errors -= other.errors;
        self.room -= other.room;
        self.over -= other.over;
        self.soft -= other.soft;
    }
}

/// Averages of a group, ready to be weighed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Means {
    /// Microdollars per slot-hour.
    pub(crate) slot_price: f32,
    /// Microseconds.
    pub(crate) latency: f32,
    /// The eighth power of the load.
    pub(crate) congestion: f32,
    /// Share of opens that failed lately.
    pub(crate) errors: f32,
}

/// Nodes of one pool that serve and stand on one side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Group {
    nodes: Vec<NodeIndex>,
    sums: Sums,
}

impl Group {
    pub(crate) fn nodes(&self) -> &[NodeIndex] {
        &self.nodes
    }

    pub(crate) fn join(&mut self, node: NodeIndex, line: &Line) {
        self.nodes.push(node);
        self.sums.add(Sums::of(line));
    }

    pub(crate) fn leave(&mut self, node: NodeIndex, line: &Line) {
        if let Some(place) = self.nodes.iter().position(|member| *member == node) {
            self.nodes.remove(place);
            self.sums.take(Sums::of(line));
        }
    }

    /// Replaces a member's figures.
    pub(crate) fn change(&mut self, before: &Line, after: &Line) {
        self.sums.take(Sums::of(before));
        self.sums.add(Sums::of(after));
    }

    /// Returns the soft slots that no stream uses, as reported.
    pub(crate) fn room(&self) -> u32 {
        u32::try_from(self.sums.room.max(0)).unwrap_or(u32::MAX)
    }

    /// Returns the soft slots of all nodes.
    pub(crate) fn soft(&self) -> u32 {
        u32::try_from(self.sums.soft.max(0)).unwrap_or(u32::MAX)
    }

    /// Returns an eighth of the nodes, as a count of slots: a pool with no more is nearly full.
    pub(crate) fn few(&self) -> u32 {
        u32::try_from(self.nodes.len() / 8).unwrap_or(u32::MAX)
    }

    /// Returns the slots that nobody uses, as reported.
    pub(crate) fn over(&self) -> u32 {
        u32::try_from(self.sums.over.max(0)).unwrap_or(u32::MAX)
    }

    pub(crate) fn means(&self) -> Means {
        let count = self.nodes.len().max(1) as f32;
        Means {
            slot_price: self.sums.slot_price as f32 / count,
            latency: self.sums.latency as f32 / count,
            congestion: self.sums.congestion as f32 / 1e6 / count,
            errors: self.sums.errors as f32 / 1e6 / count,
        }
    }
}
