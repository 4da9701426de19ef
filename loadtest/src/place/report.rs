//! What asking for a place cost: figures for machines, and a table for people.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{Options, Round, Server};
use crate::kernel::processors;
use crate::spread::Spread;

/// Width of the servers' names, and of a column.
const NAME: usize = 8;
const COLUMN: usize = 21;

/// What was found. Its `Display` is a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Length of a round, in seconds.
    pub seconds: f64,
    /// Rounds of each server.
    pub rounds: u16,
    /// Processors of the machine that everybody shares.
    pub processors: usize,
    /// Callers that asked at the same time.
    pub callers: u16,
    /// Whether the router kept leases in Redis.
    pub redis: bool,
    /// What it costs to hear the fleet.
    pub telemetry: Telemetry,
    /// The figures of each server.
    pub servers: BTreeMap<Server, Figures>,
}

/// What agents cost the router that hears them while nobody asks for a place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Telemetry {
    /// Agents that report.
    pub agents: u32,
    /// Reports in a second.
    pub reports_per_second: f64,
    /// Processor time of the router, as a share of one processor.
    pub core_share: f64,
    /// Processor time of the router divided by reports, in microseconds.
    pub cpu_us_per_report: f64,
    /// Memory of the router, in MiB.
    pub resident_mib: f64,
    /// What it grew by for each agent, in KiB.
    pub resident_kib_per_agent: f64,
}

/// The figures of one server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Placements in a second.
    pub per_second: Spread,
    /// Processor time of the server for one, in microseconds.
    pub cpu_us: Spread,
    /// Half of the calls took so many milliseconds.
    pub p50_ms: Spread,
    /// 99 of a hundred calls took so many milliseconds.
    pub p99_ms: Spread,
    /// The longest call, in milliseconds.
    pub max_ms: Spread,
    /// Processor time, divided by the echo's in the round that stood beside it.
    pub cpu_of_echo: Spread,
    /// The p50, divided by the echo's in the round that stood beside it.
    pub p50_of_echo: Spread,
    /// Callers that were refused: zero, or the fleet is too small.
    pub refused: u64,
}

/// All rounds, in the order in which they were played.
#[derive(Debug, Default)]
pub(super) struct Rounds(Vec<(Server, Round)>);

impl Rounds {
    pub(super) fn add(&mut self, server: Server, round: Round) {
        self.0.push((server, round));
    }

    fn of(&self, server: Server) -> Vec<Round> {
        self.0.iter().filter(|(its, _round)| *its == server).map(|(_, round)| *round).collect()
    }

    fn figures(&self, server: Server) -> Figures {
        let (rounds, echo) = (self.of(server), self.of(Server::Echo));
        let spread = |figure: fn(&Round) -> f64| Spread::of(rounds.iter().map(figure));
        let ratio = |figure: fn(&Round) -> f64| {
            Spread::of(rounds.iter().zip(&echo).map(|(this, echo)| figure(this) / figure(echo)))
        };
        Figures {
            per_second: spread(|round| round.placed as f64 / round.window.as_secs_f64()),
            cpu_us: spread(cpu_us),
            p50_ms: spread(|round| round.latency_ms[0]),
            p99_ms: spread(|round| round.latency_ms[1]),
            max_ms: spread(|round| round.latency_ms[2]),
            cpu_of_echo: ratio(cpu_us),
            p50_of_echo: ratio(|round| round.latency_ms[0]),
            refused: rounds.iter().map(|round| round.refused).sum(),
        }
    }
}

fn cpu_us(round: &Round) -> f64 {
    round.work.as_secs_f64() * 1e6 / round.placed.max(1) as f64
}

impl Report {
    /// Summarises all rounds.
    pub(super) fn new(options: &Options, telemetry: Telemetry, rounds: &Rounds) -> Self {
        Self {
            seconds: options.duration.as_secs_f64(),
            rounds: options.rounds.get(),
            processors: processors().get(),
            callers: options.callers.get(),
            redis: options.redis.is_some(),
            telemetry,
            servers: [Server::Router, Server::Echo].map(|server| (server, rounds.figures(server))).into(),
        }
    }

