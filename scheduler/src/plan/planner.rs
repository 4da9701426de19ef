//! The planner: what is required, where it costs least, and how to get there.

use std::collections::BTreeSet;

use super::config::{PlannerConfig, Term};
use super::fill::{Need, Offer, Rules, fill};
use super::forecast::Seen;
use super::memory::{Held, Highest, Memory};
use super::problem::{BOOT_GRACE, need, offer, summary};
use super::situation::{PoolSupply, Situation, Zone, batch_rate};
use super::steps::{Pace, Target};
use super::{Event, Plan, Scaler, Why};
use crate::ids::PoolName;
use crate::pool::Market;
use crate::units::Timestamp;

/// A zone that loses more nodes in an hour than this is expected to lose all it has at once.
const RISKY_HAZARD: f64 = 0.3;
/// Share of a calmer zone's slots that may go at once.
const CALM_LOSS: f64 = 0.25;

/// The scaler of this project: it follows demand, at the least price that keeps room for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Planner {
    config: PlannerConfig,
    memory: Memory,
}

impl Planner {
    /// Starts knowing nothing.
    #[must_use]
    pub fn new(config: PlannerConfig) -> Self {
        Self { memory: Memory::new(&config), config }
    }

    /// Goes on with what another planner, in this process or another, had learned.
    #[must_use]
    pub fn resume(config: PlannerConfig, memory: Memory) -> Self {
        Self { config, memory }
    }

    /// Returns what it has learned.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Returns the expected preemptions per node-hour in a zone.
    #[must_use]
    pub fn hazard(&self, zone: &Zone) -> f64 {
        self.memory.hazards.get(zone).copied().unwrap_or_default().per_hour()
    }

    fn learn(&mut self, situation: &Situation, seconds: f64) {
        let Self { config, memory } = self;
        let slots = |pool: &PoolSupply| f64::from(pool.ready()) * f64::from(pool.soft_slots);
        let ready = situation.pools.iter().map(slots).sum();
        // Starts that are late because nodes went, or did not come, say nothing of how many were planned.
        if memory.back_off.is_empty() {
            memory.headroom.learn(&situation.demand, ready, seconds, config);
        } else {
            memory.headroom.pass(seconds);
        }
        let spot = situation.pools.iter().filter(|pool| pool.market == Market::Spot);
        let zones: BTreeSet<&Zone> = spot.clone().map(|pool| &pool.zone).collect();
        memory.hazards.retain(|zone, _| zones.contains(zone));
        for zone in zones {
            let mine = spot.clone().filter(|pool| pool.zone == *zone);
            let lost: u32 = mine.clone().filter_map(|pool| memory.lost.get(&pool.pool)).sum();
            let hazard = memory.hazards.entry(zone.clone()).or_default();
            hazard.pass(seconds / 3600.0, mine.map(PoolSupply::ready).sum());
            hazard.preempted(lost);
        }
        memory.lost.clear();
        let comes = |name: &PoolName| situation.pools.iter().any(|pool| pool.pool == *name && pool.booting() > 0);
        memory.suspects.retain(|pool| !comes(pool));
    }

    /// Works out what every group must hold: the highest of the last minutes.
    fn needs(&mut self, situation: &Situation, seconds: f64, at: f64) -> Vec<Need> {
        let factor = self.forecast_factor(situation, seconds, at);
        let span = self.config.hold_down.as_secs_f64();
        let target = self.memory.headroom.target();
        let rise = self.rise(situation, seconds, at);
        let mut required: Vec<(Option<BTreeSet<PoolName>>, f64)> = Vec::new();
        for group in &situation.demand.groups {
            let streams = group.streams();
            let room = streams.sqrt() * rise;
            let slots = (streams / target).max(streams + room).max(streams * factor + batch_rate(&group.batch));
            required.push((group.pools.clone(), slots));
        }
        if let Some((_, slots)) = required.iter_mut().max_by(|a, b| a.1.total_cmp(&b.1)) {
            *slots += self.spot_risk(situation, at);
        }
        self.hold(required, at, span).into_iter().map(|(pools, slots)| need(situation, pools.as_ref(), slots)).collect()
    }

    /// Returns the highest requirement of every group lately; groups that are gone come after those that are there.
    fn hold(
        &mut self,
        now: Vec<(Option<BTreeSet<PoolName>>, f64)>,
        at: f64,
        span: f64,
    ) -> Vec<(Option<BTreeSet<PoolName>>, f64)> {
        let held = &mut self.memory.held;
        let mut gone: Vec<Held> =
            held.extract_if(.., |held| !now.iter().any(|(pools, _)| *pools == held.pools)).collect();
        let mut kept = Vec::with_capacity(now.len());
        let mut result = Vec::with_capacity(now.len());
        for (pools, slots) in now {
            let known = held.iter().position(|held| held.pools == pools);
            let mut required = known.map_or_else(Highest::default, |index| held.swap_remove(index).required);
            result.push((pools.clone(), required.note(slots, at, span)));
            kept.push(Held { pools, required });
        }
        for mut old in gone.drain(..) {
            let slots = old.required.note(0.0, at, span);
            if slots > 0.0 {
                result.push((old.pools.clone(), slots));
                kept.push(old);
            }
        }
        self.memory.held = kept;
        result
    }

    /// Returns how far demand is to be expected to rise while a node boots, in its square roots.
    fn rise(&mut self, situation: &Situation, seconds: f64, at: f64) -> f64 {
        let boots = situation.pools.iter().filter(|pool| pool.limits.is_some()).map(|pool| pool.boot);
        let horizon = boots.max().unwrap_or_default() + BOOT_GRACE;
        self.memory.rises.learn(situation.demand.streams(), (at, seconds), horizon.as_secs_f64());
        self.memory.rises.quantile(f64::from(self.config.rise_share.get()))
    }

