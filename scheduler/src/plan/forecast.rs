//! Demand when a node ordered now would be ready: an option, because on ordinary days it costs more than it saves.
//!
//! ```text
//! F   = max(D, D e^(-H/tau) + lambda tau (1 - e^(-H/tau)), seasonal)
//! req = F + k sigma sqrt(F)
//! seasonal = 0.97 max{D of a day (or a week) ago, from then to H later} clamp(D / D then, 0.6, 1.6)
//! ```
//! H is the time that a node takes to come, tau the mean length of a session (live sessions over arrivals), lambda the
//! arrivals of the last minute. Of the two seasons the one that erred less lately is used; both know the past only. k grows
//! with every late start and halves in 18 h; sigma is the root mean square of what forecasts fell short by, over sqrt(F).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Seconds of one entry of the past; it holds the highest demand seen in them.
const BIN: f64 = 300.0;
/// Entries of a day, of a week, and kept.
const DAY: usize = 288;
const WEEK: usize = 7 * DAY;
const KEPT: usize = WEEK + 24;
/// Forecasts that wait for what they foretold; one a plan, for a few minutes.
const PENDING: usize = 256;
/// Bounds of k, and what a late start multiplies it by.
const LEAST_K: f64 = 0.5;
const MOST_K: f64 = 12.0;
const RAISE_K: f64 = 1.15;
/// Seconds in which k halves.
const K_HALF_LIFE: f64 = 18.0 * 3600.0;
/// What a season is trusted for.
const SEASON_TRUST: f64 = 0.97;

/// What has been learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Forecast {
    /// Highest demand per bin, oldest first; the last one is still open.
    bins: VecDeque<f64>,
    /// Seconds into the open bin.
    open: f64,
    /// Arrivals a second over a minute and over an hour, and live sessions over an hour.
    minute_rate: f64,
    hour_rate: f64,
    hour_live: f64,
    /// When, how much was foretold (F), by the day and by the week.
    pending: VecDeque<(f64, f64, [f64; 2])>,
    /// Squared shortfall over F, over an hour and over a day.
    shortfall: [f64; 2],
    /// Error of each season, over a day.
    season_error: [f64; 2],
    k: f64,
}

impl Default for Forecast {
    fn default() -> Self {
        Self {
            bins: VecDeque::from([0.0]),
            open: 0.0,
            minute_rate: 0.0,
            hour_rate: 0.0,
            hour_live: 0.0,
            pending: VecDeque::new(),
            shortfall: [0.0; 2],
            season_error: [0.0; 2],
            k: LEAST_K,
        }
    }
}

/// What was seen since the last time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Slots that streams need.
    pub(super) demand: f64,
    /// Streams that began.
    pub(super) arrivals: u32,
    /// Of those, late ones.
    pub(super) slow_starts: u32,
    /// Seconds that passed.
    pub(super) seconds: f64,
    /// The time, in seconds.
    pub(super) at: f64,
}

impl Forecast {
    /// Learns from what was seen and returns the slots to have in `horizon` seconds.
    pub(super) fn foretell(&mut self, seen: Seen, horizon: f64) -> f64 {
        self.learn(seen);
        let seasons = [DAY, WEEK].map(|ago| self.season(ago, seen.demand, horizon));
        let expected = seen.demand.max(self.drift(seen.demand, horizon)).max(self.better(seasons));
        if self.pending.len() < PENDING {
            self.pending.push_back((seen.at + horizon, expected, seasons.map(|season| season.unwrap_or(seen.demand))));
        }
        let sigma = self.shortfall[0].max(self.shortfall[1]).sqrt();
        expected + self.k * sigma * expected.sqrt()
    }

    fn learn(&mut self, seen: Seen) {
        self.open += seen.seconds;
        while self.open >= BIN {
            self.open -= BIN;
            self.bins.push_back(seen.demand);
        }
        while self.bins.len() > KEPT {
            self.bins.pop_front();
        }
        if let Some(last) = self.bins.back_mut() {
            *last = last.max(seen.demand);
        }
        let rate = f64::from(seen.arrivals) / seen.seconds.max(1.0);
        blend(&mut self.minute_rate, rate, seen.seconds, 60.0);
        blend(&mut self.hour_rate, rate, seen.seconds, 3600.0);
        blend(&mut self.hour_live, seen.demand, seen.seconds, 3600.0);
        self.k *= (-seen.seconds / K_HALF_LIFE).exp2();
        self.k *= if seen.slow_starts > 0 { RAISE_K } else { 1.0 };
        self.k = self.k.clamp(LEAST_K, MOST_K);
        self.judge(seen);
    }

