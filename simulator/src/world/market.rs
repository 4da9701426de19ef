//! The market: nodes are launched, boot, are paid for, and go: because nobody wants them, because the provider does, or
//! because something broke.

use std::time::Duration;

use rand::Rng;
use rand_distr::{Distribution, Exp};
use scheduler::plan::Event as Observed;
use scheduler::{Market, Timestamp};

use super::agenda::Event;
use super::nodes::{Node, Phase};
use super::streams::Warning;
use super::{NodeNumber, World};
use crate::scenario::Failure;

/// No node is paid for less than this.
const LEAST_PAID: Duration = Duration::from_secs(60);
/// Warning before a zone is lost.
const ZONE_NOTICE: Duration = Duration::from_secs(120);

impl World<'_> {
    /// Starts what is committed, and arranges what the spot markets will do.
    pub(super) fn arrange_market(&mut self) {
        for pool in 0..self.case.fleet.pools.len() {
            for _ in 0..self.case.fleet.pools[pool].nodes.min {
                if let Some(node) = self.add_node(pool) {
                    self.ready(node);
                }
            }
            if self.case.fleet.pools[pool].market == Market::Spot {
                self.arrange_spot(pool);
            }
        }
        self.update_price();
    }

    fn arrange_spot(&mut self, pool: usize) {
        let notice = self.case.fleet.pools[pool].notice;
        for pair in self.trial.capacity[pool].steps().windows(2) {
            let ((_, before), (at, level)) = (pair[0], pair[1]);
            if level < before {
                self.agenda.at(at - notice, Event::SpotNotice(pool, level));
                self.agenda.at(at, Event::SpotDrop(pool, level));
            }
        }
    }

    /// Arranges the scenario's failures.
    pub(super) fn arrange_failures(&mut self) {
        for (index, failure) in self.case.failures.iter().enumerate() {
            match failure {
                Failure::ZoneLoss { span, .. } => {
                    self.agenda.at(Timestamp::at(span.at) - ZONE_NOTICE, Event::ZoneNotice(index));
                    self.agenda.at(Timestamp::at(span.at), Event::Outage(index));
                }
                Failure::ProviderLoss { span, .. } => self.agenda.at(Timestamp::at(span.at), Event::Outage(index)),
                Failure::Gray { span, .. } => {
                    self.agenda.at(Timestamp::at(span.at), Event::Gray(index));
                    self.agenda.at(Timestamp::at(span.at) + span.lasts, Event::Gray(index));
                }
                Failure::Crashes(_)
                | Failure::TelemetryLoss(_)
                | Failure::LaunchFailures(_)
                | Failure::RouterPartition(_)
                | Failure::SpotPrice(_) => {}
            }
        }
    }

    /// Orders a node; tells the scaler when there is none to be had.
    pub(super) fn launch(&mut self, pool: usize) {
        if self.can_launch(pool)
            && let Some(node) = self.add_node(pool)
        {
            self.agenda.at(self.now + self.case.fleet.pools[pool].boot, Event::Ready(node));
            self.record.launches += 1;
            self.update_price();
        } else {
            let failed = Observed::LaunchFailed { pool: self.case.fleet.pools[pool].name.clone() };
            self.scaler.observe(&failed, self.now);
        }
    }

    fn can_launch(&mut self, pool: usize) -> bool {
        let spec = &self.case.fleet.pools[pool];
        let counts = &self.nodes.level().nodes;
        let ours = self.case.fleet.pools.iter().zip(counts).filter(|(other, _)| other.provider == spec.provider);
        let of_provider: u32 = ours.map(|(_, count)| count).sum();
        let room = counts[pool] < spec.nodes.max.min(self.trial.capacity[pool].at(self.now))
            && of_provider < self.case.provider_limits(spec.provider).max;
        room && !self.is_lost(pool) && !self.dice_fail_launch()
    }

    fn dice_fail_launch(&mut self) -> bool {
        let share: f64 = self.case.failures.iter().map(launch_failures).fold(0.0, f64::max);
        share > 0.0 && self.dice.random::<f64>() < share
    }

    /// Tells whether a zone or provider is lost at this moment.
    fn is_lost(&self, pool: usize) -> bool {
        let now = self.now;
        self.case
            .failures
            .iter()
            .any(|failure| self.hits(failure, pool) && span(failure).is_some_and(|span| span.covers(now)))
    }

    /// Tells whether a loss concerns a pool.
    fn hits(&self, failure: &Failure, pool: usize) -> bool {
        let spec = &self.case.fleet.pools[pool];
        match failure {
            Failure::ZoneLoss { zone, .. } => *zone == spec.zone,
            Failure::ProviderLoss { provider, .. } => *provider == spec.provider,
            Failure::Crashes(_)
            | Failure::Gray { .. }
            | Failure::TelemetryLoss(_)
            | Failure::LaunchFailures(_)
            | Failure::RouterPartition(_)
            | Failure::SpotPrice(_) => false,
        }
    }

    /// Adds a node that boots, named after its pool; there is none when that name would be too long.
    fn add_node(&mut self, pool: usize) -> Option<NodeNumber> {
        let name = format!("{}-{}", self.case.fleet.pools[pool].name, self.names.len());
        let id: scheduler::NodeId = name.parse().ok()?;
        let node = self.nodes.add(Node {
            id: id.clone(),
            pool,
            phase: Phase::Booting,
            launched: self.now,
            streams: Vec::new(),
            files: 0,
            slowness: 1.0,
            sequence: 0,
        });
        self.names.insert(id, node);
        let per_hour: f64 = self.case.failures.iter().map(crashes).sum();
        if let Ok(law) = Exp::new(per_hour / 3600.0)
            && per_hour > 0.0
        {
            let after: f64 = law.sample(&mut self.dice);
            self.agenda.at(self.now + Duration::from_secs_f64(after), Event::Crash(node));
        }
        Some(node)
    }

    pub(super) fn ready(&mut self, node: NodeNumber) {
        if self.nodes.get(node).phase == Phase::Booting {
            self.nodes.serve(node);
            self.send(node);
        }
    }

    /// Ends a node: it is paid for until now.
    pub(super) fn settle(&mut self, node: NodeNumber) {
        let spec = &self.case.fleet.pools[self.nodes.get(node).pool];
        let paid = self.now.since(self.nodes.get(node).launched).max(LEAST_PAID);
        self.record.node_dollars += spec.dollars_per_hour() * paid.as_secs_f64() / 3600.0;
        self.nodes.remove(node);
        self.update_price();
    }

    /// Takes a node away, with the streams that are still on it.
    fn end_node(&mut self, node: NodeNumber, warning: Warning) {
        if self.nodes.get(node).phase == Phase::Gone {
            return;
        }
        self.nodes.get_mut(node).phase = match self.nodes.get(node).phase {
            Phase::Booting => Phase::Booting,
            Phase::Serving | Phase::Draining | Phase::Clearing | Phase::Noticed(_) => Phase::Draining,
            Phase::Gone => Phase::Gone,
        };
        self.lose_streams(node, warning);
        self.settle(node);
    }

    pub(super) fn kill(&mut self, node: NodeNumber) {
        self.end_node(node, Warning::Given);
    }

    pub(super) fn crash(&mut self, node: NodeNumber) {
        self.end_node(node, Warning::None);
    }

    fn notice(&mut self, node: NodeNumber, end: Timestamp) {
        let pool = self.nodes.get(node).pool;
        if self.nodes.get(node).phase != Phase::Booting {
            self.nodes.set_files(node, 0);
            self.nodes.get_mut(node).phase = Phase::Noticed(end);
            self.send(node);
        }
        self.agenda.at(end, Event::Kill(node));
        self.scaler.observe(&Observed::Preempted { pool: self.case.fleet.pools[pool].name.clone() }, self.now);
        self.agenda.at(self.now, Event::PlanAtOnce);
    }

    /// Gives notice to as many nodes as will be too many.
    pub(super) fn spot_notice(&mut self, pool: usize, level: u32) {
        let end = self.now + self.case.fleet.pools[pool].notice;
        let staying = |node: &&NodeNumber| !matches!(self.nodes.get(**node).phase, Phase::Noticed(_));
        let nodes = self.nodes_of(pool);
        let staying: Vec<NodeNumber> = nodes.iter().filter(staying).copied().collect();
        let too_many = staying.len().saturating_sub(level as usize);
        for node in staying.into_iter().take(too_many) {
            self.notice(node, end);
        }
    }

    /// Takes away what is still too much; those with a notice first.
    pub(super) fn spot_drop(&mut self, pool: usize, level: u32) {
        let mut nodes = self.nodes_of(pool);
        nodes.sort_by_key(|node| !matches!(self.nodes.get(*node).phase, Phase::Noticed(_)));
        let too_many = nodes.len().saturating_sub(level as usize);
        for node in nodes.into_iter().take(too_many) {
            let warned = matches!(self.nodes.get(node).phase, Phase::Noticed(_));
            if !warned {
                let taken = Observed::Preempted { pool: self.case.fleet.pools[pool].name.clone() };
                self.scaler.observe(&taken, self.now);
                self.agenda.at(self.now, Event::PlanAtOnce);
            }
            self.record.preempted += 1;
            self.end_node(node, if warned { Warning::Given } else { Warning::None });
        }
    }

    /// Returns a pool's nodes in an order that only the seed knows.
    fn nodes_of(&self, pool: usize) -> Vec<NodeNumber> {
        let live = self.nodes.live().iter().copied();
        let mut nodes: Vec<NodeNumber> = live.filter(|node| self.nodes.get(*node).pool == pool).collect();
        nodes.sort_by_key(|node| crate::workload::mix(self.trial.seed, u64::from(*node)));
        nodes
    }

    pub(super) fn zone_notice(&mut self, failure: usize) {
        for node in self.nodes.live().to_vec() {
            if self.hits(&self.case.failures[failure], self.nodes.get(node).pool) {
                self.notice(node, self.now + ZONE_NOTICE);
            }
        }
    }

    pub(super) fn outage(&mut self, failure: usize) {
        for node in self.nodes.live().to_vec() {
            if self.hits(&self.case.failures[failure], self.nodes.get(node).pool) {
                let warned = matches!(self.nodes.get(node).phase, Phase::Noticed(_));
                self.end_node(node, if warned { Warning::Given } else { Warning::None });
            }
        }
    }

    /// Makes a share of a pool's nodes slow, or all of them well again.
    pub(super) fn turn_gray(&mut self, failure: usize) {
        let Failure::Gray { pool, share, factor, span } = &self.case.failures[failure] else { return };
        let Some(pool) = self.case.fleet.pools.iter().position(|spec| spec.name == *pool) else { return };
        let nodes = self.nodes_of(pool);
        let slow = (nodes.len() as f64 * share).ceil();
        for (place, node) in nodes.into_iter().enumerate() {
            let slow = span.covers(self.now) && (place as f64) < slow;
            self.nodes.get_mut(node).slowness = if slow { *factor } else { 1.0 };
        }
    }

    /// Works out what an hour costs now, what is missing from commitments included.
    fn update_price(&mut self) {
        let counts = &self.nodes.level().nodes;
        let pools = self.case.fleet.pools.iter().zip(counts);
        let running: f64 = pools.clone().map(|(pool, count)| f64::from(*count) * pool.dollars_per_hour()).sum();
        let missing = crate::commitment::missing_dollars_per_hour(self.case, |pool| f64::from(counts[pool]));
        let level = self.nodes.level_mut();
        (level.dollars_per_hour, level.missing_per_hour) = (running + missing, missing);
    }
}

fn launch_failures(failure: &Failure) -> f64 {
    if let Failure::LaunchFailures(share) = failure { *share } else { 0.0 }
}

fn crashes(failure: &Failure) -> f64 {
    if let Failure::Crashes(per_hour) = failure { *per_hour } else { 0.0 }
}

fn span(failure: &Failure) -> Option<crate::scenario::Outage> {
    match failure {
        Failure::ZoneLoss { span, .. }
        | Failure::ProviderLoss { span, .. }
        | Failure::Gray { span, .. }
        | Failure::TelemetryLoss(span)
        | Failure::RouterPartition(span) => Some(*span),
        Failure::Crashes(_) | Failure::LaunchFailures(_) | Failure::SpotPrice(_) => None,
    }
}
