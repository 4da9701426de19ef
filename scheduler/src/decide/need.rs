//! A request against one view: words turned into numbers once, so that looking at a node is a handful of comparisons.

use std::time::Duration;

use crate::allowed::AllowedSet;
use crate::decide::{Pick, Seat};
use crate::filter::SUSPECT_AFTER;
use crate::fleet::{Bit, Capacity, FleetView, Gate, Line, NodeIndex, PoolIndex, Promised, Side, Standing, Telemetry};
use crate::numbers::count;
use crate::policy::Policy;
use crate::request::{Priority, Request};
use crate::score::Site;
use crate::units::{MicroDollars, Timestamp};

/// Which slots of a node are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seats {
    /// Soft ones.
    Soft,
    /// Soft ones, but for those that streams are about to need.
    Spare,
    /// All that the node has.
    Hard,
}

/// How hard is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// A few nodes of pools that likely have room, and none that others may have filled meanwhile.
    Quick,
    /// Every node, by what is known of it.
    Thorough,
}

/// One round of a decision: where is looked, and for what. What an earlier round finds is preferred to everything later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) side: Side,
    pub(crate) seats: Seats,
    pub(crate) care: Care,
}

const fn quick(side: Side, seats: Seats) -> Round {
    Round { side, seats, care: Care::Quick }
}

const fn thorough(side: Side, seats: Seats) -> Round {
    Round { side, seats, care: Care::Thorough }
}

const STREAMS: [Round; 8] = [
    quick(Side::Open, Seats::Soft),
    quick(Side::Closed, Seats::Soft),
    thorough(Side::Open, Seats::Soft),
    thorough(Side::Closed, Seats::Soft),
    quick(Side::Open, Seats::Hard),
    quick(Side::Closed, Seats::Hard),
    thorough(Side::Open, Seats::Hard),
    thorough(Side::Closed, Seats::Hard),
];
/// Those of [`STREAMS`] that look for soft slots.
const SOFT_ROUNDS: usize = 4;
/// Batch yields its slot to any stream that needs it, so it may have every soft slot that is free: where streams will hardly
/// come first, and then wherever one is left, for a small fleet has no slot that streams might not come for.
const BATCH: [Round; 3] =
    [quick(Side::Closed, Seats::Soft), quick(Side::Open, Seats::Spare), thorough(Side::Open, Seats::Soft)];

/// What keeps a node from serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Its slots, and nothing else.
    Full,
    Otherwise,
}

/// A node that may serve.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fit {
    pub(crate) node: NodeIndex,
    pub(crate) seat: Seat,
    /// Slots in use, as far as they count for this request.
    pub(crate) used: u32,
    /// `used` over soft slots.
    pub(crate) load: f32,
}

/// A pool that is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) site: Site,
    pub(crate) usual_load: f32,
    /// Reports of this age say nothing any more.
    pub(crate) patience: Duration,
    /// Its breaker lets one session through at a time, to see whether the pool is back.
    probed: bool,
}

/// How far is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// To the last slot that a node has.
    Whole,
    /// To the soft slots: what comes next is better than more.
    Soft,
}

/// A request against one view.
#[derive(Clone)]
pub(crate) struct Need<'a> {
    pub(crate) view: &'a FleetView,
    pub(crate) request: &'a Request,
    pub(crate) policy: &'a Policy,
    pub(crate) now: Timestamp,
    allowed: AllowedSet<'a>,
    reach: Reach,
    model: u64,
    model_bit: Bit,
    gigabytes: f64,
    latency_limit: u64,
    exclude: Vec<NodeIndex>,
}

impl<'a> Need<'a> {
    /// Turns a request into numbers. The allowed set comes first: nothing here can look at a pool that is not in it.
    pub(crate) fn new(allowed: AllowedSet<'a>, request: &'a Request, policy: &'a Policy, now: Timestamp) -> Self {
        let view = allowed.view();
        let (model, model_bit) = view.maps.model(&request.model).unwrap_or((0, Bit::Own));
        Self {
            view,
            request,
            policy,
            now,
            allowed,
            reach: Reach::Whole,
            model,
            model_bit,
            gigabytes: request.gigabytes_per_hour(),
            latency_limit: u64::try_from(request.latency_limit.as_micros()).unwrap_or(u64::MAX),
            exclude: request.exclude.iter().filter_map(|name| view.index_of(name)).collect(),
        }
    }

