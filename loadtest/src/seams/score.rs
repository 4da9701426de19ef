//! How two lists of words differ, by the fewest words that must be changed, left out or put in.

use serde::Serialize;

/// What must be done to one list to get the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Differences {
    /// Words that are others.
    pub changed: usize,
    /// Words that are missing.
    pub lost: usize,
    /// Words that are too many.
    pub added: usize,
}

impl Differences {
    /// Compares what was heard with what was said.
    pub(super) fn between(said: &[String], heard: &[String]) -> Self {
        let mut above: Vec<Self> = (0..=heard.len()).map(|added| Self { added, ..Self::default() }).collect();
        for word in said {
            let mut row = vec![Self { lost: above[0].lost + 1, ..above[0] }];
            for (column, other) in heard.iter().enumerate() {
                let (left, over, corner) = (row[column], above[column + 1], above[column]);
                let kept = Self { changed: corner.changed + usize::from(word != other), ..corner };
                let lost = Self { lost: over.lost + 1, ..over };
                let added = Self { added: left.added + 1, ..left };
                row.push([kept, lost, added].into_iter().min_by_key(Self::sum).unwrap_or_default());
            }
            above = row;
        }
        above.pop().unwrap_or_default()
    }

    /// Counts them all.
    #[must_use]
    pub const fn sum(&self) -> usize {
        self.changed + self.lost + self.added
    }
}

/// Splits a text into words without case and punctuation.
pub(super) fn words(text: &str) -> Vec<String> {
    let plain =
        |word: &str| word.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    text.split_whitespace().map(plain).filter(|word: &String| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(said: &str, heard: &str) -> Differences {
        Differences::between(&words(said), &words(heard))
    }

    #[test]
    fn case_and_punctuation_make_no_difference() {
        assert_eq!(between("Had he married, a more amiable woman.", "had he married a more amiable woman").sum(), 0);
    }

    #[test]
    fn words_are_changed_lost_and_added() {
        assert_eq!(between("a b c d", "a x c d d"), Differences { changed: 1, lost: 0, added: 1 });
        assert_eq!(between("a b c d", "b d"), Differences { changed: 0, lost: 2, added: 0 });
        assert_eq!(between("", "a"), Differences { changed: 0, lost: 0, added: 1 });
        assert_eq!(between("a", ""), Differences { changed: 0, lost: 1, added: 0 });
    }
}
