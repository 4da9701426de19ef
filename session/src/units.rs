//! Pieces of a container: what they are, and where each lies among the bytes that are kept.

use std::collections::VecDeque;

/// A piece of a caller's container, which a node is sent whole or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The sample that a node hears first whose stream begins here; where the last unit ended.
    pub start: u64,
    /// How many samples it lasts.
    pub samples: u32,
    /// What may be done with it.
    pub kind: UnitKind,
}

/// What may be done with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitKind {
    /// The header of a stream: a leg may begin here.
    Header,
    /// A leg may begin here.
    Whole,
    /// Goes on with what the unit before it began: no leg may begin here.
    Rest,
}

impl Unit {
    /// Returns where the next unit starts.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start + u64::from(self.samples)
    }

    fn may_begin(&self) -> bool {
        match self.kind {
            UnitKind::Header | UnitKind::Whole => true,
            UnitKind::Rest => false,
        }
    }
}

/// How well a stream survives the loss of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failover {
    /// At any time.
    Full,
    /// As long as all of it is kept, for it can only be heard from its beginning.
    Limited,
    /// Not at all any more.
    None,
}

impl Failover {
    /// Names it in logs and records.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Limited => "limited",
            Self::None => "none",
        }
    }
}

/// The units that are kept, oldest first, each with the position of its first byte.
#[derive(Debug)]
pub(crate) struct Index {
    kept: VecDeque<(u64, Unit)>,
    /// Where the last unit ended, in samples.
    end: u64,
    /// Samples that a leg must be sent before the first one that counts.
    preroll: u64,
}

impl Index {
    /// Starts empty.
    pub(crate) fn new(preroll: u64) -> Self {
        Self { kept: VecDeque::new(), end: 0, preroll }
    }

    /// Takes the next unit, whose first byte is at a position.
    pub(crate) fn push(&mut self, position: u64, unit: Unit) {
        self.end = self.end.max(unit.end());
        self.kept.push_back((position, unit));
    }

    /// Returns the sample with which the unit begins that is at a position, or the next one.
    pub(crate) fn sample(&self, position: u64) -> u64 {
        let next = self.kept.partition_point(|(at, _)| *at < position);
        self.kept.get(next).map_or(self.end, |(_, unit)| unit.start)
    }

    /// Returns the position of the first unit that does not end before a sample.
    pub(crate) fn position(&self, sample: u64) -> Option<u64> {
        let before = self.kept.partition_point(|(_, unit)| unit.end() <= sample && unit.start < sample);
        self.kept.get(before).map(|(at, _)| *at)
    }

    /// Finds the last unit at which a leg may begin that is to hear a sample, or else the first one: its sample and its
    /// position.
    pub(crate) fn begin(&self, sample: u64) -> Option<(u64, u64)> {
        let reach = self.kept.partition_point(|(_, unit)| unit.start + self.preroll <= sample);
        let mut early = self.kept.range(..reach).rev().chain(self.kept.range(reach..));
        early.find(|(_, unit)| unit.may_begin()).map(|(at, unit)| (unit.start, *at))
    }

    /// Lists the units from a position on, each with the position of its first byte.
    pub(crate) fn from(&self, position: u64) -> impl Iterator<Item = &(u64, Unit)> {
        let first = self.kept.partition_point(|(at, _)| *at < position);
        self.kept.range(first..)
    }

    /// Forgets the units before a position.
    pub(crate) fn trim(&mut self, position: u64) {
        while self.kept.pop_front_if(|(at, _)| *at < position).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn index(units: &[(u32, UnitKind)], preroll: u64) -> Index {
        let mut index = Index::new(preroll);
        let (mut start, mut position) = (0, 0);
        for (samples, kind) in units {
            let unit = Unit { start, samples: *samples, kind: *kind };
            index.push(position, unit);
            (start, position) = (unit.end(), position + 10);
        }
        index
    }

    #[test]
    fn a_leg_begins_early_enough_for_its_decoder_and_never_in_the_rest_of_a_packet() {
        let pages = [(0, UnitKind::Header), (960, UnitKind::Whole), (960, UnitKind::Rest), (960, UnitKind::Whole)];
        let index = index(&pages, 100);
        assert_eq!(index.begin(2_500), Some((1_920, 30)));
        assert_eq!(index.begin(2_000), Some((0, 10)), "the third begins too late, the second not at all");
        assert_eq!(index.begin(99), Some((0, 0)), "nothing is early enough but the first");
    }

    proptest! {
        #[test]
        fn whatever_was_trimmed_to_where_a_leg_begins_still_begins_one_there(
            lasts in prop::collection::vec((0_u32..2_000, 0_u8..4), 1..40),
            wanted in 0_u64..40_000,
            preroll in 0_u64..4_000,
        ) {
            let kind = |kind: u8| if kind == 0 { UnitKind::Rest } else { UnitKind::Whole };
            let units: Vec<_> = lasts.iter().map(|(samples, dice)| (*samples, kind(*dice))).collect();
            let units = [&[(0, UnitKind::Header)][..], &units].concat();
            let mut index = index(&units, preroll);
            let (sample, position) = index.begin(wanted).unwrap();
            prop_assert!(sample + preroll <= wanted || sample == 0);
            prop_assert_eq!(index.sample(position), sample);
            prop_assert!(index.position(sample).unwrap() <= position);
            index.trim(position);
            prop_assert_eq!(index.begin(wanted), Some((sample, position)));
            prop_assert_eq!(index.sample(0), sample);
        }
    }
}
