//! Streams that leave a node before it goes away: whether they did in time, and how much longer than usual their callers
//! waited for results.
//!
//! A **wait** is the time from sending a piece of audio to the first result that covers it, for the first piece that the
//! result before did not cover: cadence and latency in one. The **added delay** of a move is the longest wait from one
//! second before the leg was left to three seconds after, less what 95 of 100 waits of that stream take at most. As the
//! longest of several waits is longer than most of them without any move, the same is measured eight seconds earlier, for
//! comparison.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::crowd::Call;
use super::inject::Injected;

/// What counts for a move.
const BEFORE: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_secs(3);
/// Where the comparison is.
const EARLIER: Duration = Duration::from_secs(8);
/// Streams have to be gone so long before a node is.
const MARGIN: Duration = Duration::from_secs(5);
/// A stream that ended so soon after its leg was not moved.
const ENDING: Duration = Duration::from_secs(1);

/// Who left a node, and when it went away.
#[derive(Clone, Debug)]
pub(super) struct Departures {
    pub(super) deadline: Instant,
    /// When the last leg there ended, by session.
    pub(super) left: HashMap<String, Instant>,
}

/// How streams left nodes that went away.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Planned {
    /// Streams that went on elsewhere.
    pub moved: usize,
    /// Those of them that had left five seconds before the deadline.
    pub in_time: usize,
    /// Streams that ended by themselves before they had to leave.
    pub ended: usize,
    /// How much longer than usual callers waited for results, in milliseconds.
    pub delay_ms: Option<Delay>,
    /// The same eight seconds before the move.
    pub before_ms: Option<Delay>,
}

/// Delays, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Delay {
    /// Half had at most this.
    pub p50: f64,
    /// 95 of 100 had at most this.
    pub p95: f64,
    /// 99 of 100 had at most this.
    pub p99: f64,
    /// None had more.
    pub max: f64,
}

/// What is counted for one kind of fault.
#[derive(Default)]
pub(super) struct Moves {
    planned: Planned,
    delays: Vec<Duration>,
    before: Vec<Duration>,
}

impl Moves {
    /// Counts a stream that a fault touched.
    pub(super) fn note(&mut self, call: &Call, fault: &Injected) {
        let (Some(departures), Some(session)) = (&fault.departures, &call.session) else { return };
        let left = departures.left.get(session).filter(|left| call.ended > **left + ENDING);
        let Some(&left) = left else {
            self.planned.ended += 1;
            return;
        };
        self.planned.moved += 1;
        self.planned.in_time += usize::from(left + MARGIN <= departures.deadline);
        self.delays.extend(added(call, left));
        self.before.extend(left.checked_sub(EARLIER).and_then(|earlier| added(call, earlier)));
    }

    /// Sums up, if anybody had to leave.
    pub(super) fn sum(mut self) -> Option<Planned> {
        if self.planned.moved + self.planned.ended == 0 {
            return None;
        }
        self.planned.delay_ms = Delay::of(self.delays);
        self.planned.before_ms = Delay::of(self.before);
        Some(self.planned)
    }
}

/// Returns how much longer than usual a stream waited around a moment.
fn added(call: &Call, around: Instant) -> Option<Duration> {
    let waits = waits(call);
    let near = |at: Instant| at + BEFORE >= around && at <= around + AFTER;
    let longest = waits.iter().filter(|(at, _)| near(*at)).map(|(_, wait)| *wait).max()?;
    let mut all: Vec<Duration> = waits.iter().map(|(_, wait)| *wait).collect();
    all.sort_unstable();
    let usual = all.get(all.len() * 95 / 100).copied()?;
    Some(longest.saturating_sub(usual))
}

/// Lists when results came that covered new audio, and how long the first of that had waited.
fn waits(call: &Call) -> Vec<(Instant, Duration)> {
    let covered = |of: &super::crowd::Progress| of.at.checked_sub(of.took);
    let wait = |pair: &[super::crowd::Progress]| {
        let [before, after] = pair else { return None };
        Some((after.at, after.at.saturating_duration_since(covered(before)?)))
    };
    call.progress.windows(2).filter_map(wait).collect()
}

impl Delay {
    fn of(mut delays: Vec<Duration>) -> Option<Self> {
        delays.sort_unstable();
        let at = |share: usize| delays.get((delays.len() * share / 100).min(delays.len().saturating_sub(1)));
        let millis = |delay: &Duration| delay.as_secs_f64() * 1e3;
        Some(Self { p50: millis(at(50)?), p95: millis(at(95)?), p99: millis(at(99)?), max: millis(delays.last()?) })
    }
}

#[cfg(test)]
mod tests {
    use audio::coded::{Script, Tally};

    use super::super::crowd::Progress;
    use super::super::fault::Fault;
    use super::super::inject::Touched;
    use super::*;

    /// A stream of a minute with a result every half second, but none in the half seconds of `missing`.
    fn call(began: Instant, missing: std::ops::Range<u64>) -> Call {
        let results = (1..120).filter(|half| !missing.contains(half));
        let at = |half: u64| began + Duration::from_millis(half * 500);
        Call {
            script: Script { session: 1, words: 9 },
            session: Some("a".to_owned()),
            proxy: 0,
            began,
            ended: began + Duration::from_secs(60),
            tally: Tally::default(),
            progress: results.map(|half| Progress { at: at(half), took: Duration::from_millis(50) }).collect(),
            error: None,
        }
    }

    fn moved(call: &Call, left: u64, deadline: u64) -> Planned {
        let at = |seconds| call.began + Duration::from_secs(seconds);
        let departures = Departures { deadline: at(deadline), left: [("a".to_owned(), at(left))].into() };
        let touched = Touched::Sessions(["a".to_owned()].into());
        let (at, over) = (at(10), at(deadline));
        let fault = Fault::SpotNotice;
        let mut moves = Moves::default();
        let (departures, knocks) = (Some(departures), super::super::Knocks::default());
        moves.note(call, &Injected { fault, target: String::new(), at, over, touched, departures, knocks });
        moves.sum().unwrap()
    }

    #[test]
    fn a_move_costs_what_the_caller_waited_beyond_what_is_usual() {
        let began = Instant::now();
        let planned = moved(&call(began, 41..43), 20, 40);
        assert_eq!((planned.moved, planned.in_time, planned.ended), (1, 1, 0));
        let added = |delay: Option<Delay>| delay.map(|delay| delay.max.round());
        assert_eq!((added(planned.delay_ms), added(planned.before_ms)), (Some(1_000.0), Some(0.0)));
        assert_eq!(added(moved(&call(began, 0..0), 20, 40).delay_ms), Some(0.0));
    }

    #[test]
    fn who_leaves_late_or_ends_is_counted_so() {
        let call = call(Instant::now(), 0..0);
        let planned = moved(&call, 36, 40);
        assert_eq!((planned.moved, planned.in_time), (1, 0));
        let planned = moved(&call, 60, 90);
        assert_eq!((planned.moved, planned.ended), (0, 1));
    }
}