    /// Returns by what the streams of every group are multiplied to be those expected when a node could be there.
    fn forecast_factor(&mut self, situation: &Situation, seconds: f64, at: f64) -> f64 {
        let demand = situation.demand.streams();
        match self.config.forecast {
            Term::Off => 1.0,
            Term::On if demand <= 0.0 => 1.0,
            Term::On => {
                let boot = situation.pools.iter().map(|pool| pool.boot).max().unwrap_or_default();
                let horizon = (boot + BOOT_GRACE).as_secs_f64();
                let (arrivals, slow_starts) = (situation.demand.arrivals, situation.demand.slow_starts);
                self.memory.forecast.foretell(Seen { demand, arrivals, slow_starts, seconds, at }, horizon) / demand
            }
        }
    }

    /// Returns the slots of the zone that would be missed most, beyond what can be booted within its notice.
    fn spot_risk(&self, situation: &Situation, at: f64) -> f64 {
        match self.config.spot_risk {
            Term::Off => 0.0,
            Term::On => situation.pools.iter().map(|pool| self.zone_risk(situation, pool, at)).fold(0.0, f64::max),
        }
    }

    fn zone_risk(&self, situation: &Situation, pool: &PoolSupply, at: f64) -> f64 {
        if pool.market != Market::Spot || pool.notice >= pool.boot {
            return 0.0;
        }
        let same = situation.pools.iter().filter(|other| other.market == Market::Spot && other.zone == pool.zone);
        let slots: f64 = same.map(|other| f64::from(other.ready()) * f64::from(other.soft_slots)).sum();
        let lost_lately = self.is_backing_off(&pool.pool, at);
        slots * if lost_lately || self.hazard(&pool.zone) > RISKY_HAZARD { 1.0 } else { CALM_LOSS }
    }

    fn is_backing_off(&self, pool: &PoolName, at: f64) -> bool {
        self.memory.back_off.get(pool).is_some_and(|until| at < *until)
    }

    fn offer(&mut self, pool: &PoolSupply, at: f64) -> Offer {
        let mut offer = offer(pool, self.memory.hazards.get(&pool.zone).copied().unwrap_or_default());
        let Some(limits) = pool.limits else { return offer };
        if let Some(nodes) = self.trigger(pool, at) {
            (offer.hoped, offer.hoped_why) = (nodes, Why::Trigger);
        } else if !self.memory.started {
            (offer.hoped, offer.hoped_why) = (limits.desired, Why::Start);
        }
        if self.is_backing_off(&pool.pool, at) {
            offer.hold_back(0, Why::BackOff);
        } else if self.memory.suspects.contains(&pool.pool) {
            offer.hold_back(1, Why::Suspect);
        }
        offer
    }

    /// Returns the nodes that `grow_when` asks for: one more than are ready while it is exceeded, held like everything.
    fn trigger(&mut self, pool: &PoolSupply, at: f64) -> Option<u32> {
        let exceeded = pool.signals.gpu.is_some_and(|gpu| gpu > pool.grow_when.gpu)
            || pool.signals.cpu.is_some_and(|cpu| cpu > pool.grow_when.cpu)
            || pool.signals.queue > pool.grow_when.queue;
        let triggered = &mut self.memory.triggered;
        triggered.retain(|_, (_, until)| at < *until);
        let held = triggered.get(&pool.pool).map(|(nodes, _)| *nodes);
        if exceeded {
            let nodes = (pool.ready() + 1).max(held.unwrap_or(0));
            triggered.insert(pool.pool.clone(), (nodes, at + self.config.hold_down.as_secs_f64()));
            return Some(nodes);
        }
        held
    }
}

impl Scaler for Planner {
    fn observe(&mut self, event: &Event, now: Timestamp) {
        let at = self.memory.clock.at(now);
        let (pool, wait) = match event {
            Event::Preempted { pool } => (pool, self.config.preempted_back_off),
            Event::LaunchFailed { pool } => (pool, self.config.launch_back_off),
        };
        let until = self.memory.back_off.entry(pool.clone()).or_default();
        *until = until.max(at + wait.as_secs_f64());
        match event {
            Event::Preempted { pool } => *self.memory.lost.entry(pool.clone()).or_default() += 1,
            Event::LaunchFailed { pool } => {
                self.memory.suspects.insert(pool.clone());
            }
        }
    }

    fn plan(&mut self, situation: &Situation, now: Timestamp) -> Plan {
        let seconds = self.memory.clock.advance(now);
        let at = self.memory.clock.at(now);
        self.memory.back_off.retain(|_, until| at < *until);
        self.learn(situation, seconds);
        let needs = self.needs(situation, seconds, at);
        let offers: Vec<Offer> = situation.pools.iter().map(|pool| self.offer(pool, at)).collect();
        self.memory.started = true;
        let rules = Rules {
            providers: &self.config.providers,
            zone_share: f64::from(self.config.zone_share.get()),
            keep: f64::from(self.config.keep.get()),
        };
        let filled = fill(&offers, &needs, rules);
        let target = Target {
            situation,
            offers: &offers,
            needs: &needs,
            filled: &filled,
            providers: &self.config.providers,
            at,
        };
        let pools = self.memory.drains.steps(&target, Pace::from(&self.config));
        summary(&target, pools, self.memory.headroom.target())
    }
}
