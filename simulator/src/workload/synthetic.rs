//! Synthetic days: a daily and a weekly cycle, tenants of Zipf size, and crowds on top.

use std::f64::consts::TAU;

use rand::Rng;
use rand_distr::{Distribution, Exp1};

use crate::scenario::Synthetic;
use crate::traces::{ClientRates, Law, RateTrace, WINDOW, Window};

/// A tenant's arrivals are a little burstier than chance; the ten largest clients of the traces at hand lie around it.
const TENANT_CV: f64 = 1.5;
/// The busiest hour of the day.
const PEAK_HOUR: f64 = 14.0;

/// Draws the tenants' rates, in any unit: they are scaled to the mean load.
pub(super) fn rates(synthetic: &Synthetic, windows: usize, dice: &mut impl Rng) -> RateTrace {
    let tenants = u32::from(synthetic.tenants.max(1));
    let day: Vec<f64> = (0..windows).map(|window| cycle(synthetic, window)).collect();
    let of = |client: u32| {
        let size = 1.0 / f64::from(client + 1);
        let window = |rate: &f64| Window { rate: rate * size, law: Law::Gamma { cv: TENANT_CV } };
        ClientRates { client, windows: day.iter().map(window).collect() }
    };
    let mut trace = RateTrace { clients: (0..tenants).map(of).collect() };
    add_bursts(&mut trace, synthetic, windows, dice);
    trace
}

/// The load of a window over the mean working day's.
fn cycle(synthetic: &Synthetic, window: usize) -> f64 {
    let hours = (window as f64 + 0.5) * WINDOW.as_secs_f64() / 3600.0;
    let weekend = (hours / 24.0).rem_euclid(7.0) >= 5.0;
    let day = 1.0 + synthetic.daily_swing.clamp(0.0, 1.0) * (TAU * (hours - PEAK_HOUR) / 24.0).cos();
    day * if weekend { synthetic.weekend.max(0.0) } else { 1.0 }
}

fn add_bursts(trace: &mut RateTrace, synthetic: &Synthetic, windows: usize, dice: &mut impl Rng) {
    let bursts = synthetic.bursts;
    let per_window = bursts.per_day.max(0.0) * WINDOW.as_secs_f64() / 86_400.0;
    for window in 0..windows {
        if dice.random::<f64>() >= per_window {
            continue;
        }
        let tenant = dice.random_range(0..trace.clients.len());
        let length: f64 = Exp1.sample(dice);
        let length = (length * bursts.length.as_secs_f64() / WINDOW.as_secs_f64()).ceil();
        let hit = trace.clients[tenant].windows.iter_mut().enumerate().skip(window);
        for (_, touched) in hit.take_while(|(at, _)| ((at - window) as f64) < length) {
            touched.rate *= bursts.height.max(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::Bursts;
    use crate::workload::dice;

    fn synthetic() -> Synthetic {
        let bursts = Bursts { per_day: 0.0, height: 3.0, length: Duration::from_secs(1200) };
        Synthetic { mean_load: 1.0, tenants: 3, daily_swing: 0.5, weekend: 0.5, bursts }
    }

    #[test]
    fn the_peak_is_in_the_afternoon_and_the_weekend_is_quiet() {
        let trace = rates(&synthetic(), 7 * 144, &mut dice(1, 1));
        let total = trace.total();
        let hour = |day: usize, hour: usize| total[day * 144 + hour * 6];
        assert!(hour(0, 14) > 2.9 * hour(0, 2), "{} {}", hour(0, 14), hour(0, 2));
        assert!((hour(5, 14) / hour(4, 14) - 0.5).abs() < 1e-9);
        assert_eq!(trace.clients[0].windows[7].rate, 3.0 * trace.clients[2].windows[7].rate);
    }

    #[test]
    fn bursts_only_add() {
        let mut crowded = synthetic();
        crowded.bursts.per_day = 6.0;
        let (quiet, crowded) =
            (rates(&synthetic(), 144, &mut dice(1, 1)).total(), rates(&crowded, 144, &mut dice(1, 1)).total());
        assert!(quiet.iter().zip(&crowded).all(|(quiet, crowded)| crowded >= quiet));
        assert!(crowded.iter().sum::<f64>() > quiet.iter().sum::<f64>());
    }
}
