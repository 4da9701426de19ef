//! Records: everything that a decision depended on, so that it can be made again, bit for bit. A fleet is recorded once and
//! named by its version; a decision carries what changed since: the promises, and whose turn it was.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::decide::{Decision, decide};
use crate::dice::Dice;
use crate::fleet::{Capacity, FleetView, Line, PoolIndex, PoolLine, Promised, Side};
use crate::ids::ModelName;
use crate::policy::{Policy, PolicyHash};
use crate::pool::Pool;
use crate::report::Report;
use crate::request::Request;
use crate::units::Timestamp;

/// A fleet, as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FleetSnapshot {
    version: u64,
    others: u32,
    capacity: Capacity,
    kept: f32,
    models: Vec<ModelName>,
    pools: Vec<Pool>,
    pool_lines: Vec<PoolLine>,
    reports: Vec<Option<Arc<Report>>>,
    lines: Vec<Line>,
    promised: Vec<u64>,
    pool_counts: PoolCounts,
    left: [Vec<u32>; 2],
    turn: u32,
}

/// Promises since the last tick, by side and pool.
type PoolCounts = [Vec<u32>; 2];

fn pool_counts(view: &FleetView) -> PoolCounts {
    let counts = |side| PoolIndex::all(view.pools.len()).map(|pool| view.promises.since_tick(pool, side)).collect();
    [counts(Side::Open), counts(Side::Closed)]
}

fn set_pool_counts(view: &FleetView, [open, closed]: &PoolCounts) {
    for (side, counts) in [(Side::Open, open), (Side::Closed, closed)] {
        PoolIndex::all(counts.len())
            .zip(counts)
            .for_each(|(pool, count)| view.promises.set_since_tick(pool, side, *count));
    }
    view.count_spent();
}

impl FleetSnapshot {
    /// Returns the version of the fleet; records of decisions name it.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns a view to decide on, with promises of its own.
    #[must_use]
    pub fn view(&self) -> FleetView {
        FleetView::restored(self)
    }
}

/// One decision, with everything that it depended on beside the fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// When it was made, on the clock of the process that made it.
    pub at: Timestamp,
    /// What was asked.
    pub request: Request,
    /// The fleet that it was made on.
    pub fleet_version: u64,
    /// Nodes whose promises differ from the fleet's record, with what was promised there.
    pub in_flight: Vec<InFlight>,
    /// Promises since the last tick, on open nodes and on closed ones, by pool.
    pub since_tick: [Vec<u32>; 2],
    /// Promises made in all, round and round.
    pub turn: u32,
    /// The seed of the dice.
    pub seed: u64,
    /// The policy that it was made by.
    pub policy: PolicyHash,
    /// What came of it.
    pub decision: Decision,
}

/// What is promised on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    node: u32,
    promised: u64,
}

/// Says why a decision cannot be made again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotReplay {
    /// The record belongs to another fleet.
    #[error("the decision was made on fleet version {wanted}, this is version {given}")]
    OtherFleet {
        /// The version that the record names.
        wanted: u64,
        /// The version at hand.
        given: u64,
    },
}

impl DecisionRecord {
    /// Decides on a frozen view and records it. `fleet` is the record of the same version.
    #[must_use]
    pub fn make(
        fleet: &FleetSnapshot,
        view: &FleetView,
        request: &Request,
        policy: &Policy,
        (at, seed): (Timestamp, u64),
    ) -> Self {
        let view = view.frozen();
        let choice = decide(&view, request, policy, at, &mut Dice::new(seed));
        let words = (0..view.lines.len()).map(|place| view.promises.on(place).0);
        let recorded = fleet.promised.iter().copied().chain(std::iter::repeat(0));
        let differing = (0..).zip(words.zip(recorded)).filter(|(_, (now, then))| now != then);
        Self {
            at,
            request: request.clone(),
            fleet_version: view.version(),
            in_flight: differing.map(|(node, (promised, _))| InFlight { node, promised }).collect(),
            since_tick: pool_counts(&view),
            turn: view.promises.turn(),
            seed,
            policy: policy.hash(),
            decision: view.decision(&choice, request, Vec::new()),
        }
    }

    /// Makes the decision again, by the same policy or by another one.
    ///
    /// # Errors
    /// Fails when `fleet` is not the one that the decision was made on.
    pub fn replay(&self, fleet: &FleetSnapshot, policy: &Policy) -> Result<Decision, CannotReplay> {
        if fleet.version != self.fleet_version {
            return Err(CannotReplay::OtherFleet { wanted: self.fleet_version, given: fleet.version });
        }
        let view = fleet.view();
        for InFlight { node, promised } in &self.in_flight {
            view.promises.set(*node as usize, Promised(*promised));
        }
        set_pool_counts(&view, &self.since_tick);
        view.promises.set_turn(self.turn);
        let policy = policy.on(&view.pools);
        let choice = decide(&view, &self.request, &policy, self.at, &mut Dice::new(self.seed));
        Ok(view.decision(&choice, &self.request, Vec::new()))
    }
}

impl FleetView {
    /// Returns the fleet as data.
    #[must_use]
    pub fn record(&self) -> FleetSnapshot {
        FleetSnapshot {
            version: self.version,
            others: self.others,
            capacity: self.capacity,
            kept: self.kept,
            models: self.maps.models().to_vec(),
            pools: self.pools.to_vec(),
            pool_lines: self.pool_lines.clone(),
            reports: self.reports.clone(),
            lines: self.lines.clone(),
            promised: (0..self.lines.len()).map(|place| self.promises.on(place).0).collect(),
            pool_counts: pool_counts(self),
            left: [&self.open, &self.closed].map(|table| table.left[..self.pools.len()].to_vec()),
            turn: self.promises.turn(),
        }
    }

    fn restored(snapshot: &FleetSnapshot) -> Self {
        let mut view = Self::new(snapshot.pools.clone());
        view.version = snapshot.version;
        view.others = snapshot.others;
        view.capacity = snapshot.capacity;
        view.kept = snapshot.kept;
        view.pool_lines.clone_from(&snapshot.pool_lines);
        view.lines.clone_from(&snapshot.lines);
        view.reports.clone_from(&snapshot.reports);
        view.relearn(&snapshot.models);
        if let Some(last) = snapshot.lines.len().checked_sub(1) {
            view.promises.make_room(last);
        }
        for (place, promised) in snapshot.promised.iter().enumerate() {
            view.promises.set(place, Promised(*promised));
        }
        for (table, left) in [&mut view.open, &mut view.closed].into_iter().zip(&snapshot.left) {
            table.left.iter_mut().zip(left).for_each(|(place, left)| *place = *left);
        }
        set_pool_counts(&view, &snapshot.pool_counts);
        view.promises.set_turn(snapshot.turn);
        view
    }
}

#[cfg(test)]
mod tests;
