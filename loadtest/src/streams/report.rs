//! What a benchmark of streams found: figures for machines, and a table for people.

mod table;

use std::collections::BTreeSet;
use std::time::Duration;

use audio::Format;
use audio::coded::Tally;
use serde::Serialize;

use super::round::Round;
use super::stage::Work;
use super::{Options, Way};
use crate::kernel::processors;
use crate::spread::Spread;
use crate::timings::Timings;

/// Messages of one stream in a second.
const MESSAGES_PER_SECOND: u64 = 50;
/// Failures that are quoted.
const QUOTED: usize = 3;
/// The share of the machine that other programs may take without spoiling the latencies.
const OTHERS: f64 = 0.1;
/// Callers later than this, in milliseconds, are too busy to be believed. Their clock beats four times in one.
const LATE: f64 = 5.0;

/// What was found. Its `Display` is a table with an explanation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What was measured.
    pub settings: Settings,
    /// Streams through the proxy.
    pub proxied: Side,
    /// The same streams direct to the engine.
    pub direct: Side,
    /// What the proxy adds to the latency of a result, in milliseconds.
    pub added: Added,
    /// What the proxy costs.
    pub cost: Cost,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// Streams at the same time.
    pub streams: u16,
    /// Messages of audio that each sends in a second.
    pub messages_per_second: u64,
    /// Bytes in each.
    pub message_bytes: u64,
    /// Length of a round, in seconds.
    pub seconds: f64,
    /// Time that all streams speak before that, in seconds.
    pub warm_up_seconds: f64,
    /// Rounds each way.
    pub rounds: u16,
    /// Processors of the machine that callers, proxy and engine share.
    pub processors: usize,
}

/// All rounds of one way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// How long results took, in milliseconds.
    pub latency_ms: LatencyMs,
    /// Results that were timed.
    pub results: u64,
    /// Messages of audio that were sent while it was measured.
    pub messages: u64,
    /// What became of the words of all streams.
    pub words: Words,
    /// Streams.
    pub streams: usize,
    /// Streams that did not open, or did not end with a summary and close code 1000.
    pub failed: usize,
    /// Why the first of those failed.
    pub failures: BTreeSet<String>,
    /// Streams that were not speaking yet when their round was measured.
    pub late: usize,
    /// How late callers sent, in milliseconds.
    pub callers_late_ms: LatencyMs,
    /// Processors that were busy.
    pub busy: Load,
}

/// Quantiles of times, each the median of its rounds, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatencyMs {
    /// Half of all times are no longer.
    pub p50: Spread,
    /// Ninety-nine in a hundred are no longer.
    pub p99: Spread,
    /// None is longer.
    pub max: Spread,
}

/// Quantiles through the proxy less those direct, of the two rounds that stood side by side, in milliseconds.
pub type Added = LatencyMs;

/// Words of all streams of all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Words {
    /// Words that were said.
    pub spoken: usize,
    /// Words that no final result held.
    pub lost: usize,
    /// Words that came twice.
    pub doubled: usize,
    /// Words that nobody had said.
    pub wrong: usize,
}

/// Processors busy on the average: 1 is one whole processor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Load {
    /// The callers.
    pub callers: Spread,
    /// The proxy.
    pub proxy: Spread,
    /// The engine and its agent.
    pub engine: Spread,
    /// The router.
    pub router: Spread,
    /// Everything on the machine, as the kernel samples it.
    pub machine: Spread,
    /// What is left of that: programs that have nothing to do with the benchmark.
    pub others: Spread,
}

/// What the proxy costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Processor time for one message of audio, in microseconds.
    pub cpu_us_per_message: Spread,
    /// Memory of one stream, in KiB.
    pub memory_kib_per_stream: Spread,
    /// Memory before the first stream, in KiB.
    pub memory_kib_before: f64,
    /// Memory with all streams, in KiB.
    pub memory_kib_with_all: Spread,
}

/// The rounds of both ways, in the order in which they were played.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    proxied: Vec<Round>,
    direct: Vec<Round>,
}

impl Rounds {
    pub(super) fn add(&mut self, way: Way, round: Round) {
        match way {
            Way::Proxied => self.proxied.push(round),
            Way::Direct => self.direct.push(round),
        }
    }

    /// Compares rounds that stood side by side.
    fn added(&self, figure: impl Fn(&Timings) -> f64) -> Spread {
        let pairs = self.proxied.iter().zip(&self.direct);
        Spread::of(pairs.map(|(proxied, direct)| figure(&proxied.latencies) - figure(&direct.latencies)))
    }
}

