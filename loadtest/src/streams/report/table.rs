//! The report as people read it.

use std::fmt;

use super::{Load, Report, Side};
use crate::spread::Spread;

/// Width of the rows' names, and of a column.
const NAME: usize = 28;
const COLUMN: usize = 26;

const EXPLANATION: &str = "\
Figures are medians of the rounds (least..most). A result's latency is the time from sending the message that holds
the last sound it covers to receiving it; \"added\" compares rounds that followed each other. The proxy's processor
time and memory hold everything it did and kept for its streams, results and housekeeping included.";

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_settings(f)?;
        row(f, "", ["through the proxy", "direct to the engine", "added"])?;
        self.write_latencies(f)?;
        self.write_words(f)?;
        self.write_load(f)?;
        self.write_cost(f)?;
        writeln!(f, "\n{EXPLANATION}")?;
        self.write_judgement(f)
    }
}

impl Report {
    fn write_settings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.settings;
        writeln!(
            f,
            "{} streams, each {} messages a second of {} bytes (16-bit, 16 kHz, mono), in real time",
            settings.streams, settings.messages_per_second, settings.message_bytes
        )?;
        writeln!(
            f,
            "measured {} × {} s each way in turn, each after {} s of warm-up, all on {} processors\n",
            settings.rounds, settings.seconds, settings.warm_up_seconds, settings.processors
        )
    }

    fn write_latencies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (proxied, direct, added) = (&self.proxied.latency_ms, &self.direct.latency_ms, &self.added);
        spreads(f, "latency of results, ms   p50", [proxied.p50, direct.p50, added.p50])?;
        spreads(f, "                         p99", [proxied.p99, direct.p99, added.p99])?;
        spreads(f, "                         max", [proxied.max, direct.max, added.max])?;
        self.counts(f, "results timed", |side| side.results.to_string())
    }

    fn write_words(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts(f, "words spoken", |side| side.words.spoken.to_string())?;
        self.counts(f, "  lost", |side| side.words.lost.to_string())?;
        self.counts(f, "  doubled", |side| side.words.doubled.to_string())?;
        self.counts(f, "  wrong", |side| side.words.wrong.to_string())?;
        self.counts(f, "streams", |side| side.streams.to_string())?;
        self.counts(f, "  failed", |side| side.failed.to_string())
    }

    fn write_load(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let late = |of: fn(&Side) -> Spread| [of(&self.proxied), of(&self.direct)];
        spreads(f, "callers sent late, ms    p99", late(|side| side.callers_late_ms.p99))?;
        spreads(f, "                         max", late(|side| side.callers_late_ms.max))?;
        let busy = |of: fn(&Load) -> Spread| [of(&self.proxied.busy), of(&self.direct.busy)];
        spreads(f, "processors busy      callers", busy(|load| load.callers))?;
        spreads(f, "                       proxy", busy(|load| load.proxy))?;
        spreads(f, "            engine and agent", busy(|load| load.engine))?;
        spreads(f, "                      router", busy(|load| load.router))?;
        spreads(f, "              other programs", busy(|load| load.others))
    }

    fn write_cost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cost = &self.cost;
        writeln!(f, "\nproxy, processor time    {} µs per message of audio", cost.cpu_us_per_message)?;
        writeln!(
            f,
            "proxy, memory            {:.1} KiB per stream: {:.0} KiB before, {:.0} KiB with all",
            cost.memory_kib_per_stream, cost.memory_kib_before, cost.memory_kib_with_all
        )
    }

    fn write_judgement(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in self.proxied.failures.union(&self.direct.failures) {
            writeln!(f, "\nA stream failed: {failure}")?;
        }
        if !self.passed() {
            writeln!(f, "\nFAILED: every stream must be served and every word must come exactly once.")?;
        }
        if self.overloaded() {
            writeln!(
                f,
                "\nThis machine is too busy: callers sent late. Distrust the latencies, or use fewer streams."
            )?;
        }
        if self.disturbed() {
            writeln!(f, "\nOther programs were at work: distrust the latencies, or try when the machine is quiet.")?;
        }
        Ok(())
    }

    fn counts(&self, f: &mut fmt::Formatter<'_>, name: &str, count: impl Fn(&Side) -> String) -> fmt::Result {
        row(f, name, [count(&self.proxied), count(&self.direct)])
    }
}

fn spreads<const N: usize>(f: &mut fmt::Formatter<'_>, name: &str, cells: [Spread; N]) -> fmt::Result {
    row(f, name, cells.map(|cell| cell.to_string()))
}

fn row<const N: usize>(f: &mut fmt::Formatter<'_>, name: &str, cells: [impl AsRef<str>; N]) -> fmt::Result {
    let mut line = format!("{name:NAME$}");
    for cell in cells {
        line.push_str(&format!("  {:>COLUMN$}", cell.as_ref()));
    }
    writeln!(f, "{}", line.trim_end())
}
