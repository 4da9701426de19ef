//! Masks: four bytes that a client's payload is xored with, over and over.

use std::hash::{BuildHasher, RandomState};

/// Bytes xored at a time.
const WORD: usize = size_of::<u64>();

/// A mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mask(pub(crate) [u8; 4]);

impl Mask {
    /// Masks a payload, or takes the mask off it.
    pub(crate) fn apply(self, payload: &mut [u8]) {
        let [a, b, c, d] = self.0;
        let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (words, rest) = payload.as_chunks_mut::<WORD>();
        for bytes in words {
            *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
        }
        for (byte, mask) in rest.iter_mut().zip(self.0.iter().cycle()) {
            *byte ^= mask;
        }
    }
}

/// Draws masks that a peer cannot foresee: `SipHash` of a counter under a key of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Masks {
    key: RandomState,
    count: u64,
}

impl Masks {
    pub(crate) fn draw(&mut self) -> Mask {
        self.count = self.count.wrapping_add(1);
        let [a, b, c, d, ..] = self.key.hash_one(self.count).to_ne_bytes();
        Mask([a, b, c, d])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_mask_is_xored_byte_by_byte_and_off_again(mask: [u8; 4], payload: Vec<u8>) {
            let mut masked = payload.clone();
            Mask(mask).apply(&mut masked);
            let expected: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            prop_assert_eq!(&masked, &expected);
            Mask(mask).apply(&mut masked);
            prop_assert_eq!(masked, payload);
        }
    }

    #[test]
    fn masks_differ_from_frame_to_frame_and_from_connection_to_connection() {
        let (mut one, mut other) = (Masks::default(), Masks::default());
        let drawn: std::collections::BTreeSet<_> = (0..100).flat_map(|_| [one.draw().0, other.draw().0]).collect();
        assert!(drawn.len() > 190, "{}", drawn.len());
    }
}
