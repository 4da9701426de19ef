//! Whether a leg lives, judged by what its node has shown: words, results, answers to pings. That a write succeeded proves
//! nothing.

use std::time::Duration;

use scheduler::Timestamp;

use crate::events::{Cause, Limits};

/// A node that says nothing for so long is pinged.
const PING_AFTER: Duration = Duration::from_millis(500);
/// Of the time in which a ping must be answered, this share passes before the node is suspect: a rival then has heard as much by
/// the time that the rest has passed, and goes home if the answer still comes.
const PATIENCE: (u32, u32) = (3, 5);
/// A node that is behind is suspect when it comes no further for so long.
const STANDSTILL: Duration = Duration::from_secs(2);
/// A node shows progress over speech at least every second, and is given three more.
const CADENCE: Duration = Duration::from_secs(4);

/// The signs of life of one leg.
#[derive(Debug)]
pub(crate) struct Health {
    word_at: Timestamp,
    pinged_at: Option<Timestamp>,
    progress_at: Timestamp,
    behind_since: Option<Timestamp>,
    speech_since: Option<Timestamp>,
}

/// How a leg's audio stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Audio that was sent and that the node has not shown it heard.
    pub(crate) unheard: Duration,
    /// Whether somebody speaks in what was sent last.
    pub(crate) speech: Speech,
}

/// Whether somebody speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    Heard,
    None,
}

impl Health {
    /// A leg that has just opened is well.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { word_at: now, pinged_at: None, progress_at: now, behind_since: None, speech_since: None }
    }

    /// Notes that the node said something, whatever it was.
    pub(crate) fn note_word(&mut self, now: Timestamp) {
        self.word_at = now;
        self.pinged_at = None;
    }

    /// Notes that the node has heard more than before.
    pub(crate) fn note_progress(&mut self, now: Timestamp) {
        self.progress_at = now;
        self.behind_since = None;
        self.speech_since = None;
    }

    /// Notes audio that was sent.
    pub(crate) fn note_sent(&mut self, sent: Sent, limits: &Limits, now: Timestamp) {
        if sent.unheard > limits.lag {
            self.behind_since.get_or_insert(now);
        }
        if sent.speech == Speech::Heard {
            self.speech_since.get_or_insert(now);
        }
    }

    /// Notes that a ping was sent.
    pub(crate) fn note_ping(&mut self, now: Timestamp) {
        self.pinged_at = Some(now);
    }

    /// Returns since when the node has shown no progress.
    pub(crate) fn progress_at(&self) -> Timestamp {
        self.progress_at
    }

    /// Tells whether a ping is due.
    pub(crate) fn wants_ping(&self, now: Timestamp) -> bool {
        self.ping_due().is_some_and(|due| now >= due)
    }

    /// Returns when the next ping is due.
    pub(crate) fn ping_due(&self) -> Option<Timestamp> {
        self.pinged_at.is_none().then(|| self.word_at + PING_AFTER)
    }

    /// Returns when a ping that was sent must be answered.
    pub(crate) fn answer_due(&self, limits: &Limits) -> Option<Timestamp> {
        self.pinged_at.map(|at| at + limits.ping)
    }

    /// Returns why and since when the leg is suspect, or when it will be: the first of all reasons.
    pub(crate) fn suspect_at(&self, limits: &Limits) -> Option<(Timestamp, Cause)> {
        let (share, of) = PATIENCE;
        let unanswered = self.pinged_at.map(|at| (at + limits.ping * share / of, Cause::Unanswered));
        let behind = self.behind_since.map(|at| (at.max(self.progress_at) + STANDSTILL, Cause::Behind));
        let speech = self.speech_since.map(|at| (at + CADENCE, Cause::Behind));
        [unanswered, behind, speech].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::at(Duration::from_millis(millis))
    }

    fn suspect(health: &Health) -> Option<(Timestamp, Cause)> {
        health.suspect_at(&Limits::default())
    }

    fn send(health: &mut Health, unheard: u64, speech: Speech, now: u64) {
        let sent = Sent { unheard: Duration::from_millis(unheard), speech };
        health.note_sent(sent, &Limits::default(), at(now));
    }

    #[test]
    fn a_silent_node_is_pinged_and_suspect_before_the_answer_is_due() {
        let mut health = Health::new(at(0));
        assert!(!health.wants_ping(at(499)) && health.wants_ping(at(500)));
        health.note_ping(at(500));
        assert_eq!((health.ping_due(), suspect(&health)), (None, Some((at(1_700), Cause::Unanswered))));
        assert_eq!(health.answer_due(&Limits::default()), Some(at(2_500)));
        health.note_word(at(1_600));
        assert_eq!((health.ping_due(), suspect(&health)), (Some(at(2_100)), None));
        assert_eq!(health.answer_due(&Limits::default()), None);
    }

    #[test]
    fn a_node_that_is_behind_and_stands_still_is_suspect() {
        let mut health = Health::new(at(0));
        send(&mut health, 3_000, Speech::None, 100);
        assert_eq!(suspect(&health), None);
        send(&mut health, 3_001, Speech::None, 200);
        send(&mut health, 9_000, Speech::None, 900);
        assert_eq!(suspect(&health), Some((at(2_200), Cause::Behind)));
        health.note_progress(at(1_000));
        assert_eq!(suspect(&health), None);
    }

    #[test]
    fn speech_without_results_is_suspect_after_four_seconds() {
        let mut health = Health::new(at(0));
        send(&mut health, 100, Speech::Heard, 100);
        assert_eq!(suspect(&health), Some((at(4_100), Cause::Behind)));
    }
}
