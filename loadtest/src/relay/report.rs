//! What a comparison of peers found: figures for machines, and a table for people.

mod table;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::round::Round;
use super::{Load, Options, Peer};
use crate::kernel::processors;
use crate::spread::Spread;

/// Failures that are quoted.
const QUOTED: usize = 5;
/// Callers later than this, in milliseconds, are too busy to be believed.
const LATE: f64 = 5.0;

/// What was found. Its `Display` is a table with an explanation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Length of a round, in seconds.
    pub seconds: f64,
    /// Rounds of each peer under each load.
    pub rounds: u16,
    /// Processors of the machine that everybody shares.
    pub processors: usize,
    /// The figures of each load.
    pub loads: Vec<Loaded>,
    /// Memory of a stream on which nothing is said, in KiB, by peer.
    pub idle_kib: BTreeMap<Peer, Spread>,
    /// Who was left out, and why.
    pub missing: Vec<String>,
}

/// The figures of one load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Loaded {
    /// The load.
    pub load: Load,
    /// The figures of each peer.
    pub peers: BTreeMap<Peer, Figures>,
}

/// The figures of one peer under one load. Ratios and differences compare rounds that stood side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Processor time per message of audio, in microseconds.
    pub cpu_us: Spread,
    /// The same, divided by nginx's.
    pub cpu_of_nginx: Option<Spread>,
    /// The same, divided by the bare relay's.
    pub cpu_of_bare: Option<Spread>,
    /// Time from a message to its answer that half of all do not exceed, in milliseconds.
    pub p50_ms: Spread,
    /// The same, less that without a peer.
    pub added_p50_ms: Spread,
    /// The same for 99 in a hundred.
    pub added_p99_ms: Spread,
    /// The same for the longest.
    pub added_max_ms: Spread,
    /// How late callers sent, 99 in a hundred, in milliseconds.
    pub late_ms: Spread,
    /// Messages of audio that were sent.
    pub messages: u64,
    /// Why streams failed.
    pub failures: BTreeSet<String>,
}

/// All rounds, in the order in which they were played.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    played: Vec<(Load, Peer, Round)>,
    memory: Vec<(Peer, f64)>,
}

impl Rounds {
    pub(super) fn add(&mut self, load: Load, peer: Peer, round: Round) {
        self.played.push((load, peer, round));
    }

    pub(super) fn add_memory(&mut self, peer: Peer, kib: f64) {
        self.memory.push((peer, kib));
    }

    fn of(&self, load: Load, peer: Peer) -> Vec<&Round> {
        let played = self.played.iter().filter(|(its, who, _round)| (*its, *who) == (load, peer));
        played.map(|(_load, _peer, round)| round).collect()
    }

    /// Compares the rounds of two peers one by one.
    fn compared(&self, load: Load, peers: [Peer; 2], compare: impl Fn(&Round, &Round) -> f64) -> Option<Spread> {
        let [these, those] = peers.map(|peer| self.of(load, peer));
        let pairs = these.into_iter().zip(those);
        let figures: Vec<_> = pairs.map(|(this, that)| compare(this, that)).collect();
        (!figures.is_empty()).then(|| Spread::of(figures))
    }

    fn figures(&self, load: Load, peer: Peer) -> Option<Figures> {
        let rounds = self.of(load, peer);
        let spread = |figure: fn(&Round) -> f64| Spread::of(rounds.iter().map(|round| figure(round)));
        let cpu = |other| self.compared(load, [peer, other], |this, that| this.cpu_us / that.cpu_us);
        let added = |place: usize| {
            let less = |this: &Round, that: &Round| this.latency_ms[place] - that.latency_ms[place];
            self.compared(load, [peer, Peer::Direct], less).unwrap_or_else(|| Spread::of([]))
        };
        let failures = rounds.iter().flat_map(|round| round.failures.iter().cloned());
        (!rounds.is_empty()).then(|| Figures {
            cpu_us: spread(|round| round.cpu_us),
            cpu_of_nginx: cpu(Peer::Nginx).filter(|_ratio| peer != Peer::Direct),
            cpu_of_bare: cpu(Peer::Bare).filter(|_ratio| peer != Peer::Direct),
            p50_ms: spread(|round| round.latency_ms[0]),
            added_p50_ms: added(0),
            added_p99_ms: added(1),
            added_max_ms: added(2),
            late_ms: spread(|round| round.late_ms),
            messages: rounds.iter().map(|round| round.messages).sum(),
            failures: failures.take(QUOTED).collect(),
        })
    }
}

