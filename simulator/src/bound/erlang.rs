//! Erlang's loss formula, and Hayward's for traffic that is not Poisson.

/// Returns the share of calls lost by `slots` slots under `load` Erlang: `B(0) = 1`, `B(n) = a B(n-1) / (n + a B(n-1))`
/// (Erlang 1917; exact, and the same whatever the law of the holding time).
#[must_use]
pub fn blocking(slots: u32, load: f64) -> f64 {
    (1..=slots).fold(1.0, |lost, slot| load * lost / (f64::from(slot) + load * lost))
}

/// Returns the share lost when the load's peakedness is `z` (variance over mean of the streams an unlimited fleet would
/// carry): Hayward's approximation, `B(c/z, a/z)` (Fredericks, Bell System Technical Journal 59, 1980), between whole slots
/// by the logarithm.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer casts saturate")]
pub fn peaked_blocking(slots: u32, load: f64, z: f64) -> f64 {
    let z = z.max(1e-3);
    let (slots, load) = (f64::from(slots) / z, load / z);
    let (below, above) = (blocking(slots.floor() as u32, load), blocking(slots.ceil() as u32, load));
    (below.ln() + (above.ln() - below.ln()) * slots.fract()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_loads_lose_one_in_a_thousand() {
        // Loads at 0.1 % blocking, as tables of Erlang's formula print them.
        for (slots, load) in [(24, 12.24), (64, 44.2), (128, 100.1), (512, 459.6), (2048, 1954.7), (8192, 8035.0)] {
            let lost = blocking(slots, load);
            assert!((lost - 0.001).abs() < 3e-5, "{slots} slots: {lost}");
        }
    }

    #[test]
    fn ordinary_traffic_has_peakedness_one() {
        assert!((peaked_blocking(64, 50.0, 1.0) / blocking(64, 50.0) - 1.0).abs() < 1e-12);
        // 600 slots carry 496 Erlang of peakedness 3 where they would carry 543 of ordinary traffic.
        assert!((peaked_blocking(600, 496.0, 3.0) - 0.001).abs() < 2e-4);
        assert!((blocking(600, 543.0) - 0.001).abs() < 1e-4);
    }
}
