//! Lives of streams, seeded: a caller speaks, nodes die, hang, fall silent and come back, routers are slow or away, and every
//! word must reach the caller exactly once. Nodes go away that say so, too. The shell is modelled: it obeys actions and
//! verdicts and nothing else.
//!
//! `CROSSPOINT_SEEDS=from..to` runs other seeds than the first 200.

mod absence;
mod container;
mod node;
mod orders;
mod script;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::events::{Answers, Change, Control, Heard, Kind, Leaving, Said, Verdict};
use crate::testing::placement;
use crate::track::PRE_ROLL;
use absence::{Final, Line};
use container::{Container, Wrap};
use node::{Arrival, Fault, Node};
use orders::Orders;
use script::{Spoken, script};

const SEEDS: std::ops::Range<u64> = 0..200;
/// Time goes on in steps of so many milliseconds.
const STEP: u64 = 10;
/// A life that lasts so many milliseconds longer than what is said has got stuck.
const LATEST: u64 = 120_000;
const NODES: u64 = 8;

/// What the shell waits for besides its sockets.
#[derive(Clone, Debug)]
enum Pending {
    Nothing,
    Open { due: u64, epoch: u32, takes: bool },
    Ask { due: u64 },
}

/// How a caller sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    InRealTime,
    /// As fast as it is read.
    AtOnce,
}

/// One stream and everything around it.
struct World {
    dice: StdRng,
    now: u64,
    session: Session,
    pending: Pending,
    legs: BTreeMap<u32, Node>,
    nodes: BTreeMap<u32, NodeId>,
    orders: Orders,
    script: Vec<Spoken>,
    length: u64,
    caller: Caller,
    wrap: Wrap,
    container: Container,
    sent: u64,
    noticed: u64,
    is_closed: bool,
    finalizes: u64,
    /// What was said in each message that is on its way through the session.
    messages: Vec<(u32, Vec<usize>, Said)>,
    finals: Vec<Final>,
    told_epoch: u32,
    line: Line,
    faults_until: u64,
    /// A sample that ends every node that hears it.
    poison: Option<u64>,
    silenced_before: Vec<(u64, u64)>,
    lost: u32,
    /// When a result came last.
    result_at: u64,
    ends: Vec<CloseReason>,
}

