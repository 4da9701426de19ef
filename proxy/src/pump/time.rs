//! What time alone brings about: drains, keys that end, callers who do not read, and whatever the session waits for.

use std::time::Duration;

use futures_util::FutureExt;
use session::CloseReason;

use super::Pump;

/// How long results may wait for a caller who does not read.
const PATIENCE: Duration = Duration::from_secs(10);
/// The timer is never set closer than this, but for a drain.
pub(super) const LEAST_WAIT: Duration = Duration::from_millis(20);
/// How long the timer sleeps where time alone brings nothing about.
const MOST_WAIT: Duration = Duration::from_secs(10);

impl Pump {
    pub(super) fn tick(&mut self) {
        let now = self.shared.now();
        if self.shared.shutdown.token().is_cancelled() {
            self.note_drain();
        }
        self.acknowledge(now);
        // A caller that never stops keeps this from being looked at elsewhere.
        if let Some(end) = self.key_ended.as_mut().now_or_never() {
            self.end_for_key(end);
        } else if self.drain_at.is_some_and(|at| now >= at) {
            self.session.end(CloseReason::Draining);
        } else if self.caller_blocked.is_some_and(|since| now.since(since) >= PATIENCE) {
            self.session.caller_lost(CloseReason::CallerSlow, now);
        } else {
            self.session.tick(now);
        }
        self.arm();
    }

    /// Looks at the clock where a caller that never stops has kept the timer from being asked.
    pub(super) fn tick_if_late(&mut self) {
        if self.shared.now() >= self.timer_at {
            self.tick();
        }
    }

    pub(super) fn note_drain(&mut self) {
        // A stream that began after the drain did ends with the others.
        let left = self.shared.config.drain.saturating_sub(self.shared.shutdown.drained_for());
        let end = self.shared.now() + left;
        self.drain_at.get_or_insert(end);
        if self.session.is_parked() {
            // Its caller finds the next proxy, and never this one.
            self.session.end(CloseReason::Draining);
        }
    }

    /// Sets the timer to the next moment at which something may be due.
    pub(super) fn arm(&mut self) {
        let now = self.shared.now();
        let due = self.session.deadline().map_or(MOST_WAIT, |at| at.since(now).max(LEAST_WAIT));
        let others = [self.drain_at, self.ack_due()].into_iter().flatten().map(|at| at.since(now));
        let due = others.fold(due, Duration::min);
        self.timer.as_mut().reset(tokio::time::Instant::now() + due);
        self.timer_at = now + due;
    }

    /// Sets the timer anew where something has come to be due before it rings.
    pub(super) fn rearm(&mut self) {
        if self.session.deadline().is_some_and(|at| at + LEAST_WAIT < self.timer_at) {
            self.arm();
        }
    }
}
