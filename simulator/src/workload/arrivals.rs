//! Arrival times: a renewal process in operational time, so that both the rate over time and the burstiness are the trace's.

use rand::Rng;
use rand_distr::{Distribution, Exp1, Gamma, Weibull};

use crate::traces::{ClientRates, Law, Window};

/// Draws a client's arrivals, in seconds from the start. The expected number by time t is the integral of the interpolated
/// rate times `scale`; the gaps, measured in expected arrivals, have mean 1 and the window's law.
pub(super) fn draw_arrivals(client: &ClientRates, scale: f64, dice: &mut impl Rng) -> Vec<f64> {
    let mut arrivals = Vec::new();
    let mut knots = client.knots();
    let Some(mut left) = knots.next() else { return arrivals };
    // The process did not begin with the scenario: the first gap is already partly over.
    let mut gap = draw_gap(left.1.law, dice) * dice.random::<f64>();
    for right in knots {
        let segment = Segment { from: left.0, to: right.0, rate: left.1.rate * scale, end_rate: right.1.rate * scale };
        let law = busier(left.1, right.1).law;
        let mut done = 0.0;
        while done + gap <= segment.area() {
            done += gap;
            arrivals.push(segment.time_of(done));
            gap = draw_gap(law, dice);
        }
        gap -= segment.area() - done;
        left = right;
    }
    arrivals
}

/// Draws the arrivals of a Poisson process, in seconds.
pub(super) fn poisson(rate: f64, duration: f64, dice: &mut impl Rng) -> Vec<f64> {
    let mut arrivals = Vec::new();
    let mut next = |now: f64| {
        let gap: f64 = Exp1.sample(dice);
        now + gap / rate
    };
    let mut now = next(0.0);
    while now < duration {
        arrivals.push(now);
        now = next(now);
    }
    arrivals
}

fn busier(a: Window, b: Window) -> Window {
    if b.rate > a.rate { b } else { a }
}

/// A time span over which the rate is a straight line.
struct Segment {
    from: f64,
    to: f64,
    rate: f64,
    end_rate: f64,
}

impl Segment {
    /// Expected arrivals in it.
    fn area(&self) -> f64 {
        (self.rate + self.end_rate) / 2.0 * (self.to - self.from)
    }

    /// The time by which `area` arrivals are expected.
    fn time_of(&self, area: f64) -> f64 {
        let slope = (self.end_rate - self.rate) / (self.to - self.from);
        let root = self.rate.mul_add(self.rate, 2.0 * slope * area).max(0.0).sqrt();
        let sum = self.rate + root;
        if sum > 0.0 { (self.from + 2.0 * area / sum).min(self.to) } else { self.from }
    }
}

/// Draws a gap of mean 1.
fn draw_gap(law: Law, dice: &mut impl Rng) -> f64 {
    let gap = match law {
        Law::Exponential => None,
        Law::Gamma { cv } => {
            let shape = (1.0 / (cv * cv)).max(MOST_BURSTY_GAMMA);
            Gamma::new(shape, 1.0 / shape).ok().map(|law| law.sample(dice))
        }
        Law::Weibull { shape } => {
            let shape = shape.max(MOST_BURSTY_WEIBULL);
            Weibull::new(1.0 / gamma(1.0 + 1.0 / shape), shape).ok().map(|law| law.sample(dice))
        }
    };
    gap.unwrap_or_else(|| Exp1.sample(dice))
}

/// A gamma law of coefficient 20: fits above it are fits to a handful of arrivals.
const MOST_BURSTY_GAMMA: f64 = 1.0 / 400.0;
/// A Weibull law of coefficient 15 or so.
const MOST_BURSTY_WEIBULL: f64 = 0.25;

/// The gamma function for arguments of 1 and more: Lanczos, g = 7, nine terms (Numerical Recipes, 6.1); 15 digits.
fn gamma(x: f64) -> f64 {
    const TERMS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let sum: f64 = TERMS[0] + (1..9).zip(&TERMS[1..]).map(|(at, term)| term / (x + f64::from(at))).sum::<f64>();
    let t = x + 7.5;
    (2.0 * std::f64::consts::PI).sqrt() * t.powf(x + 0.5) * (-t).exp() * sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::dice;

    #[test]
    fn the_gamma_function_is_the_factorial() {
        for (x, expected) in [(1.0, 1.0), (1.5, 0.886_226_925_452_758), (5.0, 24.0), (11.0, 3_628_800.0)] {
            assert!((gamma(x) / expected - 1.0).abs() < 1e-12, "{x}: {}", gamma(x));
        }
    }

    #[test]
    fn gaps_have_mean_one_whatever_their_law() {
        for law in [Law::Exponential, Law::Gamma { cv: 3.0 }, Law::Weibull { shape: 0.5 }] {
            let mut dice = dice(1, 2);
            let mean = (0..400_000).map(|_| draw_gap(law, &mut dice)).sum::<f64>() / 4e5;
            assert!((mean - 1.0).abs() < 0.03, "{law:?}: {mean}");
        }
    }

    #[test]
    fn arrivals_follow_the_rate_between_the_centres() {
        let window = |rate| Window { rate, law: Law::Exponential };
        let client = ClientRates { client: 0, windows: vec![window(0.0), window(2.0), window(0.0)] };
        let arrivals = draw_arrivals(&client, 10.0, &mut dice(1, 2));
        let between = |from, to| arrivals.iter().filter(|at| (from..to).contains(*at)).count() as f64;
        // A triangle from 300 s to 1500 s, 20 a second high: 12,000 in all, an eighth of it in its first quarter.
        assert!((arrivals.len() as f64 / 12_000.0 - 1.0).abs() < 0.04, "{}", arrivals.len());
        assert!((between(300.0, 600.0) / 1_500.0 - 1.0).abs() < 0.1);
        assert!(arrivals.is_sorted() && between(0.0, 300.0) == 0.0 && between(1500.0, 1800.0) == 0.0);
    }
}
