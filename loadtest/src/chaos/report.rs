//! What a run found, for machines and for people.

mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use audio::coded::Tally;
use serde::Serialize;
use tokio::time::Instant;

use super::crowd::Call;
use super::fault::{Fault, Promise};
use super::judge::Judged;
use super::knock::Knocks;
use super::planned::{Moves, Planned};
use super::scenario::Scenario;
use super::stage::Count;
use crate::caller::Loss;

/// Streams with something wrong that are told one by one.
const EXAMPLES: usize = 20;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What was done.
    pub settings: Settings,
    /// Streams that were begun, or could not be.
    pub streams: usize,
    /// Words that they said.
    pub words: usize,
    /// A row for each fault that was put in, and one without a name for what no fault answers for.
    pub rows: Vec<Row>,
    /// Legs that sessions had beyond their first.
    pub moves: u64,
    /// Slots still promised 15 s after everything was over.
    pub leases_leaked: u64,
    /// Slots that engines still held then.
    pub slots_leaked: u64,
    /// Streams with something wrong, the first few.
    pub examples: Vec<Example>,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// One sentence.
    pub about: String,
    /// Where the dice began.
    pub seed: u64,
    /// Streams at the same time.
    pub streams: u16,
    /// How long faults were put in.
    pub seconds: f64,
}

/// What a fault did to callers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The fault; none for what no fault answers for.
    pub fault: Option<Fault>,
    /// What callers were promised.
    pub promise: Promise,
    /// How often it was put in.
    pub times: usize,
    /// Streams that it touched, each counted as often as it was.
    pub touched: usize,
    /// Words that were said and not heard.
    pub lost: usize,
    /// Words that were heard twice.
    pub doubled: usize,
    /// Words that nobody said.
    pub wrong: usize,
    /// How long nothing new was heard, in milliseconds; nothing where no stream went on.
    pub gap_ms: Option<Gap>,
    /// Streams that were refused or did not end as they should.
    pub errors: usize,
    /// How streams left in time, where they were told to.
    pub planned: Option<Planned>,
    /// Who connected while a proxy was replaced.
    pub knocks: Knocks,
}

/// Gaps, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gap {
    /// Half of the streams had at most this.
    pub p50: f64,
    /// 95 of 100 had at most this.
    pub p95: f64,
    /// None had more.
    pub max: f64,
}

/// A stream with something wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Example {
    /// The session, if there was one.
    pub session: Option<String>,
    /// The script that was read: its number and its words.
    pub script: (u16, u16),
    /// When it began and ended, in seconds since the first caller called.
    pub seconds: (f64, f64),
    /// Words lost, doubled and wrong.
    pub words: (usize, usize, usize),
    /// What the caller saw, if not a clean end.
    pub error: Option<String>,
    /// The faults that touched it: what, where, and when.
    pub faults: Vec<(Fault, String, f64)>,
}

impl Report {
    pub(super) fn new((scenario, seed): (&Scenario, u64), judged: &Judged<'_>, (left, moves): (Count, u64)) -> Self {
        let settings = Settings {
            about: scenario.about.clone(),
            seed,
            streams: scenario.streams.get(),
            seconds: scenario.lasts.as_secs_f64(),
        };
        let examples = judged.calls.iter().filter(|call| !call.is_well()).take(EXAMPLES);
        Self {
            settings,
            streams: judged.calls.len(),
            words: judged.calls.iter().map(|call| call.tally.spoken).sum(),
            rows: rows(judged, scenario.lost_callers),
            moves,
            leases_leaked: left.leases,
            slots_leaked: left.used,
            examples: examples.map(|call| Example::of(call, judged)).collect(),
        }
    }

    /// Tells whether every promise was kept: no word lost, doubled or wrong and no error but where a stream may end, no
    /// lease or slot left, and no stream moved without any fault.
    #[must_use]
    pub fn passed(&self) -> bool {
        let kept = self.rows.iter().all(Row::is_kept);
        let moved = self.moves > 0 && self.rows.iter().all(|row| row.fault.is_none());
        kept && self.leases_leaked == 0 && self.slots_leaked == 0 && !moved
    }
}

impl Row {
    fn is_kept(&self) -> bool {
        self.promise == Promise::MayEnd
            || self.lost + self.doubled + self.wrong + self.errors + self.knocks.refused == 0
    }
}

impl Call {
    fn is_well(&self) -> bool {
        self.error.is_none() && self.tally.is_clean()
    }
}

impl Example {
    fn of(call: &Call, judged: &Judged<'_>) -> Self {
        let since = |at: Instant| at.saturating_duration_since(judged.began).as_secs_f64();
        let Tally { lost, doubled, wrong, .. } = call.tally;
        Self {
            session: call.session.clone(),
            script: (call.script.session, call.script.words),
            seconds: (since(call.began), since(call.ended)),
            words: (lost, doubled, wrong),
            error: call.error.clone(),
            faults: judged.touching(call).map(|fault| (fault.fault, fault.target.clone(), since(fault.at))).collect(),
        }
    }
}

