//! Routers: who places streams. The world knows only this trait; [`Production`] runs the scheduler that real routers run.

mod production;

use std::time::Duration;

use scheduler::{Class, NodeState, Timestamp};

use crate::scenario::SlotSpec;

pub use production::Production;

/// What a router hears of a node.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Its pool's place in the fleet.
    pub pool: usize,
    /// What it is up to.
    pub state: NodeState,
    /// Its slots.
    pub slots: SlotSpec,
    /// Slots that streams use.
    pub streams: u32,
    /// Slots that chunks of files use.
    pub files: u32,
    /// Audio chunk to result, 95th percentile.
    pub latency_p95: Duration,
    /// Counts up by one per report.
    pub sequence: u64,
    /// When the node said it.
    pub at: Timestamp,
}

/// A stream that wants a slot.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// The session's place in the workload.
    pub session: u32,
    /// The tenant's number.
    pub tenant: u16,
    /// New, or moved.
    pub class: Class,
}

/// Why a node did not take a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declined {
    /// It said that it has no slot.
    Full,
    /// It did not answer.
    Silent,
}

/// One router replica: it knows what it heard and what it placed itself.
pub trait Router: Send {
    /// Takes a node's report.
    fn hear(&mut self, node: u32, heard: &Heard, now: Timestamp);

    /// Brings its view up to date, for who wants to know which nodes it steers to.
    fn look_around(&mut self, now: Timestamp);

    /// Chooses up to three nodes, best first, and promises a slot on the first.
    fn choose(&mut self, ask: &Ask, now: Timestamp) -> [Option<u32>; 3];

    /// Learns that a node took a stream.
    fn opened(&mut self, node: u32, now: Timestamp);

    /// Learns that a node declined a stream, or was not there.
    fn declined(&mut self, node: u32, why: Declined, now: Timestamp);

    /// Tells whether new streams are steered to a node.
    fn is_open(&self, node: u32) -> bool;
}

#[cfg(test)]
pub(crate) mod plain {
    //! A router for tests of the world: it knows nothing but its reports and its own promises, and takes the emptiest node.

    use std::collections::BTreeMap;

    use super::*;

    /// The router; a heedless one forgets what it promised and prefers the fullest node.
    #[derive(Default)]
    pub(crate) struct Plain {
        nodes: BTreeMap<u32, Heard>,
        promised: BTreeMap<u32, u32>,
        heedless: bool,
    }

    impl Plain {
        pub(crate) fn heedless() -> Self {
            Self { heedless: true, ..Self::default() }
        }
    }

    impl Router for Plain {
        fn hear(&mut self, node: u32, heard: &Heard, _: Timestamp) {
            self.nodes.insert(node, *heard);
            self.promised.remove(&node);
        }

        fn look_around(&mut self, _: Timestamp) {}

        fn choose(&mut self, _: &Ask, _: Timestamp) -> [Option<u32>; 3] {
            let load = |node: &u32, heard: &Heard| {
                let promised = if self.heedless { 0 } else { self.promised.get(node).copied().unwrap_or(0) };
                heard.streams + promised
            };
            let serving = self.nodes.iter().filter(|(_, heard)| heard.state == NodeState::Serving);
            let free = serving.filter(|(node, heard)| load(node, heard) < heard.slots.hard);
            let mut free: Vec<(f64, u32)> =
                free.map(|(node, heard)| (f64::from(load(node, heard)) / f64::from(heard.slots.soft), *node)).collect();
            free.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            if self.heedless {
                free.reverse();
            }
            let mut chosen = free.into_iter().map(|(_, node)| node);
            let candidates = [chosen.next(), chosen.next(), chosen.next()];
            if let Some(first) = candidates[0] {
                *self.promised.entry(first).or_default() += 1;
            }
            candidates
        }

        fn opened(&mut self, _: u32, _: Timestamp) {}

        fn declined(&mut self, _: u32, _: Declined, _: Timestamp) {}

        fn is_open(&self, _: u32) -> bool {
            true
        }
    }
}
