//! Slots when they are short: who is admitted, who waits, and when those who are refused should come back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use scheduler::{
    Class, Dice, Fairness, FleetView, Limits, Pace, Queue, Rate, Request, RetryBudget, Timestamp, Waiting,
    predicted_wait, retry_after,
};
use tokio::sync::oneshot;

use crate::metrics;

/// Slots that become free are counted over this time.
const LATELY: Duration = Duration::from_secs(10);
/// So many sessions moved within this time are a pool's loss, and new ones are paced.
const LOSS: (u32, Duration) = (10, Duration::from_secs(2));

/// Who waits, and what happened lately.
pub(super) struct Slots {
    fairness: ArcSwap<Fairness>,
    state: Mutex<State>,
}

struct State {
    queue: Queue<oneshot::Sender<()>>,
    arrivals: Rate,
    moves: Rate,
    freed: Rate,
    pace: Pace,
    budget: RetryBudget,
}

impl State {
    fn freed_per_second(&mut self, now: Timestamp) -> f64 {
        f64::from(self.freed.within(LATELY, now)) / LATELY.as_secs_f64()
    }
}

impl Slots {
    pub(super) fn new(limits: &Limits) -> Self {
        let state = State {
            queue: Queue::new(&limits.queue),
            arrivals: Rate::default(),
            moves: Rate::default(),
            freed: Rate::default(),
            pace: Pace::default(),
            budget: RetryBudget::default(),
        };
        Self { fairness: ArcSwap::from_pointee(limits.fairness.clone()), state: Mutex::new(state) }
    }

    /// Keeps to other limits from now on; who waits already stays.
    pub(super) fn set_limits(&self, limits: &Limits) {
        self.fairness.store(Arc::new(limits.fairness.clone()));
        self.state().queue.set_length(limits.queue.length);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a session that asks for a slot.
    pub(super) fn asked(&self, request: &Request, now: Timestamp) {
        let mut state = self.state();
        match request.class {
            Class::New => {
                state.arrivals.note(now);
                if request.exclude.is_empty() {
                    state.budget.earn(&self.fairness.load());
                }
            }
            Class::Failover => state.moves.note(now),
        }
    }

    /// Tells whether a new session may take a slot now: it may not while others that lost their nodes come first, beyond its
    /// tenant's share, or when too many are tried again already.
    pub(super) fn admits(
        &self,
        request: &Request,
        view: &FleetView,
        own: impl FnOnce() -> u32,
        now: Timestamp,
    ) -> bool {
        let fairness = self.fairness.load();
        let (free, slots) = (view.free_slots(), view.soft_slots());
        let used = slots.saturating_sub(free);
        let crowded = slots > 0 && used as f32 > slots as f32 * fairness.load.get();
        if crowded && !fairness.allows(own(), used, slots) {
            return false;
        }
        let mut state = self.state();
        let paced = state.moves.within(LOSS.1, now) >= LOSS.0;
        (!paced || state.pace.take(free, now)) && (request.exclude.is_empty() || state.budget.spend(now))
    }

    /// Waits until a slot may be free; returns false when there is no use in it, or no time left.
    pub(super) async fn wait(&self, request: &Request, deadline: Timestamp, now: Timestamp) -> bool {
        let left = deadline.since(now);
        let (sender, turn) = oneshot::channel();
        {
            let mut state = self.state();
            let freed = state.freed_per_second(now);
            // Nothing was freed lately, so nothing is known: who has patience may wait and see.
            let hopeless = freed > 0.0 && predicted_wait(state.queue.len(), freed) > left;
            let (tenant, class) = (request.tenant.clone(), request.class);
            if left.is_zero()
                || hopeless
                || state.queue.push(Waiting { tenant, class, deadline, item: sender }).is_err()
            {
                return false;
            }
        }
        metrics::waiting();
        matches!(tokio::time::timeout(left, turn).await, Ok(Ok(())))
    }

    /// Lets as many look again as there are slots, and sends those away who have waited long enough.
    pub(super) fn let_in(&self, free: u32, now: Timestamp) {
        let mut state = self.state();
        drop(state.queue.expire(now));
        for _ in 0..free {
            let Some(next) = state.queue.pop() else { return };
            // Who has gone meanwhile takes no slot.
            let _ = next.item.send(());
        }
    }

    /// Counts a slot that became free, and lets one in for it.
    pub(super) fn freed(&self, now: Timestamp) {
        self.state().freed.note(now);
        self.let_in(1, now);
    }

    pub(super) fn waiting(&self) -> u32 {
        u32::try_from(self.state().queue.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn arrivals(&self, stretch: Duration, now: Timestamp) -> u32 {
        self.state().arrivals.peak(stretch, now)
    }

    pub(super) fn retry_after(&self, now: Timestamp) -> Duration {
        let mut state = self.state();
        let freed = state.freed_per_second(now);
        retry_after(state.queue.len(), freed, &mut Dice::new(rand::random()))
    }
}
