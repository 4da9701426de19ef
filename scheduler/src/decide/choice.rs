//! What comes of a decision: numbers first, for those who are in a hurry, and then names, for those who ask.

use serde::{Deserialize, Serialize};

use crate::engine::EngineApi;
use crate::filter::Rejected;
use crate::fleet::NodeIndex;
use crate::ids::{ModelName, NodeId, PoolName};
use crate::score::ScoreTerms;

/// What kind of slot a session gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seat {
    /// A soft slot that nobody uses.
    Free,
    /// A soft slot that a batch chunk uses: its lease is to be revoked.
    Yielded,
    /// A slot above the soft ones: no soft one is free anywhere, and the node is a little slower than it promises.
    Over,
}

/// One node of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pick {
    /// The node, in the view that was decided on.
    pub node: NodeIndex,
    /// What kind of slot it is.
    pub seat: Seat,
    /// What it would cost, term by term.
    pub terms: ScoreTerms,
}

impl Pick {
    const NONE: Self = Self {
        node: NodeIndex(u32::MAX),
        seat: Seat::Free,
        terms: ScoreTerms {
            gpu: crate::MicroDollars::ZERO,
            egress: crate::MicroDollars::ZERO,
            latency: crate::MicroDollars::ZERO,
            risk: crate::MicroDollars::ZERO,
            congestion: crate::MicroDollars::ZERO,
            errors: crate::MicroDollars::ZERO,
        },
    };
}

/// Why a session gets no node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No pool may serve this request, whatever its load: asking again is pointless.
    NotAllowed,
    /// Live nodes could serve this request and every one of them is full: one freed slot is enough.
    Full,
    /// Pools may serve this request, and no live node of theirs can: silent, draining, other model, too far or too dear.
    NoLiveNode,
    /// Every node that has the model hears files only, and a stream was asked for.
    FilesOnly,
}

/// Up to three nodes in order of preference, by number, or a refusal. It owns nothing on the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    picks: [Pick; Self::MOST],
    count: usize,
    refusal: Option<Refusal>,
}

impl Choice {
    /// Nodes offered at most.
    pub const MOST: usize = 3;

    pub(crate) fn none() -> Self {
        Self { picks: [Pick::NONE; Self::MOST], count: 0, refusal: None }
    }

    /// Returns a refusal.
    #[must_use]
    pub fn refused(refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), ..Self::none() }
    }

    /// Returns the nodes, best first; none when refused.
    #[must_use]
    pub fn picks(&self) -> &[Pick] {
        &self.picks[..self.count]
    }

    /// Returns the best node.
    #[must_use]
    pub fn best(&self) -> Option<&Pick> {
        self.picks().first()
    }

    /// Returns why there is no node; absent when there is one.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    pub(crate) fn push(&mut self, pick: Pick) {
        if let Some(place) = self.picks.get_mut(self.count) {
            *place = pick;
            self.count += 1;
        }
    }

    /// Puts a node first, wherever it was before; the last one falls off when there is no room.
    pub(crate) fn put_first(&mut self, pick: Pick) {
        let place = self.picks().iter().position(|known| known.node == pick.node);
        let moved = place.unwrap_or_else(|| {
            self.count = (self.count + 1).min(Self::MOST);
            self.count - 1
        });
        self.picks.copy_within(..moved, 1);
        self.picks[0] = pick;
    }
}

/// One node offered to a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The node.
    pub node: NodeId,
    /// Its pool.
    pub pool: PoolName,
    /// `host:port` of its engine.
    pub address: String,
    /// What it would cost, term by term.
    pub terms: ScoreTerms,
    /// Which API its engine speaks.
    pub api: EngineApi,
    /// What its engine calls the model, where that is another name.
    pub engine_model: Option<ModelName>,
}

/// Placements in order of preference, or a refusal; and the reasons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Up to three nodes, best first: two of the best pool and one of the next.
    pub placements: Vec<Placement>,
    /// Why there is none; absent when there is one.
    pub refusal: Option<Refusal>,
    /// Why other nodes were not considered, grouped by pool and reason: every node is counted here or could have served.
    /// Empty where nobody asked.
    pub rejected: Vec<Rejected>,
    /// The fleet's version that this was decided on.
    pub fleet_version: u64,
    /// What kind of slot the first placement is.
    #[serde(default)]
    pub seat: Option<Seat>,
}
