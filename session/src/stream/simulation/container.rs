//! What a simulated caller's audio is wrapped in, and how the shell cuts it.

use std::collections::VecDeque;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::units::{Unit, UnitKind};

/// How audio comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrap {
    /// Raw: it is cut anywhere.
    Raw,
    /// Raw after a header, in pieces of 20 ms, and the shell listens.
    Wav,
    /// Packets of 20 ms.
    Packets,
    /// Pages of 100 ms to 1 s, some of which go on with a packet of the page before.
    Pages,
}

impl Wrap {
    /// Returns how much a decoder must hear before what it hears counts.
    pub(super) fn preroll(self) -> u64 {
        match self {
            Self::Raw | Self::Wav => 0,
            Self::Packets | Self::Pages => 80,
        }
    }

    /// Tells whether the shell hears pauses.
    pub(super) fn is_heard(self) -> bool {
        match self {
            Self::Raw | Self::Wav => true,
            Self::Packets | Self::Pages => false,
        }
    }
}

/// The units of one stream that the caller has not finished yet.
pub(super) struct Container {
    units: VecDeque<Unit>,
}

impl Container {
    /// Wraps so many milliseconds.
    pub(super) fn new(wrap: Wrap, seed: u64, length: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed ^ 0xc0de);
        let header = |start| Unit { start, samples: 0, kind: UnitKind::Header };
        let (mut units, mut clock) = (VecDeque::from([header(0)]), 0);
        while clock < length {
            let lasts = match wrap {
                Wrap::Raw | Wrap::Wav | Wrap::Packets => 20,
                Wrap::Pages if dice.random_ratio(1, 20) => 0,
                Wrap::Pages => dice.random_range(100..1_000),
            };
            let samples = u32::try_from(lasts.min(length - clock)).unwrap();
            let is_first = units.back().is_some_and(|last| last.kind == UnitKind::Header);
            let goes_on = wrap == Wrap::Pages && !is_first && (lasts == 0 || dice.random_ratio(1, 6));
            let kind = if goes_on { UnitKind::Rest } else { UnitKind::Whole };
            units.push_back(Unit { start: clock, samples, kind });
            clock += u64::from(samples);
            if wrap == Wrap::Pages && dice.random_ratio(1, 60) {
                units.push_back(header(clock));
            }
        }
        Self { units }
    }

    /// Takes the units that have come whole when so many milliseconds were sent.
    pub(super) fn complete(&mut self, sent: u64) -> Vec<(Unit, Bytes)> {
        std::iter::from_fn(|| self.units.pop_front_if(|unit| unit.end() <= sent))
            .map(|unit| (unit, content(unit)))
            .collect()
    }
}

/// Writes the numbers of a unit's samples, or something that is none.
fn content(unit: Unit) -> Bytes {
    if unit.samples == 0 {
        return Bytes::from_static(b"nothing");
    }
    (unit.start..unit.end()).flat_map(|sample| u32::try_from(sample).unwrap().to_le_bytes()).collect()
}
