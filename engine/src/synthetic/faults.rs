//! Faults outside the hearing itself: requests refused at the door, messages garbled on their way out.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::Faults;

/// Decides which requests are refused on purpose.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    knocks: Arc<AtomicU64>,
    first: u64,
    one_in: Option<NonZeroU32>,
}

/// What a request meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// It may come in.
    Open,
    /// It is told that the engine is full.
    Shut,
}

impl Doors {
    /// Follows the configured faults.
    pub(crate) fn new(faults: &Faults) -> Self {
        Self { knocks: Arc::default(), first: faults.refuse_first.into(), one_in: faults.refuse_one_in }
    }

    /// Counts a request and says what it meets.
    pub(crate) fn knock(&self) -> Door {
        let knock = self.knocks.fetch_add(1, Ordering::Relaxed);
        let Some(after) = knock.checked_sub(self.first) else { return Door::Shut };
        let refused = self.one_in.is_some_and(|one_in| after % u64::from(one_in.get()) == 0);
        if refused { Door::Shut } else { Door::Open }
    }
}

/// Garbles some of a stream's messages.
#[derive(Clone, Debug)]
pub(crate) struct Garbler {
    one_in: Option<NonZeroU32>,
    dice: SmallRng,
}

impl Garbler {
    /// Starts a stream; the same seed garbles the same messages.
    pub(crate) fn new(faults: &Faults, seed: u64) -> Self {
        Self { one_in: faults.garble_one_in, dice: SmallRng::seed_from_u64(seed) }
    }

    /// Passes a message on, or something else in its place.
    pub(crate) fn pass(&mut self, message: String) -> String {
        let garbled = self.one_in.is_some_and(|one_in| self.dice.random_ratio(1, one_in.get()));
        if garbled { self.garble(&message) } else { message }
    }

    fn garble(&mut self, message: &str) -> String {
        let said = |start: &str, duration: &str, end: &str| {
            format!(
                r#"{{"type":"Results","channel_index":[0,1],"start":{start},"duration":{duration},"is_final":true,"speech_final":true,"from_finalize":false,"channel":{{"alternatives":[{{"transcript":"never said","confidence":7.5,"words":[{{"word":"never","start":{start},"end":{end},"confidence":2.0}}]}}]}}}}"#
            )
        };
        match self.dice.random_range(0..7_u8) {
            0 => message[..message.floor_char_boundary(message.len() / 2)].to_owned(),
            1 => said("-3.0", "1.0", "-2.5"),
            2 => said("1e300", "1e300", "1e300"),
            3 => said("0.0", "-2.0", "0.5"),
            4 => said("1e6", "1.0", "1000000.5"),
            5 => said("\"soon\"", "[]", "null"),
            _ => "7".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_refused_and_then_one_in_so_many() {
        let faults = Faults { refuse_first: 2, refuse_one_in: NonZeroU32::new(3), ..Default::default() };
        let doors = Doors::new(&faults);
        let open: Vec<_> = (0..8).map(|_| doors.knock() == Door::Open).collect();
        assert_eq!(open, [false, false, false, true, true, false, true, true]);
    }

    #[test]
    fn without_faults_every_message_passes() {
        let mut garbler = Garbler::new(&Faults::default(), 1);
        assert_eq!(garbler.pass("{}".to_owned()), "{}");
        let faults = Faults { garble_one_in: NonZeroU32::new(1), ..Default::default() };
        assert_ne!(Garbler::new(&faults, 1).pass("{}".to_owned()), "{}");
    }
}
