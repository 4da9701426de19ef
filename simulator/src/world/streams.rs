//! Streams: they arrive, wait, speak and end.
//!
//! * `moves`: what becomes of those whose node goes.

mod moves;

use std::time::{Duration, Instant};

use rand_distr::{Distribution, StandardNormal};
use scheduler::{Class, Timestamp};

use super::agenda::Event;
use super::nodes::{LATENCY_SLO, Phase, p95_factor};
use super::record::Cause;
use super::{NodeNumber, SessionIndex, World};
use crate::router::{Ask, Declined};
pub(super) use moves::Warning;

/// A start later than this is late.
const LATE: Duration = Duration::from_secs(1);
/// A start later than this tells the planner that room is short.
const SLOW_START: Duration = Duration::from_millis(200);
/// The first result may take this long.
const FIRST_RESULT: Duration = Duration::from_millis(800);
/// Audio in the first chunk.
const FIRST_CHUNK: Duration = Duration::from_millis(160);
/// A gap longer than this cuts a stream.
const LONGEST_GAP: Duration = Duration::from_secs(5);
/// Jitter of round trips: standard deviation of the logarithm.
const JITTER: f64 = 0.1;
/// Nothing there.
const NOWHERE: NodeNumber = NodeNumber::MAX;

/// Where a stream is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    node: NodeNumber,
    place: u32,
    moved: bool,
    height: Height,
    ends: Timestamp,
}

impl Default for Stream {
    fn default() -> Self {
        Self { node: NOWHERE, place: 0, moved: false, height: Height::Soft, ends: Timestamp::ZERO }
    }
}

/// How high a stream ever was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Height {
    /// Always on a soft slot.
    Soft,
    /// Above the soft slots, once at least.
    Above,
}

/// A stream without a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    session: SessionIndex,
    since: Timestamp,
    until: Timestamp,
    why: WaitingFor,
    /// Candidates that were asked so far.
    tries: u32,
}

/// What a stream without a slot waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitingFor {
    /// It never had one.
    Start,
    /// Its node is gone.
    Move,
    /// It was cut, and its caller came again.
    Return,
}

impl WaitingFor {
    fn class(self) -> Class {
        match self {
            Self::Start | Self::Return => Class::New,
            Self::Move => Class::Failover,
        }
    }
}

