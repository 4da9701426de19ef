//! The router that runs in production, without its sockets: the scheduler's fleet, ticks and decisions, fed with what the
//! world's nodes say.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use scheduler::rules::Facts;
use scheduler::{
    Beat, Class, Demand, Dice, EngineApi, Fleet, Link, LinkMode, NodeId, NodeIndex, Policy, Pool, Price, Priority,
    Report, Request, Residency, SessionId, TenantId, Timestamp, Work, decide,
};

use super::{Ask, Declined, Heard, Router};
use crate::case::Case;
use crate::policy::FileSlots;

/// Routers work out what depends on the whole fleet this often.
const TICK: Duration = Duration::from_secs(1);
/// The busiest stretch of this long is remembered.
const REMEMBERED: Duration = Duration::from_secs(300);
/// A node that has said nothing for this long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// Round trip and chunk latency together may be this long.
const LATENCY_LIMIT: Duration = Duration::from_millis(800);
/// 16 kHz, 16 bits.
const AUDIO_BYTES_PER_SECOND: u64 = 32_000;

/// A node as this router knows it.
#[derive(Clone, Debug)]
struct Known {
    index: NodeIndex,
    name: NodeId,
    files: u32,
}

/// One replica.
pub struct Production {
    fleet: Fleet,
    policy: Arc<Policy>,
    dice: Dice,
    request: Request,
    replicas: u32,
    files: FileSlots,
    /// By the world's numbers.
    known: Vec<Option<Known>>,
    /// What was heard since this router was last asked, by the world's numbers; of each node the last report, which says all.
    heard: Vec<Option<Heard>>,
    /// Nodes that were heard of since then.
    news: Vec<u32>,
    /// The world's numbers, by this fleet's.
    numbers: Vec<u32>,
    arrivals: Arrivals,
    ticked_at: Option<Timestamp>,
}

/// Arrivals by stretches.
#[derive(Debug, Default)]
struct Arrivals {
    begun: Timestamp,
    now: u32,
    past: VecDeque<u32>,
}

impl Arrivals {
    fn roll(&mut self, stretch: Duration, now: Timestamp) {
        while now.since(self.begun) >= stretch {
            self.past.push_back(std::mem::take(&mut self.now));
            self.begun = self.begun + stretch;
            if self.past.len() as u128 > REMEMBERED.as_micros() / stretch.as_micros().max(1) {
                self.past.pop_front();
            }
        }
    }

    fn busiest(&self) -> u32 {
        self.past.iter().copied().max().unwrap_or(0).max(self.now)
    }
}

impl Production {
    /// Starts a replica; each has dice of its own.
    #[must_use]
    pub fn new(case: &Case, policy: &Arc<Policy>, files: FileSlots, seed: u64) -> Option<Self> {
        let mut fleet = Fleet::new(case.fleet.pools.iter().map(pool).collect::<Option<Vec<_>>>()?);
        let replicas = u32::try_from(case.telemetry.routers).unwrap_or(u32::MAX);
        fleet.set_routers(replicas);
        Some(Self {
            fleet,
            policy: Arc::clone(policy),
            dice: Dice::new(seed),
            request: request()?,
            replicas,
            files,
            known: Vec::new(),
            heard: Vec::new(),
            news: Vec::new(),
            numbers: Vec::new(),
            arrivals: Arrivals::default(),
            ticked_at: None,
        })
    }

    fn first_report(&mut self, node: u32, heard: &Heard) {
        let pool = &self.fleet.view().pools()[heard.pool].name;
        let Ok(name) = format!("{pool}-{node}").parse::<NodeId>() else { return };
        let report = Report {
            node: name.clone(),
            pool: pool.clone(),
            address: format!("{name}:80"),
            state: heard.state,
            models: BTreeSet::from([self.request.model.clone()]),
            soft_slots: heard.slots.soft,
            hard_slots: heard.slots.hard,
            used_slots: heard.streams + heard.files,
            queue_depth: 0,
            chunk_latency_p95: heard.latency_p95,
            realtime_factor: 0.1,
            gpus: Vec::new(),
            sequence: heard.sequence,
            engine_pid: None,
            reason: None,
            notice: None,
            api: EngineApi::Listen,
            engine_models: Default::default(),
        };
        let Ok(index) = self.fleet.report(report, heard.at) else { return };
        let (place, number) = (index.get(), node as usize);
        self.numbers.resize(self.numbers.len().max(place + 1), u32::MAX);
        self.numbers[place] = node;
        self.known.resize(self.known.len().max(number + 1), None);
        self.known[number] = Some(Known { index, name, files: 0 });
    }

    fn known(&self, node: u32) -> Option<&Known> {
        self.known.get(node as usize)?.as_ref()
    }
}

impl Production {
    /// Takes in what was heard, and works out what depends on it if a second has passed.
    fn catch_up(&mut self, now: Timestamp) {
        for node in std::mem::take(&mut self.news) {
            if let Some(heard) = self.heard.get_mut(node as usize).and_then(Option::take) {
                self.take(node, &heard);
            }
        }
        if self.ticked_at.is_none_or(|last| now.since(last) >= TICK) {
            self.tick_fleet(now);
        }
    }

    fn take(&mut self, node: u32, heard: &Heard) {
        let Some(index) = self.known(node).map(|known| known.index) else {
            self.first_report(node, heard);
            return;
        };
        let beat = Beat {
            state: heard.state,
            used_slots: heard.streams + heard.files,
            queue_depth: 0,
            chunk_latency_p95: heard.latency_p95,
        };
        self.fleet.beat(index, beat, heard.at);
        if let Some(Some(known)) = self.known.get_mut(node as usize)
            && self.files == FileSlots::Idle
            && known.files != heard.files
        {
            known.files = heard.files;
            self.fleet.set_batch_slots(&known.name, heard.files);
        }
    }

