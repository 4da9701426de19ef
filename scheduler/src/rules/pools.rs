//! A set of pools, by their index in the configuration: one machine word.

use std::ops::{BitAnd, BitOr, Sub};

use crate::fleet::{MOST_POOLS, PoolIndex};

/// Some of the pools that are configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolSet(u64);

impl PoolSet {
    /// No pool.
    pub const NONE: Self = Self(0);
    /// Every pool that there may be.
    pub const ALL: Self = Self(u64::MAX);

    /// Adds the pool at `index`; one beyond the most there may be is left out.
    #[must_use]
    pub fn with(self, index: usize) -> Self {
        if index < MOST_POOLS { Self(self.0 | 1 << index) } else { self }
    }

    /// Tells whether the pool at `index` is in the set.
    #[must_use]
    pub fn contains(self, index: usize) -> bool {
        index < MOST_POOLS && self.0 & 1 << index != 0
    }

    /// Returns the pools whose bits are set.
    pub(crate) fn of_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns a bit for each pool, the first one lowest.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// Returns the pools, in their order.
    pub(crate) fn iter(self) -> impl Iterator<Item = PoolIndex> {
        crate::allowed::pools_of(self.0)
    }

    /// Tells whether no pool is in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<usize> for PoolSet {
    fn from_iter<I: IntoIterator<Item = usize>>(indices: I) -> Self {
        indices.into_iter().fold(Self::NONE, Self::with)
    }
}

impl BitAnd for PoolSet {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for PoolSet {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Sub for PoolSet {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}
