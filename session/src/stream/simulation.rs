//! Lives of a thousand streams, seeded: a caller, legs and a clock do whatever they can, and after each step the promises
//! are checked. The shell is modelled: it obeys verdicts and actions and nothing else.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use scheduler::NodeId;

use super::*;
use crate::testing::placement;

const SEEDS: u64 = 1_000;
const STEPS: u32 = 400;
/// Small, so that rings fill: a thousand bytes a second.
const RATE: u64 = 1_000;

const LIMITS: Limits = Limits {
    first_audio: Duration::from_secs(10),
    silence: Duration::from_secs(10),
    stall: Duration::from_secs(15),
    ring_bytes: 8_000,
};

/// What the shell waits for besides messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Nothing,
    Open,
    Ask,
}

/// One stream, what it was told, and what it did.
struct World {
    dice: StdRng,
    now: Timestamp,
    session: Session,
    pending: Pending,
    /// What the current leg was sent.
    leg: Option<Vec<Kept>>,
    /// What the caller sent and the session took, `KeepAlive` aside.
    accepted: Vec<Kept>,
    billed: u64,
    finals: u32,
    finished: bool,
    nodes: u32,
    tried: BTreeSet<NodeId>,
    epoch: u32,
    end: Option<CloseReason>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let now = Timestamp::at(Duration::from_secs(5));
        let first = dice.random_range(0..4);
        let placements = (0..first).map(|node| placement(&format!("n{node}"))).collect();
        let (session, action) = Session::begin(placements, Some(RATE), LIMITS, now);
        let mut world = Self {
            dice,
            now,
            session,
            pending: Pending::Nothing,
            leg: None,
            accepted: Vec::new(),
            billed: 0,
            finals: 0,
            finished: false,
            nodes: first,
            tried: BTreeSet::new(),
            epoch: 0,
            end: None,
        };
        world.act(Some(action));
        world
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.dice.random_range(0..100) < percent
    }

    /// Does what the session says, as the shell would.
    fn may_move(&self) {
        assert_eq!(self.finals, 0, "a stream moved after a final");
        assert!(self.session.ring().iter().eq(&self.accepted), "a stream moved without all that was said");
    }

    fn act(&mut self, action: Option<Action>) {
        match (action, self.end) {
            (None, _) => {}
            (Some(Action::End(reason)), end) => {
                assert!(end.is_none_or(|first| first == reason), "ended for {end:?} and then for {reason:?}");
                self.end = Some(reason);
                (self.leg, self.pending) = (None, Pending::Nothing);
            }
            (Some(action), Some(end)) => panic!("{action:?} after the end, {end:?}"),
            (Some(Action::Open { epoch, placement }), None) => {
                assert!(epoch > self.epoch, "epoch {epoch} after {}", self.epoch);
                assert!(self.tried.insert(placement.node.clone()), "{} was tried before", placement.node);
                self.may_move();
                (self.epoch, self.leg, self.pending) = (epoch, None, Pending::Open);
            }
            (Some(Action::Ask), None) => {
                self.may_move();
                (self.leg, self.pending) = (None, Pending::Ask);
            }
            (Some(Action::Replay), None) => {
                let kept: Vec<_> = self.session.ring().iter().cloned().collect();
                self.leg.as_mut().expect("a replay needs a leg").extend(kept);
            }
        }
    }

    fn relay(&mut self, verdict: Verdict, message: Kept) {
        match (verdict, &mut self.leg) {
            (Verdict::Relay, Some(leg)) => leg.push(message),
            (Verdict::Relay, None) => panic!("relayed without a leg"),
            (Verdict::Drop, _) => {}
        }
    }

    fn accept(&mut self, verdict: Verdict, message: Kept) {
        if self.end.is_none() && !self.finished {
            self.accepted.push(message.clone());
        }
        self.relay(verdict, message);
    }

    fn caller_speaks(&mut self) {
        if !self.session.has_room() && self.end.is_none() {
            return self.session.caller_held(self.now);
        }
        let number = u8::try_from(self.accepted.len() % 251).unwrap();
        let audio = Bytes::from(vec![number; self.dice.random_range(1..1_500)]);
        if self.end.is_none() && !self.finished {
            self.billed += audio.len() as u64;
        }
        let verdict = self.session.caller_audio(&audio, self.now);
        self.accept(verdict, Kept::Audio(audio));
    }

    fn caller_controls(&mut self) {
        let controls =
            [Control::Finalize, Control::Finalize, Control::Configure, Control::Configure, Control::CloseStream];
        let control = *controls.choose(&mut self.dice).unwrap();
        let raw = Bytes::from(format!("{control:?} {}", self.accepted.len()));
        let verdict = self.session.caller_control(control, &raw, self.now);
        self.accept(verdict, Kept::Control(control, raw));
        self.finished |= control == Control::CloseStream;
    }

    fn leg_speaks(&mut self) {
        let end = Duration::from_millis(self.dice.random_range(0..10_000));
        let closes = [LegClose::Normal, LegClose::Lost, LegClose::Lost, LegClose::BadAudio, LegClose::CallerSilent];
        let said = match self.dice.random_range(0..100) {
            0..70 => Said::Interim { end },
            70..80 => Said::Event,
            80..86 => Said::Final { end },
            _ => Said::Closed(*closes.choose(&mut self.dice).unwrap()),
        };
        let had_leg = self.leg.is_some();
        let (verdict, action) = self.session.leg_said(said, self.now);
        let passes = had_leg && !matches!(said, Said::Closed(_));
        assert_eq!(verdict, if passes { Verdict::Relay } else { Verdict::Drop });
        self.finals += u32::from(passes && matches!(said, Said::Final { .. }));
        if let (Some(Action::End(CloseReason::Completed)), None) = (&action, self.end) {
            assert!(self.finished && said == Said::Closed(LegClose::Normal), "completed by {said:?}");
        }
        self.act(action);
    }

    /// Gives the shell what it waits for.
    fn settle(&mut self) {
        let luck = self.dice.random_range(0..100);
        let action = match self.pending {
            Pending::Nothing => return,
            Pending::Open if luck < 40 => Some(self.session.leg_failed(CloseReason::NodeFailed)),
            Pending::Open => {
                (self.leg, self.pending) = (Some(Vec::new()), Pending::Nothing);
                self.session.leg_opened(self.now)
            }
            Pending::Ask if luck < 10 => Some(self.session.placed(Err(CloseReason::RouterAway))),
            Pending::Ask => {
                let answer = self.answer();
                Some(self.session.placed(Ok(answer)))
            }
        };
        self.act(action);
    }

    /// The router's answer: new nodes and, if it is mistaken, old ones.
    fn answer(&mut self) -> Vec<Placement> {
        let count = self.dice.random_range(0..4);
        let name = |world: &mut Self| {
            world.nodes += 1;
            if world.chance(20) { world.dice.random_range(0..world.nodes) } else { world.nodes }
        };
        (0..count).map(|_| placement(&format!("n{}", name(self)))).collect()
    }

    /// Lets time pass: a little, or until just before, at or after the deadline.
    fn wait(&mut self) {
        let little = self.now + Duration::from_millis(self.dice.random_range(1..2_000));
        let due = self.session.deadline().filter(|_| self.dice.random_range(0..100) < 8);
        let around = Duration::from_micros(1);
        self.now = match (due, self.dice.random_range(0..3)) {
            (None, _) => little,
            (Some(due), 0) => self.now.max(due - around),
            (Some(due), 1) => due,
            (Some(due), _) => due + around,
        };
        self.tick();
    }

    fn tick(&mut self) {
        let due = self.session.deadline().is_some_and(|due| self.now >= due);
        let action = self.session.tick(self.now);
        assert_eq!(due, action.is_some(), "the deadline says when a tick acts");
        self.act(action);
    }

    fn step(&mut self) {
        match self.dice.random_range(0..1_000) {
            0..400 => self.caller_speaks(),
            400..430 => self.caller_controls(),
            430..500 => {
                let verdict = self.session.caller_alive(self.now);
                assert_eq!(verdict == Verdict::Relay, self.leg.is_some() && !self.finished);
            }
            500..650 => self.leg_speaks(),
            650..750 => self.settle(),
            750..995 => self.wait(),
            995..998 if self.leg.is_some() => {
                let action = self.session.leg_failed(CloseReason::NodeFailed);
                self.act(Some(action));
            }
            998.. => {
                let action = self.session.end(CloseReason::CallerGone);
                self.act(Some(action));
            }
            _ => {}
        }
        self.check();
    }

    fn check(&self) {
        let session = &self.session;
        assert_eq!(session.ended(), self.end);
        assert_eq!(session.epoch(), self.epoch);
        assert_eq!(session.usage(self.now).bytes_in, self.billed, "what was accepted is billed, once");
        if let Some(leg) = &self.leg {
            assert_eq!(leg, &self.accepted, "a leg gets everything, once and in order");
        }
        if self.finals > 0 || self.end.is_some() {
            assert!(session.ring().is_empty(), "nothing is kept in vain");
        } else if session.ring().is_empty() && !self.accepted.is_empty() {
            let mut all = Ring::new(LIMITS.ring_bytes);
            self.accepted.iter().for_each(|message| all.keep(message.clone()));
            assert!(!all.has_room(), "only what is over the limit is let go");
        } else {
            assert!(session.ring().iter().eq(&self.accepted), "everything is kept for the next leg");
            let most = LIMITS.ring_bytes + 1_500 + self.accepted.len() * 64;
            assert!(session.ring().bytes() <= most, "{} bytes are kept", session.ring().bytes());
        }
        if self.end.is_some() {
            assert_eq!(session.deadline(), None);
        }
    }

    /// Leaves the stream alone: nobody speaks any more. Time must end it.
    fn run_out(&mut self) {
        let began = self.now;
        for _ in 0..100 {
            match (self.end, self.session.deadline()) {
                (Some(_), _) => break,
                (None, _) if self.pending != Pending::Nothing => self.settle(),
                (None, Some(due)) => {
                    self.now = self.now.max(due);
                    self.tick();
                }
                (None, None) => panic!("nothing is pending and nothing is due"),
            }
            self.check();
        }
        assert!(self.end.is_some(), "a stream that was left alone goes on");
        assert!(self.now.since(began) <= 10 * LIMITS.stall, "it took {:?}", self.now.since(began));
    }
}

#[test]
fn a_streams_promises_hold_whatever_happens() {
    let mut ends = BTreeSet::new();
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        let life = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            (0..STEPS).for_each(|_| world.step());
            world.run_out();
            (0..20).for_each(|_| world.step());
        }));
        assert!(life.is_ok(), "seed {seed} broke a promise");
        ends.extend(world.end.map(CloseReason::label));
    }
    let expected = BTreeSet::from([
        "bad_audio",
        "caller_gone",
        "caller_silent",
        "completed",
        "no_capacity",
        "node_failed",
        "node_lost",
        "node_stalled",
        "router_away",
    ]);
    assert_eq!(ends, expected, "the simulation reaches every end");
}
