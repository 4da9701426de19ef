//! An invented card for hosts without one: the size of a T4, with readings that follow the engine's load, so that a
//! demonstration fleet looks alive. Its name says what it is in every report.

use std::hash::{DefaultHasher, Hash, Hasher};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use scheduler::{Gpu, NodeId, Ratio};

/// Memory in all, in bytes: 15 GiB, what a T4 has left with ECC on.
const MEMORY_BYTES: u64 = 15 << 30;
/// Memory of a loaded model without streams, in MiB.
const MODEL_MEBIBYTES: f32 = 2_600.0;
/// Memory of the streams of a full engine, in MiB.
const STREAMS_MEBIBYTES: f32 = 6_400.0;
/// Share of the card that a full engine uses.
const BUSIEST: f32 = 0.92;
/// Noise on the utilisation, up and down.
const NOISE: f32 = 0.03;
/// Idle and full-load temperature, in degrees Celsius.
const TEMPERATURE: [f32; 2] = [36.0, 74.0];
/// Idle and full-load power, in milliwatts.
const POWER: [f32; 2] = [10_000.0, 70_000.0];
/// Share of the way to its final temperature that a card goes from one report to the next.
const WARMING: f32 = 0.1;

/// One invented card.
#[derive(Debug)]
pub(crate) struct Simulated {
    dice: SmallRng,
    temperature: f32,
}

impl Simulated {
    /// Makes an idle card. The same node always gets the same noise.
    pub(crate) fn new(node: &NodeId) -> Self {
        let mut seed = DefaultHasher::new();
        node.hash(&mut seed);
        Self { dice: SmallRng::seed_from_u64(seed.finish()), temperature: TEMPERATURE[0] }
    }

    /// Reads the card of an engine that has `load` of its slots in use.
    pub(crate) fn read(&mut self, load: Ratio) -> Gpu {
        let noise = self.dice.random_range(-NOISE..=NOISE);
        let utilisation = Ratio::clamped(load.get() * BUSIEST + noise);
        let share = utilisation.get();
        self.temperature += (between(TEMPERATURE, share) - self.temperature) * WARMING;
        Gpu {
            name: "Simulated T4".to_owned(),
            utilisation,
            memory_used_bytes: u64::from(whole((MODEL_MEBIBYTES + STREAMS_MEBIBYTES * load.get()).round())) << 20,
            memory_total_bytes: MEMORY_BYTES,
            temperature_celsius: whole(self.temperature),
            power_milliwatts: whole(between(POWER, share)),
        }
    }
}

fn between([idle, full]: [f32; 2], share: f32) -> f32 {
    idle + (full - idle) * share
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer casts saturate")]
fn whole(value: f32) -> u32 {
    value.round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn card() -> Simulated {
        Simulated::new(&"aws-1".parse().unwrap())
    }

    #[test]
    fn the_same_node_reads_the_same_twice() {
        let load = Ratio::clamped(0.5);
        assert_eq!(card().read(load), card().read(load));
    }

    proptest! {
        #[test]
        fn no_load_reads_what_a_card_cannot_mean(loads in proptest::collection::vec(0.0_f32..=1.0, 1..200)) {
            let mut card = card();
            for load in loads {
                let gpu = card.read(Ratio::clamped(load));
                prop_assert!((gpu.utilisation.get() - load * BUSIEST).abs() <= NOISE + f32::EPSILON);
                prop_assert!(gpu.memory_used_bytes < gpu.memory_total_bytes);
                prop_assert!((36..=74).contains(&gpu.temperature_celsius));
                prop_assert!((10_000..=70_000).contains(&gpu.power_milliwatts));
            }
        }

        #[test]
        fn a_busier_engine_makes_a_hotter_card(idle in 0.0_f32..0.4, busy in 0.5_f32..=1.0) {
            let settle = |load| (0..200).map(|_| Ratio::clamped(load)).fold(card(), |mut card, load| {
                card.read(load);
                card
            });
            prop_assert!(settle(busy).temperature > settle(idle).temperature);
        }
    }
}