impl Report {
    /// Summarises all rounds.
    pub(super) fn new(options: &Options, rounds: &Rounds, missing: Vec<String>) -> Self {
        let peers = |load| Peer::ALL.into_iter().filter_map(move |peer| Some((peer, rounds.figures(load, peer)?)));
        let memory = |peer| {
            let samples: Vec<_> =
                rounds.memory.iter().filter(|(who, _kib)| *who == peer).map(|(_who, kib)| *kib).collect();
            (!samples.is_empty()).then(|| (peer, Spread::of(samples)))
        };
        Self {
            seconds: options.duration.as_secs_f64(),
            rounds: options.rounds.get(),
            processors: processors().get(),
            loads: Load::ALL.map(|load| Loaded { load, peers: peers(load).collect() }).into(),
            idle_kib: Peer::ALL.into_iter().filter_map(memory).collect(),
            missing,
        }
    }

    /// Tells whether every stream was served and every message that asked for a result got it.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.all().all(|figures| figures.failures.is_empty() && figures.messages > 0)
    }

    /// Tells whether callers sent too late for the latencies to be believed.
    #[must_use]
    pub fn overloaded(&self) -> bool {
        self.all().any(|figures| figures.late_ms.median > LATE)
    }

    fn all(&self) -> impl Iterator<Item = &Figures> {
        self.loads.iter().flat_map(|loaded| loaded.peers.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU16;
    use std::time::Duration;

    fn round(cpu_us: f64, latency: f64) -> Round {
        Round { cpu_us, messages: 10, latency_ms: [latency, latency * 2.0, latency * 4.0], ..Round::default() }
    }

    fn report() -> Report {
        let mut rounds = Rounds::default();
        for (nginx, proxy, direct) in [(10.0, 9.0, 1.0), (20.0, 19.0, 2.0), (10.0, 8.0, 3.0)] {
            rounds.add(Load::ALL[0], Peer::Nginx, round(nginx, direct + 0.1));
            rounds.add(Load::ALL[0], Peer::Direct, round(0.0, direct));
            rounds.add(Load::ALL[0], Peer::Proxy, round(proxy, direct + 0.2));
        }
        rounds.add_memory(Peer::Proxy, 15.0);
        let rounds_each = NonZeroU16::MIN.saturating_add(2);
        let (binary, proxy) = ("crosspoint".into(), "crosspoint".into());
        let options = Options { binary, proxy, duration: Duration::from_secs(5), rounds: rounds_each };
        Report::new(&options, &rounds, vec!["HAProxy is left out".to_owned()])
    }

    #[test]
    fn peers_are_compared_round_by_round_and_not_by_their_medians() {
        let report = report();
        let proxy = &report.loads[0].peers[&Peer::Proxy];
        let ratio = proxy.cpu_of_nginx.unwrap();
        assert_eq!((ratio.median, ratio.min, ratio.max), (0.9, 0.8, 0.95));
        assert!((proxy.added_p50_ms.median - 0.2).abs() < 1e-9 && (proxy.added_p99_ms.max - 0.4).abs() < 1e-9);
        assert_eq!(proxy.cpu_of_bare, None);
    }

    #[test]
    fn the_table_names_everybody_who_was_there_and_who_was_not() {
        let text = report().to_string();
        for expected in
            ["100 streams", "nginx", "proxy", "15.0 (15.0..15.0)", "HAProxy is left out", "0.90 (0.80..0.95)"]
        {
            assert!(text.contains(expected), "no {expected:?} in\n{text}");
        }
        assert!(report().passed());
    }
}
