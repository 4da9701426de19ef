//! The scalers that the planner is compared with. Each has one knob; what they do not say is done as the planner does it:
//! prices order the pools, nodes drain by name, the highest requirement of five minutes counts.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::config::PlannerConfig;
use super::fill::{Filled, NOTHING, Need, Offer, Rules, fill};
use super::hazard::Hazard;
use super::memory::{Clock, Highest};
use super::problem::{need, offer, summary};
use super::situation::Situation;
use super::steps::{Drains, Pace, Target};
use super::{Event, Plan, Scaler, Why};
use crate::ids::PoolName;
use crate::pool::Market;
use crate::units::{Ratio, Timestamp};

/// A scaler that others use, with its knob.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// Always the same number of slots, never on spot.
    StaticPeak {
        /// Slots.
        slots: f64,
    },
    /// As Kubernetes scales by utilisation: every 15 s, a tenth of tolerance, five minutes before it shrinks, never on spot.
    Hpa {
        /// Utilisation that it holds.
        target: Ratio,
    },
    /// A fixed share of slots in use, on any market.
    TargetTracking {
        /// That share.
        target: Ratio,
    },
    /// As `SpotHedge` (`SkyServe`) does: spot round robin over zones that do not preempt, more than needed, and on-demand for
    /// what is not ready. Slots are filled to 70 %.
    SpotHedge {
        /// Spot beyond what is needed.
        extra: Ratio,
    },
}

/// Seconds between two looks of a Kubernetes autoscaler.
const HPA_PERIOD: f64 = 15.0;
/// Utilisation that is off by less than this share changes nothing.
const HPA_TOLERANCE: f64 = 0.1;
/// Share of slots that `SpotHedge` fills.
const HEDGE_TARGET: f64 = 0.7;
/// With fewer zones that do not preempt, all are tried again.
const HEDGE_LEAST_ZONES: usize = 2;

/// A baseline at work.
#[derive(Clone, Debug, PartialEq)]
pub struct BaselineScaler {
    baseline: Baseline,
    config: PlannerConfig,
    clock: Clock,
    required: Highest,
    drains: Drains,
    /// What a Kubernetes autoscaler asked for, and when it looked.
    asked: Option<(f64, f64)>,
    /// Pools that lost or failed to start nodes.
    preempting: BTreeSet<PoolName>,
}

impl BaselineScaler {
    /// Starts a baseline; of `config` it takes the limits of providers, zone share, hold-down and the pace of draining.
    #[must_use]
    pub fn new(baseline: Baseline, config: PlannerConfig) -> Self {
        Self {
            baseline,
            config,
            clock: Clock::default(),
            required: Highest::default(),
            drains: Drains::default(),
            asked: None,
            preempting: BTreeSet::new(),
        }
    }

    /// Returns the slots to have, all pools together.
    fn slots(&mut self, situation: &Situation, at: f64) -> f64 {
        let demand = situation.demand.streams();
        match self.baseline {
            Baseline::StaticPeak { slots } => slots,
            Baseline::Hpa { target } => self.look(situation, f64::from(target.get()), at),
            Baseline::TargetTracking { target } => demand / f64::from(target.get()).max(0.01),
            Baseline::SpotHedge { .. } => demand / HEDGE_TARGET,
        }
    }

    fn look(&mut self, situation: &Situation, target: f64, at: f64) -> f64 {
        if let Some((asked, then)) = self.asked
            && at - then < HPA_PERIOD
        {
            return asked;
        }
        let ready: f64 = situation.pools.iter().map(|pool| f64::from(pool.ready()) * f64::from(pool.soft_slots)).sum();
        let demand = situation.demand.streams();
        let ratio = if ready > 0.0 { demand / ready / target.max(0.01) } else { f64::INFINITY };
        let steady = (ratio - 1.0).abs() <= HPA_TOLERANCE;
        let slots = if steady { self.asked.map_or(ready, |(asked, _)| asked) } else { demand / target.max(0.01) };
        self.asked = Some((slots, at));
        slots
    }

    fn offers(&self, situation: &Situation) -> Vec<Offer> {
        let spotless = matches!(self.baseline, Baseline::StaticPeak { .. } | Baseline::Hpa { .. });
        let mut offers: Vec<Offer> = situation.pools.iter().map(|pool| offer(pool, Hazard::default())).collect();
        for (offer, pool) in offers.iter_mut().zip(&situation.pools) {
            if spotless && pool.market == Market::Spot {
                offer.ceiling = offer.floor;
                offer.ceiling_why = Why::NotNeeded;
            }
        }
        offers
    }