/// What is counted for one fault.
#[derive(Default)]
struct Sum {
    times: usize,
    touched: usize,
    words: Tally,
    gaps: Vec<Duration>,
    moves: Moves,
    errors: usize,
    knocks: Knocks,
}

fn rows(judged: &Judged<'_>, loss: Loss) -> Vec<Row> {
    let mut counts = BTreeMap::<Option<Fault>, Sum>::new();
    for fault in judged.faults {
        let count = counts.entry(Some(fault.fault)).or_default();
        count.times += 1;
        count.knocks.connects += fault.knocks.connects;
        count.knocks.refused += fault.knocks.refused;
    }
    for call in judged.calls {
        for fault in judged.touching(call) {
            let count = counts.entry(Some(fault.fault)).or_default();
            count.touched += 1;
            count.gaps.extend(judged.gap(call, fault));
            count.moves.note(call, fault);
        }
        let count =
            counts.entry(judged.culprit(call).filter(|_| !call.is_well()).map(|fault| fault.fault)).or_default();
        count.words += call.tally;
        count.errors += usize::from(call.error.is_some());
    }
    counts.into_iter().map(|(fault, count)| count.row(fault, loss)).collect()
}

impl Sum {
    fn row(mut self, fault: Option<Fault>, loss: Loss) -> Row {
        self.gaps.sort_unstable();
        Row {
            fault,
            promise: fault.map_or(Promise::NothingLost, |fault| fault.promise(loss)),
            times: self.times,
            touched: self.touched,
            lost: self.words.lost,
            doubled: self.words.doubled,
            wrong: self.words.wrong,
            gap_ms: Gap::of(&self.gaps),
            errors: self.errors,
            planned: self.moves.sum(),
            knocks: self.knocks,
        }
    }
}

impl Gap {
    /// Reads sorted gaps.
    fn of(gaps: &[Duration]) -> Option<Self> {
        let at = |share: usize| gaps.get((gaps.len() * share / 100).min(gaps.len().saturating_sub(1)));
        let millis = |gap: &Duration| gap.as_secs_f64() * 1e3;
        Some(Self { p50: millis(at(50)?), p95: millis(at(95)?), max: millis(gaps.last()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(rows: Vec<Row>) -> Report {
        let settings = Settings { about: "Now.".to_owned(), seed: 7, streams: 2, seconds: 60.0 };
        Report {
            settings,
            streams: 3,
            words: 90,
            rows,
            moves: 0,
            leases_leaked: 0,
            slots_leaked: 0,
            examples: Vec::new(),
        }
    }

    fn row(fault: Option<Fault>, (lost, errors): (usize, usize)) -> Row {
        let promise = fault.map_or(Promise::NothingLost, |fault| fault.promise(Loss::End));
        let (planned, knocks) = (None, Knocks::default());
        Row { fault, promise, times: 1, touched: 2, lost, doubled: 0, wrong: 0, gap_ms: None, errors, planned, knocks }
    }

    #[test]
    fn a_run_passes_when_every_promise_was_kept() {
        assert!(report(vec![row(Some(Fault::KillNode), (0, 0)), row(Some(Fault::KillProxy), (9, 3))]).passed());
        assert!(!report(vec![row(Some(Fault::KillNode), (1, 0))]).passed());
        assert!(!report(vec![row(Some(Fault::RollProxy), (0, 1))]).passed());
        let turned_away = Knocks { connects: 900, refused: 1 };
        assert!(!report(vec![Row { knocks: turned_away, ..row(Some(Fault::RollProxy), (0, 0)) }]).passed());
        assert!(!report(vec![row(None, (0, 1))]).passed());
        assert!(!Report { leases_leaked: 1, ..report(Vec::new()) }.passed());
        assert!(!Report { moves: 1, ..report(vec![row(None, (0, 0))]) }.passed());
        assert!(Report { moves: 1, ..report(vec![row(Some(Fault::KillNode), (0, 0))]) }.passed());
    }

    #[test]
    fn gaps_are_read_off_where_they_lie() {
        let gaps: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(Gap::of(&gaps), Some(Gap { p50: 101.0, p95: 191.0, max: 200.0 }));
        assert_eq!(Gap::of(&[]), None);
    }

    #[test]
    fn the_table_says_what_failed_and_with_which_seed() {
        let text = report(vec![row(None, (0, 0)), row(Some(Fault::KillNode), (12, 1))]).to_string();
        assert!(!text.contains("planned moves"));
        let planned = Some(Planned { moved: 3, in_time: 2, ended: 1, ..Planned::default() });
        let left = report(vec![Row { planned, ..row(Some(Fault::SpotNotice), (0, 0)) }]).to_string();
        assert!(left.contains("spot_notice            3        2       1"), "{left}");
        assert!(text.contains("seed 7") && text.contains("kill_node") && text.contains("FAILED"), "{text}");
    }
}
