//! The final results of a stream that its caller may not have got: each has a number, and the last are kept for when it
//! comes back.

use std::collections::VecDeque;

use bytes::Bytes;

/// Numbered results, the oldest first; a bound on their number, and one on their bytes.
#[derive(Debug)]
pub struct Kept {
    results: VecDeque<(u64, Bytes)>,
    last: u64,
    bytes: usize,
    most: usize,
    most_bytes: usize,
}

impl Kept {
    /// Keeps at most so many results, and so many bytes of them. The first number is the one after `last`.
    #[must_use]
    pub fn new(last: u64, most: usize, most_bytes: usize) -> Self {
        Self { results: VecDeque::new(), last, bytes: 0, most, most_bytes }
    }

    /// Returns the number of the last result, 0 before the first.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Returns how many bytes are kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Numbers the next result, and keeps what is made of it with its number.
    pub fn push(&mut self, write: impl FnOnce(u64) -> Bytes) -> Bytes {
        self.last += 1;
        let result = write(self.last);
        self.bytes += result.len();
        self.results.push_back((self.last, result.clone()));
        while self.results.len() > self.most || self.bytes > self.most_bytes {
            let Some((_, oldest)) = self.results.pop_front() else { break };
            self.bytes -= oldest.len();
        }
        result
    }

    /// Lists the results that come after a number, as far as they are kept.
    pub fn after(&self, number: u64) -> impl Iterator<Item = &Bytes> {
        self.results.iter().filter(move |(own, _)| *own > number).map(|(_, result)| result)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_kept_is_the_end_of_what_was_told_within_both_bounds(
            sizes in prop::collection::vec(0_usize..40, 0..60),
            (begin, most, most_bytes) in (0_u64..9, 0_usize..20, 0_usize..300),
            since in 0_u64..70,
        ) {
            let mut kept = Kept::new(begin, most, most_bytes);
            let told: Vec<Bytes> =
                sizes.iter().map(|size| kept.push(|number| Bytes::from(vec![u8::try_from(number).unwrap(); *size]))).collect();
            prop_assert_eq!(kept.last(), begin + told.len() as u64);
            let after: Vec<_> = kept.after(since).cloned().collect();
            let missed = usize::try_from(since.saturating_sub(begin)).unwrap().min(told.len());
            prop_assert!(after.len() <= most && kept.bytes() <= most_bytes);
            prop_assert!(told[missed..].ends_with(&after));
            if told.len() <= most && sizes.iter().sum::<usize>() <= most_bytes {
                prop_assert_eq!(&told[missed..], &after[..]);
            }
        }
    }
}