    /// Fixed pools first, then spot round robin, then on-demand for what is not ready.
    fn hedge(&mut self, situation: &Situation, offers: &mut [Offer], slots: f64, extra: f64) -> Filled {
        self.try_again(situation);
        let of = |market: Market| -> Vec<usize> {
            situation
                .pools
                .iter()
                .enumerate()
                .filter(|(_, pool)| pool.market == market)
                .map(|(index, _)| index)
                .collect()
        };
        let spot = of(Market::Spot);
        let fixed: Vec<usize> = of(Market::Fixed);
        let held = fixed.iter().map(|index| offers[*index].slots * f64::from(offers[*index].ceiling)).sum::<f64>();
        let lacking = (slots - held).max(0.0);
        for (index, nodes) in spot.iter().zip(self.round_robin(situation, offers, &spot, lacking * (1.0 + extra))) {
            offers[*index].floor = nodes;
            offers[*index].ceiling = nodes;
        }
        let ready: f64 =
            spot.iter().map(|index| f64::from(situation.pools[*index].ready()) * offers[*index].slots).sum();
        let rest = [fixed, of(Market::OnDemand)].concat();
        fill(offers, &[Need { lawful: rest, slots: (slots - ready).max(0.0) }], self.rules())
    }

    fn rules(&self) -> Rules<'_> {
        Rules {
            providers: &self.config.providers,
            zone_share: f64::from(self.config.zone_share.get()),
            keep: f64::from(self.config.keep.get()),
        }
    }

    /// Returns nodes per pool of `spot`: one more for the pool with the fewest, until `slots` are there.
    fn round_robin(&self, situation: &Situation, offers: &[Offer], spot: &[usize], slots: f64) -> Vec<u32> {
        let keeps = |index: usize| self.preempting.contains(&situation.pools[index].pool);
        let mut nodes: Vec<u32> = spot.iter().map(|index| offers[*index].floor).collect();
        let mut held: f64 =
            spot.iter().zip(&nodes).map(|(index, nodes)| offers[*index].slots * f64::from(*nodes)).sum();
        while slots - held > NOTHING {
            let mut open: Vec<usize> = (0..spot.len()).collect();
            open.retain(|place| {
                let offer = &offers[spot[*place]];
                let most = if keeps(spot[*place]) { offer.standing.min(offer.ceiling) } else { offer.ceiling };
                nodes[*place] < most && self.has_room(offers, spot, &nodes, *place)
            });
            let Some(next) = open.into_iter().min_by_key(|place| nodes[*place]) else { break };
            nodes[next] += 1;
            held += offers[spot[next]].slots;
        }
        nodes
    }

    fn has_room(&self, offers: &[Offer], spot: &[usize], nodes: &[u32], place: usize) -> bool {
        let provider = offers[spot[place]].provider;
        let Some(limits) = self.config.providers.iter().find(|limits| limits.provider == provider) else { return true };
        let mine = |index: &usize| offers[*index].provider == provider;
        let taken: u32 = spot.iter().zip(nodes).filter(|(index, _)| mine(index)).map(|(_, nodes)| *nodes).sum();
        let fixed = (0..offers.len()).filter(|index| mine(index) && !spot.contains(index));
        let floors: u32 = fixed.map(|index| offers[index].floor).sum();
        let overdue: u32 = offers.iter().filter(|offer| offer.provider == provider).map(|offer| offer.overdue).sum();
        taken + floors + overdue < limits.max
    }

    fn try_again(&mut self, situation: &Situation) {
        let spot = situation.pools.iter().filter(|pool| pool.market == Market::Spot);
        if spot.filter(|pool| !self.preempting.contains(&pool.pool)).count() < HEDGE_LEAST_ZONES {
            self.preempting.clear();
        }
    }
}

impl Scaler for BaselineScaler {
    fn observe(&mut self, event: &Event, _: Timestamp) {
        let (Event::Preempted { pool } | Event::LaunchFailed { pool }) = event;
        self.preempting.insert(pool.clone());
    }

    fn plan(&mut self, situation: &Situation, now: Timestamp) -> Plan {
        self.clock.advance(now);
        let at = self.clock.at(now);
        let slots = self.slots(situation, at);
        let slots = self.required.note(slots, at, self.config.hold_down.as_secs_f64());
        let mut offers = self.offers(situation);
        let needs = [need(situation, None, slots)];
        let filled = match self.baseline {
            Baseline::SpotHedge { extra } => self.hedge(situation, &mut offers, slots, f64::from(extra.get())),
            Baseline::StaticPeak { .. } | Baseline::Hpa { .. } | Baseline::TargetTracking { .. } => {
                fill(&offers, &needs, self.rules())
            }
        };
        let target = Target {
            situation,
            offers: &offers,
            needs: &needs,
            filled: &filled,
            providers: &self.config.providers,
            at,
        };
        let pools = self.drains.steps(&target, Pace::from(&self.config));
        summary(&target, pools, self.share())
    }
}

impl BaselineScaler {
    fn share(&self) -> f64 {
        match self.baseline {
            Baseline::StaticPeak { .. } => 1.0,
            Baseline::Hpa { target } | Baseline::TargetTracking { target } => f64::from(target.get()),
            Baseline::SpotHedge { .. } => HEDGE_TARGET,
        }
    }
}