    fn tick_fleet(&mut self, now: Timestamp) {
        self.ticked_at = Some(now);
        self.arrivals.roll(self.policy.limits.open.arrivals, now);
        let arrivals = self.arrivals.busiest().saturating_mul(self.replicas);
        self.fleet.tick(Demand { streams: self.fleet.streams(), arrivals }, &self.policy, now);
        for gone in self.fleet.forget_silent(FORGET_AFTER, now) {
            let place = self.known.iter().position(|known| known.as_ref().is_some_and(|known| known.name == gone));
            if let Some(place) = place {
                self.known[place] = None;
            }
        }
    }
}

impl Router for Production {
    fn hear(&mut self, node: u32, heard: &Heard, _: Timestamp) {
        let place = node as usize;
        if self.heard.len() <= place {
            self.heard.resize(place + 1, None);
        }
        if self.heard[place].replace(*heard).is_none() {
            self.news.push(node);
        }
    }

    fn look_around(&mut self, now: Timestamp) {
        self.catch_up(now);
    }

    fn choose(&mut self, ask: &Ask, now: Timestamp) -> [Option<u32>; 3] {
        self.catch_up(now);
        self.request.session = SessionId::from_random(ask.session.into());
        self.request.class = ask.class;
        self.arrivals.now += u32::from(ask.class == Class::New);
        let view = self.fleet.view();
        let choice = decide(view, &self.request, &self.policy, now, &mut self.dice);
        if let Some(best) = choice.best() {
            view.reserve(best.node, now);
        }
        let mut nodes = choice.picks().iter().map(|pick| self.numbers.get(pick.node.get()).copied());
        std::array::from_fn(|_| nodes.next().flatten())
    }

    fn opened(&mut self, node: u32, now: Timestamp) {
        if let Some(Some(known)) = self.known.get(node as usize) {
            self.fleet.note_opened(&known.name, now);
        }
    }

    fn declined(&mut self, node: u32, why: Declined, now: Timestamp) {
        if let (Some(Some(known)), Declined::Silent) = (self.known.get(node as usize), why) {
            self.fleet.note_failed(&known.name, now);
        }
    }

    fn is_open(&self, node: u32) -> bool {
        let known = self.known(node).and_then(|known| self.fleet.view().at(known.index));
        known.is_none_or(|node| node.is_open())
    }
}

/// The pool as an operator would configure it.
fn pool(spec: &crate::scenario::PoolSpec) -> Option<Pool> {
    Some(Pool {
        name: spec.name.clone(),
        provider: spec.provider,
        region: spec.zone.parse().ok()?,
        tier: spec.tier,
        market: spec.market,
        price: Price { node_hour: spec.node_hour, egress_gb: spec.egress_gb },
        residency: Residency("us".to_owned()),
        compliance: BTreeSet::new(),
        link: Link { mode: LinkMode::Public, round_trip: spec.round_trip, bandwidth: None },
        scaling: None,
        endpoint: None,
    })
}

/// The request that all streams make.
fn request() -> Option<Request> {
    Some(Request {
        session: SessionId::from_random(0),
        key: None,
        file: None,
        tenant: "simulated".parse::<TenantId>().ok()?,
        model: "speech".parse().ok()?,
        work: Work::Stream,
        class: Class::New,
        priority: Priority::Live,
        pools: None,
        residency: None,
        compliance: BTreeSet::new(),
        max_cost: None,
        latency_limit: LATENCY_LIMIT,
        audio_bytes_per_second: AUDIO_BYTES_PER_SECOND,
        exclude: BTreeSet::new(),
        prefer: None,
        facts: Facts::default(),
    })
}

#[cfg(test)]
impl Production {
    /// Returns a log of decisions on a fleet of two nodes per pool, each decision with its promise kept.
    pub(crate) fn sample_log(case: &Case, policy: &Policy, decisions: u64) -> Vec<crate::replay::Line> {
        use crate::replay::Line;
        let mut router = Self::new(case, &Arc::new(policy.clone()), FileSlots::Idle, 1).unwrap();
        let now = Timestamp::at(Duration::from_secs(60));
        for (number, (place, pool)) in (0..).zip(case.fleet.pools.iter().enumerate().flat_map(|pool| [pool, pool])) {
            let (state, slots) = (scheduler::NodeState::Serving, pool.slots);
            let latency_p95 = Duration::from_millis(50);
            let heard = Heard { pool: place, state, slots, streams: 0, files: 0, latency_p95, sequence: 1, at: now };
            router.hear(number, &heard, now);
        }
        router.news.clone().into_iter().for_each(|node| {
            let heard = router.heard[node as usize].take().unwrap();
            router.take(node, &heard);
        });
        let fleet = router.fleet.view().record();
        let made_by = Line::Policy { hash: policy.hash(), policy: Box::new(policy.clone()) };
        let mut lines = vec![made_by, Line::Fleet(Box::new(fleet.clone()))];
        for seed in 0..decisions {
            router.request.session = SessionId::from_random(seed.into());
            let view = router.fleet.view();
            let record = scheduler::DecisionRecord::make(&fleet, view, &router.request, policy, (now, seed));
            let chosen = record.decision.placements.first().and_then(|first| view.index_of(&first.node));
            chosen.into_iter().for_each(|node| view.reserve(node, now));
            lines.push(Line::Decision(Box::new(record)));
        }
        lines
    }
}