    /// Compares what had been foretold for now with what is.
    fn judge(&mut self, seen: Seen) {
        while let Some((due, expected, seasons)) = self.pending.front().copied().filter(|(due, ..)| *due <= seen.at) {
            self.pending.pop_front();
            let missed = (seen.demand - expected).max(0.0).powi(2) / expected.max(1.0);
            let seconds = seen.seconds.min(seen.at - due + seen.seconds);
            blend(&mut self.shortfall[0], missed, seconds, 3600.0);
            blend(&mut self.shortfall[1], missed, seconds, 24.0 * 3600.0);
            for (error, season) in self.season_error.iter_mut().zip(seasons) {
                blend(error, (season - seen.demand).abs(), seconds, 24.0 * 3600.0);
            }
        }
    }

    /// What comes of the present arrivals, when sessions end as they do.
    fn drift(&self, demand: f64, horizon: f64) -> f64 {
        if self.hour_rate <= 0.0 {
            return demand;
        }
        let tau = (self.hour_live / self.hour_rate).max(1.0);
        let stay = (-horizon / tau).exp();
        demand * stay + self.minute_rate * tau * (1.0 - stay)
    }

    /// What the same time `ago` bins back promises, once that much past is known.
    fn season(&self, ago: usize, demand: f64, horizon: f64) -> Option<f64> {
        let then = self.bins.len().checked_sub(ago + 1)?;
        let base = self.bins[then].max(1.0);
        let ahead = 1 + (1..24).take_while(|bin| f64::from(*bin) * BIN <= self.open + horizon).count();
        let highest = self.bins.range(then..(then + ahead).min(self.bins.len())).copied().fold(0.0, f64::max);
        Some(SEASON_TRUST * highest * (demand / base).clamp(0.6, 1.6))
    }

    fn better(&self, seasons: [Option<f64>; 2]) -> f64 {
        match seasons {
            [Some(_), Some(week)] if self.season_error[1] < self.season_error[0] => week,
            [Some(day), _] => day,
            [None, week] => week.unwrap_or(0.0),
        }
    }
}

/// Moves an average over `span` seconds toward `value`, seen for `seconds`.
fn blend(average: &mut f64, value: f64, seconds: f64, span: f64) {
    *average += (value - *average) * (1.0 - (-seconds / span).exp());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(at: f64, demand: f64, arrivals: u32) -> Seen {
        Seen { demand, arrivals, slow_starts: 0, seconds: 10.0, at }
    }

    #[test]
    fn steady_demand_is_expected_to_stay() {
        let mut forecast = Forecast::default();
        let told = (0..2000).map(|tick| forecast.foretell(seen(f64::from(tick) * 10.0, 200.0, 10), 150.0)).last();
        assert!((200.0..206.0).contains(&told.unwrap()), "{told:?}");
    }

    #[test]
    fn more_arrivals_are_expected_to_become_more_sessions() {
        let mut forecast = Forecast::default();
        for tick in 0..2000 {
            forecast.foretell(seen(f64::from(tick) * 10.0, 200.0, 10), 150.0);
        }
        let told = (2000..2012).map(|tick| forecast.foretell(seen(f64::from(tick) * 10.0, 210.0, 30), 150.0)).last();
        assert!(told.unwrap() > 300.0, "{told:?}");
    }

    #[test]
    fn yesterdays_peak_is_expected_today() {
        let mut forecast = Forecast::default();
        let demand = |tick: i32| if (tick / 360) % 24 == 12 { 400.0 } else { 100.0 };
        let arrivals = |tick: i32| if (tick / 360) % 24 == 12 { 20 } else { 5 };
        let day = 24 * 360;
        let noon = day + 12 * 360;
        let told = (0..noon - 6)
            .map(|tick| forecast.foretell(seen(f64::from(tick) * 10.0, demand(tick), arrivals(tick)), 300.0));
        assert!(told.last().unwrap() > 380.0);
    }

    #[test]
    fn the_past_that_is_kept_is_bounded() {
        let mut forecast = Forecast::default();
        for tick in 0..30 * 24 * 60 {
            forecast.foretell(Seen { seconds: 60.0, ..seen(f64::from(tick) * 60.0, 100.0, 30) }, 150.0);
        }
        assert!(forecast.bins.len() <= KEPT && forecast.pending.len() <= PENDING);
    }
}
