//! The world: nodes, streams and files in simulated time, with routers that know it only by reports. It is told what to do by
//! a contender and keeps a [`Record`] of what came of it. Everything happens in the order of its time; equal times in the
//! order in which they were arranged; dice are drawn in that order too, so a run is a function of its trial and contender.

mod agenda;
mod files;
mod market;
mod nodes;
mod record;
mod scaling;
mod streams;
mod telemetry;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::rngs::SmallRng;
use scheduler::plan::Scaler;
use scheduler::{NodeId, Timestamp};

use crate::case::{Case, Trial};
use crate::policy::Mechanisms;
use crate::router::Router;
use crate::workload::dice;

use agenda::{Agenda, Event};
use files::Files;
use nodes::Nodes;
use streams::{Stream, Waiting};

pub use record::{BIN, Bin, Cause, Moves, Record};

/// How finely time is looked at where nothing happens: reports, files and waiting streams are seen to this often.
const TICK: Duration = Duration::from_millis(250);
/// How often the fleet is sized.
const PLAN_EVERY: Duration = Duration::from_secs(10);
/// Gigabytes that an hour of a stream sends to its node: 16 kHz, 16 bits.
pub const GIGABYTES_PER_HOUR: f64 = 0.1152;
/// Dice for what happens to nodes are not those of any client.
const NODE_DICE: u64 = 1 << 41;

/// Names a session of the trial: its place in the workload.
type SessionIndex = u32;
/// Names a node of the run: nodes are numbered in the order of their launch.
type NodeNumber = u32;

/// One run.
pub struct World<'a> {
    case: &'a Case,
    trial: &'a Trial,
    mechanisms: Mechanisms,
    now: Timestamp,
    agenda: Agenda,
    nodes: Nodes,
    streams: Vec<Stream>,
    waiting: VecDeque<Waiting>,
    files: Files,
    routers: Vec<Box<dyn Router>>,
    scaler: Box<dyn Scaler>,
    telemetry: telemetry::Lines,
    since_plan: scaling::SincePlan,
    record: Record,
    dice: SmallRng,
    next_session: usize,
    /// Nodes by name, those that are gone too.
    names: BTreeMap<NodeId, NodeNumber>,
}

impl<'a> World<'a> {
    /// Prepares a run; one router for each replica of the case.
    #[must_use]
    pub fn new(
        case: &'a Case,
        trial: &'a Trial,
        mechanisms: Mechanisms,
        routers: Vec<Box<dyn Router>>,
        scaler: Box<dyn Scaler>,
    ) -> Self {
        let mut world = Self {
            case,
            trial,
            mechanisms,
            now: Timestamp::ZERO,
            agenda: Agenda::default(),
            nodes: Nodes::new(case, mechanisms),
            streams: vec![Stream::default(); trial.workload.sessions.len()],
            waiting: VecDeque::new(),
            files: Files::new(case.chunk, mechanisms.files),
            routers,
            scaler,
            telemetry: telemetry::Lines::default(),
            since_plan: scaling::SincePlan::default(),
            record: Record::new(case, trial),
            dice: dice(trial.seed, NODE_DICE),
            next_session: 0,
            names: BTreeMap::new(),
        };
        world.arrange();
        world
    }

    /// Runs to the end and returns what came of it.
    #[must_use]
    pub fn run(mut self) -> Record {
        let horizon = self.trial.workload.horizon;
        while let Some(at) = self.next_time().filter(|at| *at < horizon) {
            self.pass(at);
            self.deliver();
            self.step(at);
        }
        self.pass(horizon);
        self.close();
        self.record
    }

    /// Puts what is known beforehand on the agenda.
    fn arrange(&mut self) {
        self.arrange_market();
        self.arrange_failures();
        self.agenda.at(Timestamp::ZERO, Event::Plan);
        self.agenda.at(Timestamp::ZERO, Event::Tick(0));
    }

    fn next_time(&self) -> Option<Timestamp> {
        let arrival = self.trial.workload.sessions.get(self.next_session).map(|session| session.at);
        let event = self.agenda.next_time();
        match (arrival, event) {
            (Some(arrival), Some(event)) => Some(arrival.min(event)),
            (arrival, event) => arrival.or(event),
        }
    }

    /// Does the next thing: what is on the agenda goes before who arrives.
    fn step(&mut self, at: Timestamp) {
        if let Some(event) = self.agenda.take(at) {
            self.happen(event);
        } else {
            let session = self.next_session;
            self.next_session += 1;
            self.arrive(SessionIndex::try_from(session).unwrap_or(SessionIndex::MAX));
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::End(session) => self.end(session),
            Event::Ready(node) => self.ready(node),
            Event::Kill(node) => self.kill(node),
            Event::Crash(node) => self.crash(node),
            Event::Lost(session, node, since) => self.move_lost(session, node, since),
            Event::SpotNotice(pool, level) => self.spot_notice(pool, level),
            Event::SpotDrop(pool, level) => self.spot_drop(pool, level),
            Event::ZoneNotice(failure) => self.zone_notice(failure),
            Event::Outage(failure) => self.outage(failure),
            Event::Gray(failure) => self.turn_gray(failure),
            Event::Tick(number) => self.tick(number),
            Event::Plan => {
                self.plan();
                self.agenda.at(self.now + PLAN_EVERY, Event::Plan);
            }
            Event::PlanAtOnce => self.plan(),
        }
    }

    /// Lets time pass: whatever is held or paid for by the hour is counted.
    fn pass(&mut self, at: Timestamp) {
        let seconds = at.since(self.now).as_secs_f64();
        if seconds > 0.0 {
            let level = self.nodes.level();
            self.files.work(level.files, seconds);
            self.record.pass(self.now, seconds, level);
        }
        self.now = at;
    }

    fn tick(&mut self, number: u64) {
        self.tell(number);
        self.let_routers_look();
        self.retry_waiting();
        if number.is_multiple_of(4) {
            self.fill_with_files();
            self.move_noticed();
        }
        if number.is_multiple_of(40) {
            self.note_slow();
        }
        self.agenda.at(self.now + TICK, Event::Tick(number + 1));
    }

    /// Ends the books: nodes that still run are paid to the end.
    fn close(&mut self) {
        for node in self.nodes.live().to_vec() {
            self.settle(node);
        }
        self.record.missed += self.files.overdue_at(self.now);
        self.record.close();
    }
}

#[cfg(test)]
mod tests;
