//! The report as people read it.

use std::fmt;

use super::{Example, Gap, Knocks, Report, Row};
use crate::chaos::fault::Promise;

const EXPLANATION: &str = "\
A gap is the longest by which a result that covered new audio came later than is usual for its stream, after a fault.
Words and errors count for the last fault on the stream's way before its end. Refused are connects, of so many while a
proxy was replaced.";

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
