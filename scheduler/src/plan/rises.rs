//! How far demand rises while a node boots, in square roots of the demand: what random arrivals need at any size, and more where
//! they come in crowds. It is a histogram that forgets, so that the room that is kept is what the last days asked for.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Width of an entry of the histogram, in square roots of the demand.
const WIDTH: f64 = 0.25;
/// Entries; the last one holds everything above.
const ENTRIES: usize = 64;
/// Rises up to this are thought to be equally likely before anything was seen: Erlang's formula asks for less at a blocking of
/// 0.1 %.
const PRIOR: usize = 16;
/// Seconds of seeing that the prior is worth.
const PRIOR_SECONDS: f64 = 3.0 * 3600.0;
/// Seconds in which half of what was seen is forgotten.
const HALF_LIFE: f64 = 24.0 * 3600.0;
/// Most moments that wait for what came of them.
const PENDING: usize = 256;
/// A moment that is looked at later than this says nothing: nobody planned in between.
const LATE: f64 = 60.0;

/// What has been learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Rises {
    /// Seconds by rise.
    seconds: Vec<f64>,
    /// Moments that wait for what came of them, oldest first.
    pending: VecDeque<Moment>,
}

/// The demand at one time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Moment {
    at: f64,
    demand: f64,
    /// Seconds since the moment before.
    seconds: f64,
}

impl Default for Rises {
    fn default() -> Self {
        let mut seconds = vec![0.0; ENTRIES];
        seconds[..PRIOR].fill(PRIOR_SECONDS / PRIOR as f64);
        Self { seconds, pending: VecDeque::new() }
    }
}

impl Rises {
    /// Takes note of the demand, `seconds` after the last time, and of what came of the demand `horizon` seconds ago.
    pub(super) fn learn(&mut self, demand: f64, (at, seconds): (f64, f64), horizon: f64) {
        let kept = (-seconds / HALF_LIFE).exp2();
        self.seconds.iter_mut().for_each(|held| *held *= kept);
        while let Some(then) = self.pending.pop_front_if(|then| at - then.at >= horizon) {
            if at - then.at < horizon + LATE {
                let highest = self.pending.iter().map(|moment| moment.demand).fold(demand, f64::max);
                self.seconds[entry((highest - then.demand) / then.demand.max(1.0).sqrt())] += then.seconds;
            }
        }
        if self.pending.len() < PENDING {
            self.pending.push_back(Moment { at, demand, seconds });
        }
    }

    /// Returns the rise that was not exceeded for `share` of the time, in square roots of the demand.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let wanted = share * self.seconds.iter().sum::<f64>();
        let mut seen = 0.0;
        let found = self.seconds.iter().position(|held| {
            seen += held;
            seen >= wanted
        });
        found.unwrap_or(ENTRIES - 1) as f64 * WIDTH
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer casts saturate")]
fn entry(rise: f64) -> usize {
    ((rise / WIDTH).ceil() as usize).min(ENTRIES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two days of a demand, told every ten seconds.
    fn learned(demand: impl Fn(u32) -> f64) -> Rises {
        let mut rises = Rises::default();
        (0..17_280).for_each(|tick| rises.learn(demand(tick), (f64::from(tick) * 10.0, 10.0), 140.0));
        rises
    }

    #[test]
    fn before_anything_is_seen_room_for_random_arrivals_is_kept() {
        assert_eq!(Rises::default().quantile(0.96), 3.75);
    }

    #[test]
    fn demand_that_never_rises_needs_hardly_any_room_and_crowds_need_theirs() {
        assert!(learned(|_| 400.0).quantile(0.96) < 0.5);
        // A crowd of a hundred within every hundred minutes, and gone in the second half of them: five square roots of 400.
        let crowds = learned(|tick| if tick % 600 < 300 { 400.0 } else { 500.0 });
        assert_eq!((crowds.quantile(0.9), crowds.quantile(0.999)), (0.0, 5.0));
    }

    #[test]
    fn a_pause_says_nothing_of_what_came_meanwhile() {
        let mut rises = learned(|_| 100.0);
        rises.learn(10_000.0, (1e6, 1e6), 140.0);
        assert!(rises.quantile(1.0) <= 3.75, "{rises:?}");
        assert_eq!(rises.pending.len(), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut rises = Rises::default();
        (0..10_000).for_each(|tick| rises.learn(100.0, (f64::from(tick) * 0.01, 0.01), 140.0));
        assert_eq!((rises.pending.len(), rises.seconds.len()), (PENDING, ENTRIES));
    }
}
