//! The callers: so many streams at the same time, another as soon as one ends, each with words of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use audio::coded::{Checker, Script, Tally};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::scenario::Scenario;
use super::stage::KEY;
use crate::caller::{Caller, Pace, Speech, StreamOutcome};

/// From one stream's opening to the next, at the start.
pub(super) const STEP: Duration = Duration::from_millis(40);
/// How long callers wait for what should come: longer than a session may look for another node.
const PATIENCE: Duration = Duration::from_secs(45);
/// A caller that was refused comes again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// One stream, from the caller's side.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// The words.
    pub(super) script: Script,
    /// The session, if it was opened.
    pub(super) session: Option<String>,
    /// Which proxy was called.
    pub(super) proxy: usize,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    /// What became of the words.
    pub(super) tally: Tally,
    /// When results came that covered new audio, and how long after it.
    pub(super) progress: Vec<Progress>,
    /// What went wrong, if anything did.
    pub(super) error: Option<String>,
}

/// A result that covered new audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) at: Instant,
    /// From the message with the last of its audio to the result.
    pub(super) took: Duration,
}

/// How it goes, for whoever watches.
#[derive(Debug, Default)]
pub(super) struct Tidings {
    pub(super) streams: AtomicU64,
    pub(super) words: AtomicU64,
    pub(super) bad_words: AtomicU64,
    pub(super) errors: AtomicU64,
}

/// The callers, speaking. Dropping it ends them.
pub(super) struct Crowd {
    callers: JoinSet<Vec<Call>>,
    pub(super) tidings: Arc<Tidings>,
}

/// What all callers have in common.
struct Rules {
    scenario: Scenario,
    doors: Vec<String>,
    seed: u64,
    until: Instant,
    sessions: AtomicU16,
    tidings: Arc<Tidings>,
}

impl Crowd {
    /// Lets everybody begin; nobody begins a stream after `until`.
    pub(super) fn gather(scenario: &Scenario, doors: &[String], (seed, until): (u64, Instant)) -> Self {
        let tidings = Arc::new(Tidings::default());
        let rules = Arc::new(Rules {
            scenario: scenario.clone(),
            doors: doors.to_vec(),
            seed,
            until,
            sessions: AtomicU16::new(0),
            tidings: Arc::clone(&tidings),
        });
        let mut callers = JoinSet::new();
        for number in 0..scenario.streams.get() {
            callers.spawn(Arc::clone(&rules).speak(number));
        }
        Self { callers, tidings }
    }

    /// Waits until the last has ended and returns all of them.
    pub(super) async fn disperse(mut self) -> Vec<Call> {
        let mut all = Vec::new();
        while let Some(calls) = self.callers.join_next().await {
            all.extend(calls.unwrap_or_default());
        }
        all
    }
}

impl Rules {
    async fn speak(self: Arc<Self>, number: u16) -> Vec<Call> {
        let mut calls = Vec::new();
        let mut dice = SmallRng::seed_from_u64(self.seed ^ u64::from(number) << 32);
        let mut next = Instant::now() + STEP * u32::from(number);
        while next < self.until {
            sleep_until(next).await;
            let call = self.call(&mut dice).await;
            self.tidings.take(&call);
            next = if call.session.is_some() { Instant::now() } else { Instant::now() + AGAIN };
            calls.push(call);
        }
        calls
    }

    async fn call(&self, dice: &mut SmallRng) -> Call {
        let speech = &self.scenario.speech;
        let length = Duration::from_secs_f64(dice.random_range(speech.least.as_secs_f64()..=speech.most.as_secs_f64()));
        let script = Script::lasting(self.sessions.fetch_add(1, Ordering::Relaxed), length.mul_f64(speech.pace));
        let proxy = dice.random_range(0..self.doors.len());
        let words = Speech { frame: speech.frame, ..Speech::new(script).at(Pace::Times(speech.pace)) };
        let caller = Caller::new(&self.doors[proxy]).with_key(KEY).with_patience(PATIENCE);
        let caller = caller.after(self.scenario.lost_callers, &self.doors);
        let began = Instant::now();
        let outcome = caller.stream(words, |_sent| {}).await;
        let mut call = Call {
            script,
            session: None,
            proxy,
            began,
            ended: Instant::now(),
            tally: Tally::default(),
            progress: Vec::new(),
            error: None,
        };
        match outcome {
            Ok(outcome) => call.heard(outcome, words.frame),
            // What was never begun has lost no words.
            Err(error) => call.error = Some(error.to_string()),
        }
        call
    }
}