impl World<'_> {
    pub(super) fn arrive(&mut self, session: SessionIndex) {
        let asked = self.trial.workload.sessions[session as usize];
        self.record.offer(asked.tenant, asked.at);
        self.since_plan.arrivals += 1;
        self.seek(session, WaitingFor::Start, self.now);
    }

    /// Looks for a slot, and waits when there is none.
    fn seek(&mut self, session: SessionIndex, why: WaitingFor, since: Timestamp) {
        let until = match why {
            WaitingFor::Start | WaitingFor::Return => since + self.case.patience,
            WaitingFor::Move => since + LONGEST_GAP,
        };
        let mut waiting = Waiting { session, since, until, why, tries: 0 };
        if !self.try_place(&mut waiting) {
            if until > self.now {
                self.waiting.push_back(waiting);
            } else {
                self.give_up(waiting);
            }
        }
    }

    /// Asks a router, and walks down its candidates.
    fn try_place(&mut self, waiting: &mut Waiting) -> bool {
        let Waiting { session, since, why, .. } = *waiting;
        let router = self.router_of(session);
        let asked = self.trial.workload.sessions[session as usize];
        let ask = Ask { session, tenant: asked.tenant, class: why.class() };
        let begun = Instant::now();
        let candidates = self.routers[router].choose(&ask, self.now);
        self.record.deciding += begun.elapsed();
        self.record.decisions += 1;
        let mut walked = Duration::ZERO;
        for node in candidates.into_iter().flatten() {
            walked += self.round_trip(node);
            self.record.tries += 1;
            waiting.tries += 1;
            if self.nodes.accepts(node) {
                self.routers[router].opened(node, self.now);
                self.start(*waiting, node, self.now.since(since) + walked);
                return true;
            }
            let gone = self.nodes.get(node).phase == Phase::Gone;
            let declined = if gone { Declined::Silent } else { Declined::Full };
            self.note_declined(why, declined);
            self.routers[router].declined(node, declined, self.now);
        }
        false
    }

    fn note_declined(&mut self, why: WaitingFor, declined: Declined) {
        self.record.nacks += 1;
        if (why, declined) == (WaitingFor::Move, Declined::Full) {
            self.record.moves.full += 1;
        }
    }

    fn router_of(&self, session: SessionIndex) -> usize {
        session as usize % self.routers.len()
    }

    fn round_trip(&mut self, node: NodeNumber) -> Duration {
        let pool = &self.case.fleet.pools[self.nodes.get(node).pool];
        if pool.round_trip.is_zero() {
            return Duration::ZERO;
        }
        let normal: f64 = StandardNormal.sample(&mut self.dice);
        pool.round_trip.mul_f64((normal * JITTER).exp())
    }

    /// Puts a stream on a node that took it, `waited` after it was asked for.
    fn start(&mut self, waiting: Waiting, node: NodeNumber, waited: Duration) {
        let Waiting { session, why, tries, .. } = waiting;
        self.put(session, node);
        let asked = self.trial.workload.sessions[session as usize];
        match why {
            WaitingFor::Start => {
                let ends = self.now + asked.length;
                self.streams[session as usize].ends = ends;
                self.agenda.at(ends, Event::End(session));
                self.note_start(session, node, waited);
            }
            WaitingFor::Move => {
                self.note_move(session);
                self.record.gap(waited);
                self.record.moves.placed_after(tries);
            }
            WaitingFor::Return => {}
        }
    }

    fn put(&mut self, session: SessionIndex, node: NodeNumber) {
        let put = self.nodes.put(node, session);
        self.files.break_off(put.yielded);
        self.record.placements += 1;
        self.record.decided(session, Some(node), self.now);
        let stream = &mut self.streams[session as usize];
        (stream.node, stream.place) = (node, put.place);
        if put.above && stream.height == Height::Soft {
            stream.height = Height::Above;
            self.record.over += 1;
            self.since_plan.over += 1;
        }
        self.heard_at_once(node);
    }

    fn note_start(&mut self, session: SessionIndex, node: NodeNumber, waited: Duration) {
        if waited > LATE {
            self.fail(session, Cause::Late);
        }
        if waited > SLOW_START {
            self.since_plan.slow_starts += 1;
        }
        let first = waited + self.round_trip(node) + FIRST_CHUNK + self.nodes.latency(node);
        self.record.first_result(first);
        if first > FIRST_RESULT && waited <= LATE {
            self.fail(session, Cause::Slow);
        }
    }

    fn note_move(&mut self, session: SessionIndex) {
        let stream = &mut self.streams[session as usize];
        self.record.moved += u64::from(!stream.moved);
        stream.moved = true;
    }

    fn fail(&mut self, session: SessionIndex, cause: Cause) {
        let asked = self.trial.workload.sessions[session as usize];
        self.record.fail(session, cause, asked.tenant, asked.at);
    }

    /// Tries again for all that wait, those who lost a node first, then in the order they came.
    pub(super) fn retry_waiting(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let mut waiting: Vec<Waiting> = self.waiting.drain(..).collect();
        waiting.sort_by_key(|waiting| waiting.why != WaitingFor::Move);
        for mut waiting in waiting {
            if self.streams[waiting.session as usize].ends <= self.now && waiting.why != WaitingFor::Start {
                continue;
            }
            if self.try_place(&mut waiting) {
                continue;
            }
            if waiting.until > self.now {
                self.waiting.push_back(waiting);
            } else {
                self.give_up(waiting);
            }
        }
    }

    fn give_up(&mut self, waiting: Waiting) {
        self.record.decided(waiting.session, None, self.now);
        match waiting.why {
            WaitingFor::Start => {
                self.since_plan.slow_starts += 1;
                self.fail(waiting.session, Cause::Rejected);
            }
            WaitingFor::Move => self.fail(waiting.session, Cause::Dropped),
            WaitingFor::Return => {}
        }
    }

    /// Counts streams that wait for a slot.
    pub(super) fn waiting_count(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn end(&mut self, session: SessionIndex) {
        self.take_off(session);
    }

    /// Takes a stream off its node, if it has one.
    fn take_off(&mut self, session: SessionIndex) {
        let Stream { node, place, .. } = self.streams[session as usize];
        if node == NOWHERE {
            return;
        }
        self.streams[session as usize].node = NOWHERE;
        if let Some(moved) = self.nodes.take(node, place) {
            self.streams[moved as usize].place = place;
        }
        self.heard_at_once(node);
    }

    /// Marks the streams of nodes that have been too slow for ten seconds.
    pub(super) fn note_slow(&mut self) {
        let limit = LATENCY_SLO.div_f64(p95_factor());
        for at in 0..self.nodes.live().len() {
            let node = self.nodes.live()[at];
            if self.nodes.get(node).runs() && self.nodes.latency(node) > limit {
                for session in self.nodes.get(node).streams.clone() {
                    self.fail(session, Cause::Slow);
                }
            }
        }
    }
}
