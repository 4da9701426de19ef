//! One round: every stream opens at its own time, all speak until after the window in which they are measured.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use audio::coded::{Script, Tally};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::stage::{Meters, Work};
use super::traffic::Traffic;
use super::{BenchError, Options};
use crate::caller::{CallError, Caller, Speech, StreamOutcome};
use crate::progress::Phase;
use crate::timings::Timings;

/// From one stream's opening to the next: 200 a second. The odd twentieth of a millisecond spreads the messages of all
/// streams evenly over the 20 ms between two messages of one.
const STEP: Duration = Duration::from_micros(5_050);
/// How long streams go on speaking after the window.
const AFTER: Duration = Duration::from_millis(500);

/// What was measured in one round.
#[derive(Debug)]
pub(super) struct Round {
    /// Results of audio that was sent within the window.
    pub(super) latencies: Timings,
    /// How late messages left.
    pub(super) lateness: Timings,
    /// How long the window was.
    pub(super) window: Duration,
    /// Messages sent within the window.
    pub(super) messages: u64,
    /// Work done within the window.
    pub(super) work: Work,
    /// Bytes of memory that the proxy held at its end.
    pub(super) proxy_resident: u64,
    /// Words of all streams, from their first to their last.
    pub(super) words: Tally,
    /// Streams that were not speaking yet when the window began.
    pub(super) late: usize,
    /// Why streams did not open or did not end as they should.
    pub(super) failures: Vec<String>,
}

/// When who speaks.
#[derive(Clone, Debug)]
struct Plan {
    began: Instant,
    window: Range<Instant>,
}

impl Plan {
    fn new(options: &Options, began: Instant) -> Self {
        let start = began + ramp(options) + options.warm_up;
        Self { began, window: start..start + options.duration }
    }

    fn opens(&self, number: u16) -> Instant {
        self.began + STEP * u32::from(number)
    }

    /// Every stream has a script of its own, so that words which stray into another stream are wrong there.
    fn speech(&self, number: u16) -> Speech {
        let length = self.window.end + AFTER - self.opens(number);
        Speech::new(Script::lasting(number, length))
    }
}

/// Returns how long a round takes up to the end of its window.
pub(super) fn length(options: &Options) -> Duration {
    ramp(options) + options.warm_up + options.duration
}

fn ramp(options: &Options) -> Duration {
    STEP * u32::from(options.streams.get())
}

/// Plays one round.
pub(super) async fn play(
    caller: &Caller,
    meters: &Meters,
    options: &Options,
    phase: &Phase,
) -> Result<Round, BenchError> {
    let plan = Plan::new(options, Instant::now());
    let traffic = Arc::new(Traffic::new(plan.window.clone())?);
    let mut calls = JoinSet::new();
    for number in 0..options.streams.get() {
        calls.spawn(call(caller.clone(), plan.clone(), number, Arc::clone(&traffic)));
    }
    phase.follow(plan.window.start).await;
    let before = Reading::take(meters, &traffic)?;
    phase.follow(plan.window.end).await;
    let after = Reading::take(meters, &traffic)?;
    let mut round = before.until(&after, meters.proxy_resident()?)?;
    while let Some(call) = calls.join_next().await {
        match call {
            Ok(Ok(outcome)) => round.take(&outcome, &plan.window),
            Ok(Err(unserved)) => round.miss(unserved.script, unserved.error.to_string()),
            Err(error) => round.failures.push(error.to_string()),
        }
    }
    // Only now: a message that was due within the window may have left long after it.
    round.lateness = traffic.lateness();
    Ok(round)
}

/// A stream that never opened.
struct Unserved {
    script: Script,
    error: CallError,
}

async fn call(caller: Caller, plan: Plan, number: u16, traffic: Arc<Traffic>) -> Result<StreamOutcome, Unserved> {
    let speech = plan.speech(number);
    sleep_until(plan.opens(number)).await;
    let outcome = caller.stream(speech, |sent| traffic.note(sent)).await;
    outcome.map_err(|error| Unserved { script: speech.script, error })
}

/// Everything that is read at one moment.
struct Reading {
    at: Instant,
    messages: u64,
    work: Work,
}

impl Reading {
    fn take(meters: &Meters, traffic: &Traffic) -> Result<Self, BenchError> {
        Ok(Self { at: Instant::now(), messages: traffic.messages(), work: meters.work()? })
    }

    fn until(&self, after: &Self, proxy_resident: u64) -> Result<Round, BenchError> {
        Ok(Round {
            latencies: Timings::new()?,
            lateness: Timings::new()?,
            window: after.at - self.at,
            messages: after.messages - self.messages,
            work: self.work.until(&after.work),
            proxy_resident,
            words: Tally::default(),
            late: 0,
            failures: Vec::new(),
        })
    }
}

impl Round {
    fn take(&mut self, outcome: &StreamOutcome, window: &Range<Instant>) {
        self.words += outcome.tally;
        self.late += usize::from(outcome.began >= window.start);
        if !outcome.completed() {
            self.failures.push(format!("{:?}", outcome.ending));
        }
        let timed = outcome.latencies.iter().filter(|latency| window.contains(&latency.sent));
        timed.for_each(|latency| self.latencies.record(latency.took));
    }

    /// Nothing that a stream which never opened would have said was received.
    fn miss(&mut self, script: Script, why: String) {
        let spoken = usize::from(script.words);
        self.words += Tally { spoken, lost: spoken, ..Tally::default() };
        self.failures.push(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_stream_speaks_through_the_whole_window_and_says_its_own_words() {
        let options = Options::new("crosspoint");
        let plan = Plan::new(&options, Instant::now());
        assert_eq!(plan.window.end - plan.began, length(&options));
        for number in [0, 1, 399] {
            let speech = plan.speech(number);
            assert!(plan.opens(number) + options.warm_up <= plan.window.start);
            assert!(plan.opens(number) + speech.script.duration() > plan.window.end);
            assert_eq!(speech.script.session, number);
        }
    }

    #[test]
    fn messages_of_all_streams_are_spread_over_the_time_between_two_of_one() {
        let plan = Plan::new(&Options::new("crosspoint"), Instant::now());
        let phases: BTreeSet<_> =
            (0..400).map(|number| (plan.opens(number) - plan.began).as_micros() % 20_000).collect();
        assert_eq!(phases.len(), 400);
        let edges: Vec<_> = phases.into_iter().collect();
        assert!(edges.windows(2).all(|pair| pair[1] - pair[0] <= 50));
    }
}
