//! The report as people read it.

use std::fmt;

use super::{Figures, Loaded, Peer, Report};
use crate::spread::Spread;

/// Width of the peers' names, and of a column.
const NAME: usize = 12;
const COLUMN: usize = 21;

const EXPLANATION: &str = "\
Figures are medians of the rounds (least..most); ratios and what is added compare rounds that stood side by side. Processor
time is all that the peer used, results and housekeeping included, for one message of audio. Latency is from a message
to the engine's answer, both ways through the peer; \"added\" is what it is more than without a peer.";

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} rounds of {} s each, in turn, all on {} processors",
            self.rounds, self.seconds, self.processors
        )?;
        for loaded in self.loads.iter().filter(|loaded| !loaded.peers.is_empty()) {
            loaded.write(f)?;
        }
        if !self.idle_kib.is_empty() {
            writeln!(f, "\nmemory of an idle stream, KiB")?;
        }
        for (peer, kib) in &self.idle_kib {
            writeln!(f, "{peer:NAME$}{kib:>COLUMN$.1}")?;
        }
        writeln!(f, "\n{EXPLANATION}")?;
        for missing in &self.missing {
            writeln!(f, "\n{missing}")?;
        }
        self.write_judgement(f)
    }
}

impl Report {
    fn write_judgement(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for loaded in &self.loads {
            for (peer, figures) in &loaded.peers {
                for failure in &figures.failures {
                    writeln!(f, "\nA stream through {peer} failed: {failure}")?;
                }
            }
        }
        if self.overloaded() {
            writeln!(f, "\nThis machine is too busy: callers sent late. Distrust the latencies.")?;
        }
        Ok(())
    }
}

impl Loaded {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{} streams of {} ms messages", self.load.streams, self.load.frame.as_millis())?;
        let names = ["CPU, µs a message", "÷ nginx", "÷ bare relay", "added p50, ms", "added p99, ms", "added max, ms"];
        write!(f, "{:NAME$}", "")?;
        names.iter().try_for_each(|name| write!(f, "{name:>COLUMN$}"))?;
        writeln!(f)?;
        self.peers.iter().try_for_each(|(peer, figures)| figures.write(*peer, f))
    }
}

impl Figures {
    fn write(&self, peer: Peer, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{peer:NAME$}")?;
        if peer == Peer::Direct {
            return writeln!(f, "  (answers within {} ms, p50; callers late by {} ms, p99)", self.p50_ms, self.late_ms);
        }
        write!(f, "{:>COLUMN$}", self.cpu_us)?;
        for ratio in [self.cpu_of_nginx, self.cpu_of_bare] {
            write!(f, "{:>COLUMN$}", ratio.as_ref().map(Spread::to_string).unwrap_or_default())?;
        }
        for added in [self.added_p50_ms, self.added_p99_ms, self.added_max_ms] {
            write!(f, "{added:>COLUMN$}")?;
        }
        writeln!(f)
    }
}