    pub(crate) fn allowed(&self) -> &AllowedSet<'a> {
        &self.allowed
    }

    /// Looks in other pools.
    pub(crate) fn within(&self, allowed: AllowedSet<'a>) -> Self {
        Self { allowed, ..self.clone() }
    }

    /// Looks for soft slots in one pool.
    pub(crate) fn softly_in(&self, pool: PoolIndex) -> Self {
        Self { allowed: self.allowed.only(pool), reach: Reach::Soft, ..self.clone() }
    }

    /// Returns where to look, in order.
    pub(crate) fn rounds(&self) -> &'static [Round] {
        match (self.request.priority, self.view.capacity, self.reach) {
            (Priority::Live | Priority::Interactive, _, Reach::Whole) => &STREAMS,
            (Priority::Live | Priority::Interactive, _, Reach::Soft) => &STREAMS[..SOFT_ROUNDS],
            (Priority::Batch, Capacity::Enough, _) => &BATCH,
            (Priority::Batch, Capacity::Short, _) => &[],
        }
    }

    /// Returns the pools worth looking at in a round: allowed, with the model, with a slot, not shunned.
    pub(crate) fn pools(&self, round: Round) -> u64 {
        let table = self.view.table(round.side);
        let slots = match round.seats {
            Seats::Soft | Seats::Spare => table.room,
            Seats::Hard => table.over,
        };
        let spent = match (round.care, round.seats) {
            (Care::Quick, Seats::Soft) => self.view.promises.spent(round.side),
            (Care::Quick, Seats::Spare | Seats::Hard) | (Care::Thorough, _) => 0,
        };
        self.allowed.bits() & slots & self.view.serving(self.model) & !spent
    }

    /// Tells whether one of the pools of a round likely still has what it looks for.
    pub(crate) fn promising(&self, pool: PoolIndex, round: Round) -> bool {
        match (round.care, round.seats) {
            (Care::Quick, Seats::Spare) => self.view.has_room_to_spare(pool, round.side),
            (Care::Quick, Seats::Soft | Seats::Hard) | (Care::Thorough, _) => true,
        }
    }

    /// Returns a pool's part of the comparisons; nothing while its breaker lets nobody through.
    pub(crate) fn place(&self, pool: PoolIndex) -> Option<Place> {
        let line = &self.view.pool_lines[pool.get()];
        let probed = match line.gate {
            Gate::Open => false,
            Gate::Shut { until } if self.now < until => return None,
            Gate::Shut { .. } => true,
        };
        let patience = match line.telemetry {
            Telemetry::Flowing => SUSPECT_AFTER,
            Telemetry::Frozen => Duration::MAX,
        };
        let site = Site::new(line, &self.view.pools[pool.get()], self.gigabytes);
        Some(Place { site, usual_load: line.usual_load, patience, probed })
    }

    /// Reads something of a node, so that the rest is near when it is looked at.
    pub(crate) fn glance(&self, node: NodeIndex) -> (u16, bool) {
        let promised = self.view.promises.on(node.get());
        (self.view.lines[node.get()].used, promised == Promised::default())
    }

    /// Looks at one node.
    pub(crate) fn fit(&self, place: &Place, node: NodeIndex, seats: Seats, care: Care) -> Result<Fit, Unfit> {
        let line = &self.view.lines[node.get()];
        if !self.suits(place, node, line) {
            return Err(Unfit::Otherwise);
        }
        let promised = self.view.promises.on(node.get());
        if place.probed && promised.count(self.now) > 0 {
            return Err(Unfit::Otherwise);
        }
        let likely = line.used_likely(promised, self.view.others, self.now);
        let all = match care {
            Care::Quick => likely,
            Care::Thorough => line.used_estimate(promised, self.view.others, self.now),
        };
        let yielding = self.request.priority.yielding(line);
        let used = all.saturating_sub(yielding);
        let slow_start = self.policy.limits.slow_start;
        let soft = line.lent(line.soft, slow_start, self.now);
        let hard = line.lent(line.hard, slow_start, self.now);
        let (slots, seat) = match seats {
            Seats::Soft if all >= soft => (soft, Seat::Yielded),
            Seats::Soft => (soft, Seat::Free),
            Seats::Spare => (soft.saturating_sub(count((soft as f32 * self.view.kept).ceil())), Seat::Free),
            Seats::Hard => (hard, Seat::Over),
        };
        if used >= slots {
            return Err(Unfit::Full);
        }
        let used = likely.saturating_sub(yielding);
        Ok(Fit { node, seat, used, load: used as f32 / f32::from(line.soft.max(1)) })
    }

    /// Everything but slots.
    fn suits(&self, place: &Place, node: NodeIndex, line: &Line) -> bool {
        line.standing == Standing::Serving
            && self.now.since(line.reported_at) < place.patience
            && line.models & self.model != 0
            && line.api.hears(self.request.work)
            && place.site.round_trip + u64::from(line.latency) <= self.latency_limit
            && !self.exclude.contains(&node)
            && self.request.max_cost.is_none_or(|limit| self.price(place, node) <= limit)
            && self.has_model(node)
    }

    /// Models after the first 63 share a bit, so the report is asked.
    fn has_model(&self, node: NodeIndex) -> bool {
        match self.model_bit {
            Bit::Own => true,
            Bit::Shared => {
                let report = &self.view.reports[node.get()];
                report.as_ref().is_some_and(|report| report.models.contains(&self.request.model))
            }
        }
    }

    /// Returns the gigabytes that an hour of the session sends.
    pub(crate) fn gigabytes(&self) -> f64 {
        self.gigabytes
    }

    /// Returns which of a node's slots batch may use.
    pub(crate) fn batch_seats(&self, node: NodeIndex) -> Seats {
        match self.view.lines[node.get()].side {
            Side::Open => Seats::Spare,
            Side::Closed => Seats::Soft,
        }
    }

    /// Returns what a session-hour on a node is charged.
    pub(crate) fn price(&self, place: &Place, node: NodeIndex) -> MicroDollars {
        MicroDollars(self.view.lines[node.get()].slot_price.into()) + place.site.egress
    }

    /// Scores a node that fits.
    pub(crate) fn pick(&self, place: &Place, fit: Fit) -> Pick {
        let line = &self.view.lines[fit.node.get()];
        let terms = place.site.terms(line, fit.used, &self.policy.scoring, self.now);
        Pick { node: fit.node, seat: fit.seat, terms }
    }
}
