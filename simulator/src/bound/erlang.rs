//! Erlang's loss formula: what one machine must lose.

/// Returns the share of calls lost by `slots` slots under `load` Erlang: `B(0) = 1`, `B(n) = a B(n-1) / (n + a B(n-1))`
/// (Erlang 1917; exact, and the same whatever the law of the holding time).
#[must_use]
pub fn blocking(slots: u32, load: f64) -> f64 {
    (1..=slots).fold(1.0, |lost, slot| load * lost / (f64::from(slot) + load * lost))
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
}