    /// Tells whether everybody was placed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.servers.values().all(|figures| figures.refused == 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Telemetry {
            agents,
            reports_per_second,
            core_share,
            cpu_us_per_report,
            resident_mib,
            resident_kib_per_agent,
        } = self.telemetry;
        writeln!(
            f,
            "{agents} agents, {reports_per_second:.0} reports a second: {:.2} % of a processor, {cpu_us_per_report:.1} µs a \
             report; the router holds {resident_mib:.1} MiB, {resident_kib_per_agent:.1} KiB for an agent\n",
            core_share * 100.0
        )?;
        let store = if self.redis { "leases in Redis" } else { "leases in the router" };
        writeln!(
            f,
            "{} callers, {} rounds of {} s each, in turn, all on {} processors, {store}",
            self.callers, self.rounds, self.seconds, self.processors
        )?;
        write!(f, "{:NAME$}", "")?;
        for name in ["places a second", "CPU, µs a place", "÷ echo", "p50, ms", "÷ echo", "p99, ms", "longest, ms"] {
            write!(f, "{name:>COLUMN$}")?;
        }
        writeln!(f)?;
        for (server, figures) in &self.servers {
            let Figures { per_second, cpu_us, p50_ms, p99_ms, max_ms, cpu_of_echo, p50_of_echo, refused: _ } = figures;
            write!(f, "{server:NAME$}{per_second:>COLUMN$.0}{cpu_us:>COLUMN$.1}{cpu_of_echo:>COLUMN$}")?;
            writeln!(f, "{p50_ms:>COLUMN$}{p50_of_echo:>COLUMN$}{p99_ms:>COLUMN$}{max_ms:>COLUMN$.1}")?;
        }
        let refused: u64 = self.servers.values().map(|figures| figures.refused).sum();
        if refused > 0 {
            writeln!(f, "\n{refused} callers were refused: ask with fewer callers or more agents")?;
        }
        writeln!(
            f,
            "\nFigures are medians of the rounds (least..most). The echo gives everybody the same reply. The router's processor \
             time\nincludes its agents' reports and the slots that callers give back."
        )
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU16, NonZeroU32};
    use std::time::Duration;

    use super::*;

    fn round(placed: u64, p50: f64) -> Round {
        let (window, work) = (Duration::from_secs(5), Duration::from_secs(1));
        Round { placed, refused: 0, window, work, latency_ms: [p50, 2.0 * p50, 9.0] }
    }

    #[test]
    fn the_router_is_compared_with_the_echo_round_by_round() {
        let mut rounds = Rounds::default();
        for (echo, router) in [(40_000, 20_000), (40_000, 10_000), (20_000, 10_000)] {
            rounds.add(Server::Echo, round(echo, 0.5));
            rounds.add(Server::Router, round(router, 1.0));
        }
        let telemetry = Telemetry {
            agents: 1_000,
            reports_per_second: 1_000.0,
            core_share: 0.05,
            cpu_us_per_report: 50.0,
            resident_mib: 60.0,
            resident_kib_per_agent: 30.0,
        };
        let options = Options {
            binary: "crosspoint".into(),
            agents: NonZeroU32::MIN,
            callers: NonZeroU16::MIN,
            duration: Duration::from_secs(5),
            rounds: NonZeroU16::MIN,
            redis: None,
        };
        let report = Report::new(&options, telemetry, &rounds);
        let router = &report.servers[&Server::Router];
        assert_eq!((router.cpu_of_echo.median, router.cpu_of_echo.max), (2.0, 4.0));
        assert_eq!((router.per_second.median, router.p50_of_echo.median), (2_000.0, 2.0));
        assert!(report.passed() && report.to_string().contains("5.00 % of a processor"), "{report}");
    }
}