impl World {
    fn new(seed: u64, wrap: Wrap, line: Line) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let script = script(seed, dice.random_range(20..70));
        let length = script.last().map_or(0, |word| word.end) + dice.random_range(0..1_500);
        let rate = NonZeroU32::new(1_000).unwrap();
        let layout = match wrap {
            Wrap::Raw => Layout::Frames { rate, bytes: NonZeroU32::new(4).unwrap() },
            Wrap::Wav | Wrap::Packets | Wrap::Pages => Layout::Opaque,
        };
        let begun = Begun {
            placements: (0..dice.random_range(1..4)).map(|node| placement(&format!("n{node}"))).collect(),
            layout,
            limits: Limits { losses: 12, ..Limits::default() },
            seed,
            parking: line.parking(),
            earlier: None,
        };
        let mut session = Session::begin(begun, Timestamp::at(Duration::from_secs(5)));
        assert_eq!(session.cuts_into_units(rate, wrap.preroll(), None), wrap != Wrap::Raw);
        session.silence_with(u8::MAX);
        Self {
            now: 5_000,
            session,
            wrap,
            container: Container::new(wrap, seed, length),
            pending: Pending::Nothing,
            legs: BTreeMap::new(),
            nodes: BTreeMap::new(),
            orders: Orders::default(),
            caller: if dice.random_ratio(1, 5) { Caller::AtOnce } else { Caller::InRealTime },
            // Units are never silenced.
            poison: dice.random_ratio(u32::from(wrap == Wrap::Raw), 8).then(|| dice.random_range(0..length.max(1))),
            silenced_before: Vec::new(),
            faults_until: 5_000 + dice.random_range(0..length.max(1) + 5_000),
            script,
            length,
            sent: 0,
            noticed: 0,
            is_closed: false,
            finalizes: 0,
            messages: Vec::new(),
            finals: Vec::new(),
            told_epoch: 0,
            line,
            lost: 0,
            result_at: 5_000,
            ends: Vec::new(),
            dice,
        }
    }

    fn at(&self) -> Timestamp {
        Timestamp::at(Duration::from_millis(self.now))
    }

    /// Lives to the end and returns what has become of it.
    fn live(mut self) -> Self {
        while self.ends.is_empty() {
            assert!(self.now < self.length + LATEST, "the stream got stuck: {:?}", self.session);
            self.now += STEP;
            self.come_and_go();
            self.settle();
            self.order();
            self.squeeze();
            self.speak();
            self.work();
            let now = self.at();
            if self.session.deadline().is_some_and(|due| now >= due) {
                self.session.tick(now);
            }
            self.act();
            self.check();
        }
        assert_eq!(self.ends, [CloseReason::Completed]);
        self.check_words();
        assert_eq!(self.answered(), self.finalizes, "every Finalize is answered once");
        assert_eq!(self.orders.left, None, "every order has an end");
        self
    }

    /// The samples that were silenced, by this session and those before it.
    fn silenced(&self) -> impl Iterator<Item = &(u64, u64)> {
        self.silenced_before.iter().chain(&self.session.poison.silenced)
    }

    /// Counts how often audio was silenced that ends no node.
    fn silenced_in_vain(&self) -> usize {
        self.silenced().filter(|(from, to)| self.poison.is_none_or(|poison| !(*from..*to).contains(&poison))).count()
    }

    /// Every word was told exactly once, in order, but for those that were silenced because they ended nodes.
    fn check_words(&self) {
        let is_silenced = |number: &usize| {
            let word = &self.script[*number];
            self.silenced().any(|(from, to)| word.start < *to && word.end > *from)
        };
        let all: Vec<_> = (0..self.script.len()).filter(|number| !is_silenced(number)).collect();
        let told = self.told();
        let kept: Vec<_> = told.iter().copied().filter(|number| !is_silenced(number)).collect();
        assert_eq!(kept, all, "every word exactly once");
        assert!(told.is_sorted_by(|one, next| one < next), "{told:?}");
        assert!(self.silenced().all(|(from, to)| to - from <= 3_000), "too much was silenced");
    }

    /// Does what the session says, as the shell would.
    fn act(&mut self) {
        while let Some(action) = self.session.next_action() {
            match action {
                Action::Open { epoch, placement } => {
                    assert_ne!(
                        self.orders.left.as_ref().map(|left| &left.node),
                        Some(&placement.node),
                        "not where it leaves"
                    );
                    self.nodes.insert(epoch, placement.node);
                    let takes = !self.goes_wrong(20);
                    self.pending = Pending::Open { due: self.now + self.dice.random_range(1..80), epoch, takes };
                }
                Action::Ask => self.pending = Pending::Ask { due: self.now + self.dice.random_range(1..120) },
                Action::Adopt(epoch) => assert!(self.legs.contains_key(&epoch), "a leg must be open to serve"),
                Action::Leave { epoch, why, .. } => {
                    self.legs.remove(&epoch);
                    if matches!(self.pending, Pending::Open { epoch: opening, .. } if opening == epoch) {
                        self.pending = Pending::Nothing;
                    }
                    self.lost += u32::from(matches!(why, Leaving::Failed(_)));
                }
                Action::MoveEnded(end) => self.move_ended(end),
                Action::Ping(epoch) => {
                    let now = self.at();
                    if self.legs[&epoch].answers(self.now) {
                        self.session.leg_alive(epoch, now);
                    }
                }
                Action::Park(_) => assert!(self.line.is_cut(), "only a lost connection parks"),
                Action::End(reason) => self.ends.push(reason),
            }
        }
    }

    /// The memory of all streams is short now and then.
    fn squeeze(&mut self) {
        let seconds = |ring, unfinished| (Duration::from_secs(ring), Duration::from_secs(unfinished));
        match self.dice.random_range(0..1_500) {
            0 => self.session.limit(seconds(30, 10)),
            1 => self.session.limit(seconds(60, 20)),
            _ => {}
        }
    }

    fn goes_wrong(&mut self, percent: u32) -> bool {
        self.now < self.faults_until && self.dice.random_ratio(percent, 100)
    }

    fn settle(&mut self) {
        let now = self.at();
        match self.pending.clone() {
            Pending::Open { due, epoch, takes } if due <= self.now => {
                self.pending = Pending::Nothing;
                if takes {
                    let mut node = self.node();
                    self.session.leg_opened(epoch, now);
                    node.begins_at(self.session.leg(epoch).map_or(0, |leg| leg.base));
                    self.legs.insert(epoch, node);
                } else {
                    self.session.leg_refused(epoch, CloseReason::NodeFailed, now);
                }
            }
            Pending::Ask { due } if due <= self.now => {
                self.pending = Pending::Nothing;
                let is_away = self.session.opened_at.is_some() && self.goes_wrong(20);
                let shunned = self.session.failed(now);
                let nodes = (0..NODES).map(|node| placement(&format!("n{node}")));
                let mut nodes: Vec<_> = nodes.filter(|placement| !shunned.contains(&placement.node)).collect();
                let first = self.dice.random_range(0..NODES.max(1));
                let turn = usize::try_from(first).unwrap() % nodes.len().max(1);
                nodes.rotate_left(turn);
                nodes.truncate(3);
                self.session.placed(if is_away { Err(CloseReason::RouterAway) } else { Ok(nodes) }, now);
            }
            Pending::Nothing | Pending::Open { .. } | Pending::Ask { .. } => {}
        }
        self.act();
    }

    fn node(&mut self) -> Node {
        let mut node = Node::new(self.dice.random(), &self.script, (self.wrap.preroll(), self.poison));
        if self.goes_wrong(60) {
            let faults =
                [Fault::Dies, Fault::Dies, Fault::Hangs, Fault::Mute, Fault::OneWay, Fault::Raves, Fault::Raves];
            node.fault = faults[self.dice.random_range(0..faults.len())];
            node.fault_at = self.now + self.dice.random_range(0..9_000);
            node.recovers_at = match node.fault {
                Fault::Dies | Fault::Mute | Fault::None => u64::MAX,
                Fault::Hangs | Fault::OneWay | Fault::Raves => node.fault_at + self.dice.random_range(500..8_000),
            };
        }
        node
    }

    fn speak(&mut self) {
        if self.line.is_cut() || self.session.serving().is_none() && self.session.opened_at.is_none() {
            return;
        }
        self.hand_back();
        let due = match self.caller {
            Caller::InRealTime => (self.now - 5_000).min(self.length),
            Caller::AtOnce => self.length.min(self.sent + 2_000),
        };
        while self.sent < due {
            if !self.session.has_room() {
                return self.session.caller_held(self.at());
            }
            let piece = self.dice.random_range(20..100).min(due - self.sent);
            self.send(piece);
            self.control();
        }
        if self.sent == self.length && !self.is_closed {
            self.is_closed = true;
            self.ask(Control::CloseStream);
        }
    }

    fn send(&mut self, piece: u64) {
        let from = self.sent;
        self.sent += piece;
        if self.wrap.is_heard() {
            self.notice();
        }
        let now = self.at();
        if self.wrap != Wrap::Raw {
            self.session.caller_sent(usize::try_from(piece).unwrap() * 4, now);
            let units = self.container.complete(self.sent);
            return units.iter().for_each(|(unit, bytes)| self.session.caller_unit(*unit, bytes, now));
        }
        let audio: Bytes = (from..self.sent).flat_map(|n| u32::try_from(n).unwrap().to_le_bytes()).collect();
        let verdict = self.session.caller_audio(&audio, now);
        self.relay(verdict, Outgoing::Audio(audio));
    }

    /// The shell's ear: pauses of what was sent, in blocks of 20 ms.
    fn notice(&mut self) {
        let (from, to) = (self.noticed, self.sent / 20 * 20);
        let mut noticed = Vec::new();
        for word in self.script.iter().filter(|word| word.start < to && word.end + 20 >= from) {
            let edges = [(word.start / 20 * 20, true), (word.end.div_ceil(20) * 20, false)];
            for (at, speaks) in edges.into_iter().filter(|(at, _)| (from..to).contains(at)) {
                noticed.push(if speaks { Noticed::Speech(at) } else { Noticed::Silence(at) });
            }
        }
        self.noticed = to;
        self.session.noticed(noticed.into_iter(), to);
    }

    fn control(&mut self) {
        // What was said before is not asked for again.
        if self.sent <= self.line.told_before() {
            return;
        }
        match self.dice.random_range(0..2_000) {
            0..6 => {
                self.finalizes += 1;
                self.ask(Control::Finalize);
            }
            6..10 => self.ask(Control::Configure),
            _ => {}
        }
    }

    fn ask(&mut self, control: Control) {
        let raw = Bytes::from_static(b"{}");
        let verdict = self.session.caller_control(control, &raw, self.at());
        self.relay(verdict, Outgoing::Control(control, raw));
    }

    fn relay(&mut self, verdict: Verdict, message: Outgoing) {
        let serving = self.session.serving();
        match (verdict, serving.and_then(|epoch| self.legs.get_mut(&epoch))) {
            (Verdict::Relay, Some(leg)) => leg.take(message),
            (Verdict::Relay, None) => panic!("relayed without a leg"),
            (Verdict::Drop, _) => {}
        }
    }

    fn work(&mut self) {
        let epochs: Vec<u32> = self.legs.keys().copied().collect();
        for epoch in epochs {
            let now = self.at();
            while let Some(outgoing) = self.session.next_for(epoch, now) {
                self.legs.get_mut(&epoch).unwrap().take(outgoing);
            }
            let Some(leg) = self.legs.get_mut(&epoch) else { continue };
            leg.work(self.now, STEP);
            if leg.is_dead(self.now) {
                self.session.leg_failed(epoch, Cause::Lost, now);
                self.act();
            }
            while let Some((message, arrival)) = self.legs.get_mut(&epoch).and_then(|leg| leg.arrival(self.now)) {
                if arrival == Arrival::Garbled {
                    self.session.leg_garbled(epoch, now);
                    self.act();
                    continue;
                }
                let raw = Bytes::from(self.messages.len().to_string());
                self.messages.push((epoch, message.numbers, message.said.clone()));
                let verdict = self.session.leg_said(epoch, message.said, &raw, now);
                self.hear(&raw, verdict);
                self.act();
            }
        }
    }

    /// What the caller gets to see.
    fn hear(&mut self, raw: &Bytes, verdict: Verdict) {
        while let Some(told) = self.session.next_told() {
            match told {
                Told::Result(raw, change) if change.kind == Kind::Final => self.hear_final(&raw, &change),
                Told::Plain(raw) => self.hear_plain(&raw),
                Told::Result(..) => self.hear_guess(),
                Told::Moment(..) | Told::Summary(..) => {}
            }
        }
        if verdict == Verdict::Relay {
            self.hear_plain(raw);
        }
    }

    fn hear_plain(&mut self, raw: &Bytes) {
        if let (_, _, Said::Final(Heard { start, end, answers, .. })) = self.messages[number(raw)] {
            self.hear_final(raw, &Change { kind: Kind::Final, dropped: 0, shift: 0, start, end, answers });
        } else {
            self.hear_guess();
        }
    }

    fn hear_final(&mut self, raw: &Bytes, change: &Change) {
        self.result_at = self.now;
        self.note_gap();
        let epoch = self.messages[number(raw)].0;
        assert!(epoch >= self.told_epoch, "leg {epoch} speaks after {}", self.told_epoch);
        let end = self.finals.last().map_or(Duration::ZERO, |last| last.change.end);
        assert_eq!(change.start, end, "finals follow each other");
        assert!(change.end >= change.start);
        self.told_epoch = epoch;
        self.keep(Final { raw: raw.clone(), change: *change });
    }

    /// The numbers of all words that were told.
    fn told(&self) -> Vec<usize> {
        let words = |told: &Final| self.messages[number(&told.raw)].1[told.change.dropped..].to_vec();
        self.finals.iter().flat_map(words).collect()
    }

    fn answered(&self) -> u64 {
        self.finals.iter().filter(|told| told.change.answers == Answers::Finalize).count() as u64
    }

    fn check(&self) {
        let (session, fin) = (&self.session, self.session.fin());
        let paid = self.sent.saturating_sub(self.line.paid()) * 4;
        assert_eq!(session.usage(self.at()).bytes_in, paid, "what was accepted is billed, once");
        if self.ends.is_empty() {
            let base = session.ring.frame(session.ring.base());
            let kept_from = fin.saturating_sub(PRE_ROLL).max(session.begins);
            assert!(base <= kept_from, "the ring begins at {base}, {fin} is final");
            let come = session.ring.frame(session.ring.end());
            assert!(
                come <= self.sent && (self.wrap == Wrap::Pages || come + 20 > self.sent),
                "{come} of {}",
                self.sent
            );
            assert!(session.ring.bytes() <= 61_000 * 4 + 400, "{} bytes are kept", session.ring.bytes());
            assert!(fin <= self.sent.max(self.line.told_before()));
        }
    }
}