impl Call {
    /// Takes what was heard of a stream whose messages hold so much sound.
    fn heard(&mut self, outcome: StreamOutcome, frame: Duration) {
        let said = frame.saturating_mul(u32::try_from(outcome.messages).unwrap_or(u32::MAX));
        self.tally = if outcome.completed() { outcome.tally } else { self.tally_of(said, &outcome.text()) };
        self.error = (!outcome.completed()).then(|| format!("{:?}", outcome.ending));
        let mut covered = None;
        for latency in outcome.latencies {
            if covered.replace(latency.sent.max(covered.unwrap_or(latency.sent))).is_none_or(|last| latency.sent > last)
            {
                self.progress.push(Progress { at: latency.sent + latency.took, took: latency.took });
            }
        }
        self.session = Some(outcome.request_id.unwrap_or_default());
    }

    /// Counts the words that were over when the stream ended; those that were never said are not lost.
    fn tally_of(&self, said: Duration, text: &str) -> Tally {
        let words = self.script.words().take_while(|word| word.end <= said).count();
        let mut checker = Checker::new(Script { words: u16::try_from(words).unwrap_or(u16::MAX), ..self.script });
        checker.hear(text);
        checker.tally()
    }

    /// Returns how long results of this stream usually take: the median.
    pub(super) fn usual(&self) -> Duration {
        let mut took: Vec<Duration> = self.progress.iter().map(|progress| progress.took).collect();
        took.sort_unstable();
        took.get(took.len() / 2).copied().unwrap_or_default()
    }
}

impl Tidings {
    fn take(&self, call: &Call) {
        let count = |counter: &AtomicU64, more: usize| counter.fetch_add(more as u64, Ordering::Relaxed);
        let Tally { spoken, lost, doubled, wrong } = call.tally;
        count(&self.streams, 1);
        count(&self.words, spoken);
        count(&self.bad_words, lost + doubled + wrong);
        count(&self.errors, usize::from(call.error.is_some()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::{Ending, Latency, Summary};

    fn call_of(script: Script, began: Instant) -> Call {
        let (tally, progress) = (Tally::default(), Vec::new());
        Call { script, session: None, proxy: 0, began, ended: began, tally, progress, error: None }
    }

    #[test]
    fn words_that_were_never_said_are_not_lost() {
        let script = Script { session: 3, words: 40 };
        let fifth = script.words().nth(4).unwrap().end;
        let call = call_of(script, Instant::now());
        assert_eq!(call.tally_of(fifth, ""), Tally { spoken: 5, lost: 5, ..Tally::default() });
        let text: Vec<_> = script.words().take(5).map(|word| word.text).collect();
        assert!(call.tally_of(fifth, &text.join(" ")).is_clean());
    }

    #[test]
    fn only_results_that_cover_new_audio_are_progress() {
        let began = Instant::now();
        let after = |millis| began + Duration::from_millis(millis);
        let latency = |sent, took| Latency { sent: after(sent), took: Duration::from_millis(took) };
        let script = Script { session: 1, words: 2 };
        let outcome = StreamOutcome {
            request_id: Some("abc".to_owned()),
            began,
            messages: 5,
            finals: Vec::new(),
            tally: Tally::default(),
            latencies: vec![latency(100, 20), latency(200, 30), latency(100, 900), latency(200, 800), latency(400, 25)],
            summary: Summary::Received,
            ending: Ending::Closed { code: 1000, reason: String::new() },
        };
        let mut call = call_of(script, began);
        call.heard(outcome, Duration::from_millis(100));
        let took: Vec<_> = call.progress.iter().map(|progress| progress.took.as_millis()).collect();
        assert_eq!(took, [20, 30, 25]);
        assert_eq!((call.usual(), call.error.as_deref()), (Duration::from_millis(25), None));
        assert_eq!(call.session.as_deref(), Some("abc"));
    }
}