impl Report {
    /// Summarises all rounds.
    pub(super) fn new(options: &Options, rounds: &Rounds, resident_before: u64) -> Self {
        Self {
            settings: Settings::of(options),
            proxied: Side::of(&rounds.proxied, options),
            direct: Side::of(&rounds.direct, options),
            added: LatencyMs::of(|figure| rounds.added(figure)),
            cost: Cost::of(&rounds.proxied, options, resident_before),
        }
    }

    /// Tells whether every stream was served and every word came exactly once, both ways.
    #[must_use]
    pub fn passed(&self) -> bool {
        [&self.proxied, &self.direct].iter().all(|side| side.is_clean())
    }

    /// Tells whether callers were too late, or streams opened too late, for the latencies to be believed.
    #[must_use]
    pub fn overloaded(&self) -> bool {
        [&self.proxied, &self.direct].iter().any(|side| side.callers_late_ms.p99.max > LATE || side.late > 0)
    }

    /// Tells whether other programs kept so much of the machine busy that the latencies cannot be believed.
    #[must_use]
    pub fn disturbed(&self) -> bool {
        let much = OTHERS * self.settings.processors as f64;
        [&self.proxied, &self.direct].iter().any(|side| side.busy.others.max > much)
    }
}

impl Settings {
    fn of(options: &Options) -> Self {
        Self {
            streams: options.streams.get(),
            messages_per_second: MESSAGES_PER_SECOND,
            message_bytes: Format::SPEECH.bytes_per_second() / MESSAGES_PER_SECOND,
            seconds: options.duration.as_secs_f64(),
            warm_up_seconds: options.warm_up.as_secs_f64(),
            rounds: options.rounds.get(),
            processors: processors().get(),
        }
    }
}

impl LatencyMs {
    /// Asks for the spread of each quantile.
    fn of(spread: impl Fn(&dyn Fn(&Timings) -> f64) -> Spread) -> Self {
        Self {
            p50: spread(&|timings| timings.quantile(0.5)),
            p99: spread(&|timings| timings.quantile(0.99)),
            max: spread(&Timings::max),
        }
    }
}

impl Side {
    fn of(rounds: &[Round], options: &Options) -> Self {
        let mut tally = Tally::default();
        rounds.iter().for_each(|round| tally += round.words);
        let failures = || rounds.iter().flat_map(|round| &round.failures);
        Self {
            latency_ms: LatencyMs::of(|figure| Spread::of(rounds.iter().map(|round| figure(&round.latencies)))),
            results: rounds.iter().map(|round| round.latencies.count()).sum(),
            messages: rounds.iter().map(|round| round.messages).sum(),
            words: tally.into(),
            streams: rounds.len() * usize::from(options.streams.get()),
            failed: failures().count(),
            failures: failures().take(QUOTED).cloned().collect(),
            late: rounds.iter().map(|round| round.late).sum(),
            callers_late_ms: LatencyMs::of(|figure| Spread::of(rounds.iter().map(|round| figure(&round.lateness)))),
            busy: Load::of(rounds),
        }
    }

    const fn is_clean(&self) -> bool {
        self.failed == 0 && self.words.lost == 0 && self.words.doubled == 0 && self.words.wrong == 0
    }
}

impl From<Tally> for Words {
    fn from(tally: Tally) -> Self {
        Self { spoken: tally.spoken, lost: tally.lost, doubled: tally.doubled, wrong: tally.wrong }
    }
}

impl Load {
    fn of(rounds: &[Round]) -> Self {
        let busy = |worked: fn(&Work) -> Duration| {
            Spread::of(rounds.iter().map(|round| worked(&round.work).as_secs_f64() / round.window.as_secs_f64()))
        };
        Self {
            callers: busy(|work| work.callers),
            proxy: busy(|work| work.proxy),
            engine: busy(|work| work.engine),
            router: busy(|work| work.router),
            machine: busy(|work| work.machine),
            others: busy(Work::others),
        }
    }
}

impl Cost {
    fn of(rounds: &[Round], options: &Options, resident_before: u64) -> Self {
        let kib = |bytes: u64| bytes as f64 / 1024.0;
        let grown = |round: &Round| kib(round.proxy_resident) - kib(resident_before);
        let per_message = |round: &Round| round.work.proxy.as_secs_f64() * 1e6 / (round.messages.max(1) as f64);
        Self {
            cpu_us_per_message: Spread::of(rounds.iter().map(per_message)),
            memory_kib_per_stream: Spread::of(
                rounds.iter().map(|round| grown(round) / f64::from(options.streams.get())),
            ),
            memory_kib_before: kib(resident_before),
            memory_kib_with_all: Spread::of(rounds.iter().map(|round| kib(round.proxy_resident))),
        }
    }
}

#[cfg(test)]
mod tests;