/// A message is known by its number.
fn number(raw: &Bytes) -> usize {
    std::str::from_utf8(raw).unwrap().parse().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "other seeds are run by hand")]
fn seeds() -> std::ops::Range<u64> {
    let named = std::env::var("CROSSPOINT_SEEDS").ok();
    let range = named.as_deref().and_then(|range| range.split_once(".."));
    range.map_or(SEEDS, |(from, to)| from.parse().unwrap()..to.parse().unwrap())
}

/// Lives every seed and returns what has become of those that kept their promises; `world` makes them.
fn lives(world: impl Fn(u64) -> World + std::panic::RefUnwindSafe) -> Vec<World> {
    let lived: Vec<_> = seeds().map(|seed| std::panic::catch_unwind(|| world(seed).live()).map_err(|_| seed)).collect();
    let broken: Vec<u64> = lived.iter().filter_map(|life| life.as_ref().err().copied()).collect();
    assert!(broken.is_empty(), "{} seeds broke a promise: {broken:?}", broken.len());
    lived.into_iter().flatten().collect()
}

/// Lives every seed, each with the next of some wraps.
fn live(wraps: &[Wrap]) {
    let wrap = |seed: u64| wraps[usize::try_from(seed).unwrap() % wraps.len()];
    let lives = lives(|seed| World::new(seed, wrap(seed), Line::plain()));
    let silenced: usize = lives.iter().map(World::silenced_in_vain).sum();
    assert!(50 * silenced <= lives.len(), "audio was silenced in vain {silenced} times in {} lives", lives.len());
    assert!(2 * lost(&lives) > lives.len(), "only {} legs were lost in {} lives", lost(&lives), lives.len());
}

fn lost(lives: &[World]) -> usize {
    lives.iter().map(|life| life.lost as usize).sum()
}

#[test]
fn every_word_reaches_the_caller_once_whatever_happens_to_its_nodes() {
    live(&[Wrap::Raw]);
}

#[test]
fn what_is_wrapped_in_a_container_reaches_the_caller_once_too() {
    live(&[Wrap::Wav, Wrap::Packets, Wrap::Pages]);
}

#[test]
fn every_word_reaches_a_caller_once_that_comes_back_whatever_happens_to_it_its_proxy_and_its_nodes() {
    let lives = lives(|seed| World::new(seed, Wrap::Raw, Line::cut_often(seed)));
    assert!(4 * lost(&lives) > lives.len(), "only {} legs were lost in {} lives", lost(&lives), lives.len());
}
