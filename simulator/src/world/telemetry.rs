//! Telemetry: what nodes say, and when the routers hear it. Nodes speak once per period, each at its own moment, and at once
//! when their state changes; routers hear it a delay and half a world later.

use std::collections::VecDeque;

use scheduler::{NodeState, Timestamp};

use super::nodes::{Phase, p95_factor};
use super::{NodeNumber, TICK, World};
use crate::router::Heard;
use crate::scenario::Failure;

/// Reports on their way, in the order in which they will be heard.
#[derive(Default)]
pub(super) struct Lines {
    on_their_way: VecDeque<(Timestamp, NodeNumber, Heard)>,
}

impl Lines {
    fn put(&mut self, at: Timestamp, node: NodeNumber, heard: Heard) {
        let behind = self.on_their_way.iter().rev().take_while(|(later, _, _)| *later > at).count();
        self.on_their_way.insert(self.on_their_way.len() - behind, (at, node, heard));
    }

    fn next(&mut self, now: Timestamp) -> Option<(NodeNumber, Heard)> {
        let (_, node, heard) = *self.on_their_way.front().filter(|(at, _, _)| *at <= now)?;
        self.on_their_way.pop_front();
        Some((node, heard))
    }
}

impl World<'_> {
    /// Lets the nodes speak whose turn it is.
    pub(super) fn tell(&mut self, tick: u64) {
        let turns = u64::try_from(self.case.telemetry.period.as_micros() / TICK.as_micros()).unwrap_or(u64::MAX).max(1);
        for at in 0..self.nodes.live().len() {
            let node = self.nodes.live()[at];
            if u64::from(node) % turns == tick % turns && self.nodes.get(node).runs() {
                self.send(node);
            }
        }
    }

    /// Lets the routers' clocks tick: what they measure by the second must be measured every second.
    pub(super) fn let_routers_look(&mut self) {
        for router in &mut self.routers {
            router.look_around(self.now);
        }
    }

    /// Sends a report.
    pub(super) fn send(&mut self, node: NodeNumber) {
        let heard = self.say(node);
        let round_trip = self.case.fleet.pools[heard.pool].round_trip;
        self.telemetry.put(self.now + self.case.telemetry.delay + round_trip / 2, node, heard);
        if self.case.telemetry.period.is_zero() {
            self.deliver();
        }
    }

    /// Sends a report where every change is known at once.
    pub(super) fn heard_at_once(&mut self, node: NodeNumber) {
        if self.case.telemetry.period.is_zero() && self.nodes.get(node).phase != Phase::Gone {
            self.send(node);
        }
    }

    fn say(&mut self, number: NodeNumber) -> Heard {
        let latency_p95 = self.nodes.latency(number).mul_f64(p95_factor());
        let slots = self.nodes.slots(self.nodes.get(number).pool);
        let node = self.nodes.get_mut(number);
        node.sequence += 1;
        let state = match node.phase {
            Phase::Booting => NodeState::Starting,
            Phase::Serving => NodeState::Serving,
            Phase::Draining | Phase::Clearing | Phase::Noticed(_) | Phase::Gone => NodeState::Draining,
        };
        let (streams, files, sequence) = (node.count(), node.files, node.sequence);
        Heard { pool: node.pool, state, slots, streams, files, latency_p95, sequence, at: self.now }
    }

    /// Lets the routers hear what has arrived by now.
    pub(super) fn deliver(&mut self) {
        while let Some((node, heard)) = self.telemetry.next(self.now) {
            for router in 0..self.routers.len() {
                if !self.is_deaf(router) {
                    self.routers[router].hear(node, &heard, self.now);
                }
            }
        }
    }

    /// Tells whether a router hears nothing now.
    fn is_deaf(&self, router: usize) -> bool {
        !self.case.failures.is_empty()
            && self.case.failures.iter().any(|failure| match failure {
                Failure::TelemetryLoss(span) => span.covers(self.now),
                Failure::RouterPartition(span) => router == 0 && span.covers(self.now),
                Failure::Crashes(_)
                | Failure::ZoneLoss { .. }
                | Failure::ProviderLoss { .. }
                | Failure::Gray { .. }
                | Failure::LaunchFailures(_)
                | Failure::SpotPrice(_) => false,
            })
    }
}
