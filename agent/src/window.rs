//! What counters did lately. Engines count from their start; a figure that tells how an engine is *now* is the growth over
//! the last half minute. A counter that fell has started again: then nothing is known until it has grown.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::page::Histogram;

/// How far back "lately" goes.
const LENGTH: Duration = Duration::from_secs(30);
/// Time between two counts that are kept.
const STEP: Duration = Duration::from_secs(1);

/// The last half minute of some counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    kept: VecDeque<(Instant, Vec<f64>)>,
    last: Vec<f64>,
}

impl Window {
    /// Notes what the counters read now and returns how much each has grown; nothing is known of the first counts, and of
    /// those after a restart.
    pub(crate) fn growth(&mut self, now: Instant, counts: Vec<f64>) -> Option<Vec<f64>> {
        let restarted = counts.len() != self.last.len() || counts.iter().zip(&self.last).any(|(now, then)| now < then);
        if restarted {
            self.kept.clear();
        }
        while self.kept.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= LENGTH) {
            self.kept.pop_front();
        }
        let oldest = self.kept.front().map(|(_, then)| then);
        let growth = oldest.map(|then| counts.iter().zip(then).map(|(now, then)| now - then).collect());
        if self.kept.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= STEP) {
            self.kept.push_back((now, counts.clone()));
        }
        self.last = counts;
        growth
    }

    /// Notes two counters and returns how much the first grew for each of the second.
    pub(crate) fn ratio(&mut self, now: Instant, [over, under]: [Option<f64>; 2]) -> Option<f64> {
        let growth = self.growth(now, vec![over?, under?])?;
        (growth[1] > 0.0).then(|| growth[0] / growth[1])
    }

    /// Notes a histogram and returns a quantile of what was observed lately, as Prometheus' `histogram_quantile` does.
    pub(crate) fn quantile(&mut self, now: Instant, histogram: Option<Histogram>, share: f64) -> Option<f64> {
        let Histogram { bounds, counts } = histogram?;
        quantile(&bounds, &self.growth(now, counts)?, share)
    }
}

/// Finds the bucket that holds the quantile and goes as far into it as its rank does; an observation beyond the last finite
/// bound counts as that bound.
fn quantile(bounds: &[f64], counts: &[f64], share: f64) -> Option<f64> {
    let total = counts.last().copied().filter(|total| *total > 0.0)?;
    let rank = share * total;
    let place = counts.iter().position(|count| *count >= rank)?;
    let (below, from) = match place.checked_sub(1) {
        Some(before) => (counts[before], bounds[before]),
        None => (0.0, 0.0),
    };
    let to = bounds[place];
    let inside = (counts[place] - below).max(f64::MIN_POSITIVE);
    Some(if to.is_finite() { from + (to - from) * ((rank - below) / inside).clamp(0.0, 1.0) } else { from })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn only_what_was_observed_lately_counts() {
        let (mut window, start) = (Window::default(), Instant::now());
        let page = |slow: f64, all: f64| {
            Some(Histogram { bounds: vec![0.1, 0.2, f64::INFINITY], counts: vec![all - slow, all, all] })
        };
        assert_eq!(window.quantile(start, page(1000.0, 1000.0), 0.95), None, "of the first page nothing is known");
        // A thousand slow ones were before the agent looked; the ten since were fast.
        let lately = window.quantile(start + seconds(10), page(1000.0, 1010.0), 0.95).unwrap();
        assert!(lately <= 0.1, "{lately}");
        assert_eq!(window.quantile(start + seconds(60), page(1000.0, 1010.0), 0.95), None, "nobody spoke lately");
    }

    #[test]
    fn a_counter_that_starts_again_is_no_growth() {
        let (mut window, start) = (Window::default(), Instant::now());
        assert_eq!(window.growth(start, vec![100.0]), None);
        assert_eq!(window.growth(start + seconds(1), vec![130.0]), Some(vec![30.0]));
        assert_eq!(window.growth(start + seconds(2), vec![5.0]), None);
        assert_eq!(window.growth(start + seconds(3), vec![7.0]), Some(vec![2.0]));
    }

    #[test]
    fn a_series_that_appears_late_starts_the_window_anew() {
        let (mut window, start) = (Window::default(), Instant::now());
        assert_eq!(window.ratio(start, [None, Some(1.0)]), None);
        assert_eq!(window.ratio(start, [Some(3.0), Some(1.0)]), None);
        assert_eq!(window.ratio(start + seconds(1), [Some(9.0), Some(3.0)]), Some(3.0));
        assert_eq!(window.ratio(start + seconds(2), [Some(9.0), Some(3.0)]), Some(3.0), "half a minute is looked at");
    }

    #[test]
    fn beyond_the_last_bound_the_last_bound_is_told() {
        assert_eq!(quantile(&[1.0, f64::INFINITY], &[0.0, 10.0], 0.95), Some(1.0));
        assert_eq!(quantile(&[1.0, 2.0, f64::INFINITY], &[0.0, 10.0, 10.0], 0.5), Some(1.5));
    }

    proptest! {
        #[test]
        fn a_quantile_lies_within_the_bounds_and_grows_with_its_share(counts in prop::collection::vec(0_u32..50, 2..9)) {
            let mut sum = 0.0;
            let counts: Vec<_> = counts.iter().map(|count| { sum += f64::from(*count); sum }).collect();
            let mut bounds: Vec<_> = (1..=counts.len()).map(|bound| bound as f64).collect();
            *bounds.last_mut().unwrap() = f64::INFINITY;
            if let (Some(low), Some(high)) = (quantile(&bounds, &counts, 0.5), quantile(&bounds, &counts, 0.95)) {
                prop_assert!((0.0..=counts.len() as f64).contains(&low) && low <= high, "{low} {high}");
            } else {
                prop_assert!(sum == 0.0);
            }
        }

        #[test]
        fn the_window_never_holds_more_than_it_needs(steps in prop::collection::vec(0_u64..5000, 1..300)) {
            let (mut window, mut now) = (Window::default(), Instant::now());
            for step in steps {
                now += Duration::from_millis(step);
                window.growth(now, vec![1.0]);
                prop_assert!(window.kept.len() <= 32, "{}", window.kept.len());
            }
        }
    }
}
