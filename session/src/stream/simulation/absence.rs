//! What happens to a simulated caller's connection: it breaks and comes back, to the same proxy or, where that is lost with
//! all that it knew, to another one. The last results may be lost on the way.

use std::collections::VecDeque;

use super::*;
use crate::absence::{Earlier, Parking, Progress};
use crate::events::Word;
use crate::kept::Kept;

/// A caller that goes on elsewhere sends again from so many milliseconds before what is settled.
const AGAIN: u64 = 3_000;
/// A caller is told how far it is every so many milliseconds.
const ACK: u64 = 1_000;

/// A final result, as the caller is told it.
#[derive(Clone, Debug)]
pub(super) struct Final {
    pub(super) raw: Bytes,
    pub(super) change: Change,
}

/// What goes wrong with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    /// It breaks, and there is another one after so many milliseconds.
    Connection { lasts: u64 },
    /// Its proxy is killed.
    Proxy,
}

/// A caller's connection.
#[derive(Debug)]
pub(super) struct Line {
    breaks: VecDeque<(u64, Break)>,
    back_at: Option<u64>,
    kept: Kept,
    /// How many results had been told before each word of how far it is.
    acks: Vec<(usize, Progress)>,
    acked_at: u64,
    earlier: Earlier,
    /// Results that an earlier proxy told, and where the last of them ended.
    told_before: (usize, u64),
    handed_back: bool,
    parking: Option<Parking>,
}

impl Line {
    /// One that holds.
    pub(super) fn plain() -> Self {
        Self {
            breaks: VecDeque::new(),
            back_at: None,
            kept: Kept::new(0, 256, 1 << 20),
            acks: Vec::new(),
            acked_at: 0,
            earlier: Earlier::default(),
            told_before: (0, 0),
            handed_back: true,
            parking: None,
        }
    }

    /// One that breaks every few seconds, of a caller that comes back.
    pub(super) fn cut_often(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed ^ 0xcafe);
        let (mut at, mut breaks) = (5_000, VecDeque::new());
        for _ in 0..dice.random_range(1..5) {
            at += dice.random_range(500..12_000);
            let lasts = dice.random_range(10..9_000);
            breaks.push_back((at, if dice.random_ratio(1, 2) { Break::Proxy } else { Break::Connection { lasts } }));
        }
        let parking = Parking { leg: Duration::from_secs(5), keep: Duration::from_secs(60) };
        Self { breaks, parking: Some(parking), ..Self::plain() }
    }

    pub(super) fn parking(&self) -> Option<Parking> {
        self.parking
    }

    pub(super) fn is_cut(&self) -> bool {
        self.back_at.is_some()
    }

    /// What is final may end here before any of it was sent again.
    pub(super) fn told_before(&self) -> u64 {
        self.told_before.1
    }

    /// Audio before it was paid for elsewhere.
    pub(super) fn paid(&self) -> u64 {
        self.earlier.from.max(self.earlier.received)
    }
}

impl World {
    pub(super) fn keep(&mut self, told: Final) {
        self.line.kept.push(|_number| told.raw.clone());
        self.finals.push(told);
    }

    pub(super) fn come_and_go(&mut self) {
        if self.line.back_at.is_some_and(|at| self.now >= at) {
            self.line.back_at = None;
            self.session.caller_returned(self.at());
            assert_eq!(self.session.progress().map(|progress| progress.received), Some(self.sent));
        }
        if self.line.is_cut() || self.sent == 0 {
            return;
        }
        if self.line.parking.is_some() && self.now >= self.line.acked_at + ACK {
            self.line.acked_at = self.now;
            let told = self.finals.len();
            self.line.acks.extend(self.session.progress().map(|progress| (told, progress)));
        }
        let due = self.line.breaks.pop_front_if(|(at, _)| self.now >= *at);
        match due {
            Some((_, Break::Connection { lasts })) => self.lose_connection(lasts),
            Some((_, Break::Proxy)) => self.lose_proxy(),
            None => {}
        }
    }

    /// Up to two of the last results may not have arrived.
    fn arrived(&mut self) -> usize {
        let late = self.dice.random_range(0..3);
        let arrived = self.finals.len().saturating_sub(late).max(self.line.told_before.0);
        self.line.acks.retain(|(told, _)| *told <= arrived);
        arrived
    }

    fn lose_connection(&mut self, lasts: u64) {
        self.line.back_at = Some(self.now + lasts);
        let (arrived, now) = (self.arrived(), self.at());
        self.session.caller_lost(CloseReason::CallerGone, now);
        let again: Vec<_> = self.line.kept.after(arrived as u64).collect();
        assert!(
            again.into_iter().eq(self.finals[arrived..].iter().map(|told| &told.raw)),
            "what was lost is told again"
        );
    }

    /// Another proxy takes the caller on: it knows what the caller says, and nothing else.
    fn lose_proxy(&mut self) {
        let arrived = self.arrived();
        self.finals.truncate(arrived);
        let acked = self.line.acks.last().map_or(Progress { received: 0, settled: 0 }, |(_, acked)| *acked);
        let earlier = Earlier { from: acked.settled.saturating_sub(AGAIN), received: acked.received };
        self.finalizes = self.answered();
        let placements = (0..3).map(|node| placement(&format!("n{node}"))).collect();
        let (layout, limits) = (self.session.layout, self.session.limits.clone());
        let begun =
            Begun { placements, layout, limits, seed: self.now, parking: self.line.parking(), earlier: Some(earlier) };
        self.silenced_before.append(&mut self.session.poison.silenced);
        self.session = Session::begin(begun, self.at());
        self.session.silence_with(u8::MAX);
        self.legs.clear();
        self.pending = Pending::Nothing;
        (self.sent, self.noticed, self.is_closed) = (earlier.from, earlier.from, false);
        self.told_epoch = 0;
        self.line.kept = Kept::new(arrived as u64, 256, 1 << 20);
        (self.line.earlier, self.line.handed_back) = (earlier, false);
        let end = self.finals.last().map_or(0, |last| u64::try_from(last.change.end.as_millis()).unwrap());
        self.line.told_before = (arrived, end);
        self.line.acks.truncate(1);
        self.line.acks.iter_mut().for_each(|ack| *ack = (arrived, acked));
    }

    /// Says what it was told of the audio that it will send again.
    pub(super) fn hand_back(&mut self) {
        if std::mem::replace(&mut self.line.handed_back, true) {
            return;
        }
        let from = Duration::from_millis(self.line.earlier.from);
        let last = self.finals.len().saturating_sub(1);
        let again = self.finals.iter().enumerate().filter(|(number, told)| *number == last || told.change.end > from);
        let again: Vec<Heard> = again.map(|(_, told)| self.as_told(told)).collect();
        again.iter().for_each(|heard| self.session.recall(heard, self.at()));
    }

    /// A result with the times that the caller saw.
    fn as_told(&self, told: &Final) -> Heard {
        let Change { start, end, shift, dropped, .. } = told.change;
        let (Said::Final(heard) | Said::Interim(heard)) = &self.messages[number(&told.raw)].2 else {
            panic!("only results are told")
        };
        let place = |time: Duration| {
            let nanos = i64::try_from(time.as_nanos()).unwrap() + shift;
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)).clamp(start, end)
        };
        let words = heard.words[dropped..].iter();
        let words = words.map(|word| Word { text: word.text.clone(), start: place(word.start), end: place(word.end) });
        Heard { start, end, words: words.collect(), ..heard.clone() }
    }
}
