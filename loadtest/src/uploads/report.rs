//! What a comparison of uploads found: figures for machines, and a table for people.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{Options, Round, Size};
use crate::kernel::processors;
use crate::relay::Peer;
use crate::spread::Spread;

/// Width of the peers' names, and of a column.
const NAME: usize = 12;
const COLUMN: usize = 26;

/// What was found. Its `Display` is a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Length of a round, in seconds.
    pub seconds: f64,
    /// Rounds of each peer with each size.
    pub rounds: u16,
    /// Processors of the machine that everybody shares.
    pub processors: usize,
    /// The figures of each size of file.
    pub sizes: Vec<OfSize>,
    /// Who was left out, and why.
    pub missing: Vec<String>,
}

/// The figures of one size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfSize {
    /// The size.
    pub size: Size,
    /// The figures of each peer.
    pub peers: BTreeMap<Peer, Figures>,
}

/// The figures of one peer with files of one size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Files in a second.
    pub requests_per_second: Spread,
    /// Millions of bytes in a second.
    pub megabytes_per_second: Spread,
    /// Files per second of processor time.
    pub requests_per_core: Spread,
    /// The same, divided by nginx's in the round that stood beside it.
    pub of_nginx: Option<Spread>,
    /// Files that were not answered with 200.
    pub failed: u64,
}

/// All rounds, in the order in which they were played.
#[derive(Debug, Default)]
pub(super) struct Rounds(Vec<(Size, Peer, Round)>);

impl Rounds {
    pub(super) fn add(&mut self, size: Size, peer: Peer, round: Round) {
        self.0.push((size, peer, round));
    }

    fn of(&self, size: Size, peer: Peer) -> Vec<Round> {
        self.0.iter().filter(|(its, who, _round)| (*its, *who) == (size, peer)).map(|(_, _, round)| *round).collect()
    }

    fn figures(&self, size: Size, peer: Peer) -> Option<Figures> {
        let (rounds, nginx) = (self.of(size, peer), self.of(size, Peer::Nginx));
        let spread = |figure: fn(&Round) -> f64| Spread::of(rounds.iter().map(figure));
        let ratios = rounds.iter().zip(&nginx).map(|(this, nginx)| per_core(this) / per_core(nginx));
        (!rounds.is_empty()).then(|| Figures {
            requests_per_second: spread(|round| round.requests as f64 / round.window.as_secs_f64()),
            megabytes_per_second: spread(|round| round.bytes as f64 / 1e6 / round.window.as_secs_f64()),
            requests_per_core: spread(per_core),
            of_nginx: (!nginx.is_empty()).then(|| Spread::of(ratios)),
            failed: rounds.iter().map(|round| round.failed).sum(),
        })
    }
}

fn per_core(round: &Round) -> f64 {
    round.requests as f64 / round.work.as_secs_f64()
}

impl Report {
    /// Summarises all rounds.
    pub(super) fn new(options: &Options, rounds: &Rounds, missing: Vec<String>) -> Self {
        let peers = |size| Peer::ALL.into_iter().filter_map(move |peer| Some((peer, rounds.figures(size, peer)?)));
        Self {
            seconds: options.duration.as_secs_f64(),
            rounds: options.rounds.get(),
            processors: processors().get(),
            sizes: Size::ALL.map(|size| OfSize { size, peers: peers(size).collect() }).into(),
            missing,
        }
    }

    /// Tells whether every file was answered with 200.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.sizes.iter().flat_map(|sized| sized.peers.values()).all(|figures| figures.failed == 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} rounds of {} s each, in turn, all on {} processors",
            self.rounds, self.seconds, self.processors
        )?;
        for OfSize { size, peers } in self.sizes.iter().filter(|sized| !sized.peers.is_empty()) {
            writeln!(f, "\nfiles of {} s ({} bytes)", size.seconds, size.file().len())?;
            write!(f, "{:NAME$}", "")?;
            for name in ["requests a second", "MB a second", "requests per core second", "÷ nginx", "failed"] {
                write!(f, "{name:>COLUMN$}")?;
            }
            writeln!(f)?;
            for (peer, figures) in peers {
                let Figures { requests_per_second, megabytes_per_second, requests_per_core, of_nginx, failed } =
                    figures;
                write!(f, "{peer:NAME$}{requests_per_second:>COLUMN$.0}{megabytes_per_second:>COLUMN$.0}")?;
                let ratio = of_nginx.as_ref().map(Spread::to_string).unwrap_or_default();
                writeln!(f, "{requests_per_core:>COLUMN$.0}{ratio:>COLUMN$}{failed:>COLUMN$}")?;
            }
        }
        self.missing.iter().try_for_each(|missing| writeln!(f, "\n{missing}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU16;
    use std::time::Duration;

    #[test]
    fn requests_per_core_are_compared_round_by_round() {
        let round = |millis| Round {
            requests: 1_000,
            failed: 0,
            bytes: 5_000_000,
            window: Duration::from_secs(5),
            work: Duration::from_millis(millis),
        };
        let mut rounds = Rounds::default();
        for (nginx, proxy) in [(1_000, 2_000), (2_000, 2_000), (1_000, 1_000)] {
            rounds.add(Size::ALL[0], Peer::Nginx, round(nginx));
            rounds.add(Size::ALL[0], Peer::Proxy, round(proxy));
        }
        let rounds_each = NonZeroU16::MIN.saturating_add(2);
        let options = Options { binary: "crosspoint".into(), duration: Duration::from_secs(5), rounds: rounds_each };
        let report = Report::new(&options, &rounds, Vec::new());
        let proxy = &report.sizes[0].peers[&Peer::Proxy];
        assert_eq!(proxy.of_nginx.map(|ratio| (ratio.median, ratio.min)), Some((1.0, 0.5)));
        assert_eq!((proxy.requests_per_second.median, proxy.megabytes_per_second.median), (200.0, 1.0));
        assert!(report.to_string().contains("1.00 (0.50..1.00)"), "{report}");
    }
}
