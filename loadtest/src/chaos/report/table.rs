//! The report as people read it.

use std::fmt;

use super::{Example, Gap, Knocks, Report, Row};
use crate::chaos::fault::Promise;
use crate::chaos::planned::{Delay, Planned};

const EXPLANATION: &str = "\
A gap is the longest by which a result that covered new audio came later than is usual for its stream, after a fault.
Words and errors count for the last fault on the stream's way before its end. Refused are connects, of so many while a
proxy was replaced.";

/// What an added delay is.
const PLANNED: &str = "(waits for results beyond 95 of 100 of the stream's)";

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.settings;
        writeln!(f, "{}", settings.about)?;
        let Self { streams, words, .. } = self;
        writeln!(
            f,
            "{} streams at the same time for {:.0} s, seed {}: {streams} streams, {words} words\n",
            settings.streams, settings.seconds, settings.seed
        )?;
        writeln!(
            f,
            "{:<16} {:>5} {:>8} {:>7} {:>8} {:>6} {:>9} {:>8} {:>8} {:>7} {:>9}",
            "fault", "times", "touched", "lost", "doubled", "wrong", "gap p50", "p95", "max", "errors", "refused"
        )?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        self.write_planned(f)?;
        writeln!(
            f,
            "\nmoves {}   leases leaked {}   slots leaked {}\n\n{EXPLANATION}\n",
            self.moves, self.leases_leaked, self.slots_leaked
        )?;
        self.examples.iter().try_for_each(|example| writeln!(f, "{example}"))?;
        if !self.passed() {
            writeln!(f, "\nFAILED: a promise was not kept. The same faults come again with --seed {}.", settings.seed)?;
        }
        Ok(())
    }
}

impl Report {
    /// Tells of streams that left in time, if any had to.
    fn write_planned(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = || self.rows.iter().filter_map(|row| Some((row.fault?.name(), row.planned.as_ref()?)));
        if rows().next().is_none() {
            return Ok(());
        }
        writeln!(
            f,
            "\n{:<16} {:>7} {:>8} {:>7} {:>10} {:>8} {:>8} {:>8}   {PLANNED}",
            "planned moves", "moved", "in time", "ended", "added p50", "p95", "p99", "max"
        )?;
        rows().try_for_each(|(fault, planned)| {
            let Planned { moved, in_time, ended, delay_ms, before_ms } = planned;
            writeln!(f, "{fault:<16} {moved:>7} {in_time:>8} {ended:>7}{}", figures(*delay_ms))?;
            writeln!(f, "{:<40}{}", "  8 s before each", figures(*before_ms))
        })
    }
}

fn figures(delay: Option<Delay>) -> String {
    let figure = |of: fn(Delay) -> f64| delay.map_or_else(|| "-".to_owned(), |delay| format!("{:.0} ms", of(delay)));
    let (p50, p95) = (figure(|delay| delay.p50), figure(|delay| delay.p95));
    format!(" {p50:>10} {p95:>8} {:>8} {:>8}", figure(|delay| delay.p99), figure(|delay| delay.max))
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = self.fault.map_or("(none)", |fault| fault.name());
        let gap = |of: fn(Gap) -> f64| self.gap_ms.map_or_else(|| "-".to_owned(), |gap| format!("{:.0} ms", of(gap)));
        write!(
            f,
            "{fault:<16} {:>5} {:>8} {:>7} {:>8} {:>6} {:>9} {:>8} {:>8} {:>7} {:>9}",
            self.times,
            self.touched,
            self.lost,
            self.doubled,
            self.wrong,
            gap(|gap| gap.p50),
            gap(|gap| gap.p95),
            gap(|gap| gap.max),
            self.errors,
            match self.knocks {
                Knocks { connects: 0, .. } => "-".to_owned(),
                Knocks { connects, refused } => format!("{refused}/{connects}"),
            }
        )?;
        if self.promise == Promise::MayEnd { f.write_str("   (may end)") } else { Ok(()) }
    }
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let session = self.session.as_deref().unwrap_or("not opened");
        let ((lost, doubled, wrong), (began, ended)) = (self.words, self.seconds);
        write!(
            f,
            "{session}: words of script {}, {began:.1} to {ended:.1} s, {lost} lost, {doubled} doubled, {wrong} wrong",
            self.script.0
        )?;
        if let Some(error) = &self.error {
            write!(f, ", {error}")?;
        }
        let faults = self.faults.iter();
        faults.into_iter().try_for_each(|(fault, target, at)| write!(f, "; {fault} of {target} at {at:.1} s"))
    }
}
