//! What a simulated caller says. A sample is a millisecond long.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// One word, known by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spoken {
    pub(super) number: usize,
    /// Of a small vocabulary: words repeat.
    pub(super) text: u8,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Draws words with pauses between them, as people talk: some repeat the last one, or the one before it.
pub(super) fn script(seed: u64, count: usize) -> Vec<Spoken> {
    let mut dice = StdRng::seed_from_u64(seed ^ 0x5eed);
    let (mut words, mut clock) = (Vec::<Spoken>::new(), 0);
    for number in 0..count {
        let pause =
            if dice.random_ratio(1, 12) { dice.random_range(1_000..2_500) } else { dice.random_range(100..600) };
        let back = match dice.random_range(0..16) {
            0 => Some(1),
            1 => Some(2),
            _ => None,
        };
        let repeated = back.and_then(|back| number.checked_sub(back)).map(|earlier| words[earlier].text);
        let start = clock + pause;
        clock = start + 100 * dice.random_range(2..6);
        words.push(Spoken { number, text: repeated.unwrap_or_else(|| dice.random_range(0..60)), start, end: clock });
    }
    words
}
