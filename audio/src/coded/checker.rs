//! Counting what became of a script: which words a caller received, lost, got twice, or got wrong.

use std::collections::HashMap;

use super::alignment::align;
use super::script::Script;
use super::vocabulary::VOCABULARY;

/// The number of a word that is not in the vocabulary.
const STRANGE: u16 = u16::MAX;
/// A word that is too many counts as doubled if it was spoken at most so many words away.
const NEAR: usize = 64;

/// What became of a script's words. `spoken - lost + doubled + wrong` words were received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Words in the script.
    pub spoken: usize,
    /// Words that were spoken and not received.
    pub lost: usize,
    /// Words too many that had been spoken nearby: said twice.
    pub doubled: usize,
    /// Words too many that nobody had said nearby.
    pub wrong: usize,
}

impl Tally {
    /// Tells whether every word came exactly once.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.wrong == 0
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.spoken += other.spoken;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.wrong += other.wrong;
    }
}

/// Collects the final words of one session, in the order in which they came.
#[derive(Clone, Debug)]
pub struct Checker {
    script: Script,
    heard: Vec<u16>,
    numbers: HashMap<&'static str, u16>,
}

impl Checker {
    /// Expects the words of `script`.
    #[must_use]
    pub fn new(script: Script) -> Self {
        Self { script, heard: Vec::new(), numbers: VOCABULARY.into_iter().zip(0..).collect() }
    }

    /// Takes a piece of a transcript: words between spaces, whose case and punctuation do not matter.
    pub fn hear(&mut self, transcript: &str) {
        let heard = transcript.split_whitespace().map(|word| self.number(word));
        let heard: Vec<u16> = heard.collect();
        self.heard.extend(heard);
    }

    /// Compares what was received with the script so that as many words as possible match. Two hours take a fraction
    /// of a second if they differ, and no time if they do not.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let spoken: Vec<u16> = self.script.words().map(|word| self.number(word.text)).collect();
        let matched = align(&spoken, &self.heard);
        let lost = spoken.len() - matched.iter().flatten().count();
        let mut tally = Tally { spoken: spoken.len(), lost, ..Tally::default() };
        let mut next = 0;
        for (word, place) in self.heard.iter().zip(&matched) {
            match place {
                Some(place) => next = place + 1,
                None if near(&spoken, next).contains(word) => tally.doubled += 1,
                None => tally.wrong += 1,
            }
        }
        tally
    }

    fn number(&self, word: &str) -> u16 {
        let bare = word.trim_matches(|letter: char| !letter.is_alphanumeric()).to_lowercase();
        self.numbers.get(bare.as_str()).copied().unwrap_or(STRANGE)
    }
}

/// The words spoken around a place.
fn near(spoken: &[u16], place: usize) -> &[u16] {
    &spoken[place.saturating_sub(NEAR)..spoken.len().min(place + NEAR)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: Script = Script { session: 5, words: 300 };

    fn texts() -> Vec<&'static str> {
        SCRIPT.words().map(|word| word.text).collect()
    }

    fn tally(heard: &[&str]) -> Tally {
        let mut checker = Checker::new(SCRIPT);
        checker.hear(&heard.join(" "));
        checker.tally()
    }

    #[test]
    fn a_whole_transcript_is_clean_whatever_its_case_and_punctuation() {
        let mut checker = Checker::new(SCRIPT);
        texts().iter().for_each(|word| checker.hear(&format!("{},", word.to_uppercase())));
        assert_eq!(checker.tally(), Tally { spoken: 300, ..Tally::default() });
        assert!(checker.tally().is_clean());
    }

    #[test]
    fn lost_words_are_counted_even_at_the_ends() {
        let words = texts();
        assert_eq!(tally(&words[3..290]), Tally { spoken: 300, lost: 13, ..Tally::default() });
        assert_eq!(tally(&[]), Tally { spoken: 300, lost: 300, ..Tally::default() });
        assert_eq!(tally(&[&words[..100], &words[104..]].concat()), Tally { spoken: 300, lost: 4, ..Tally::default() });
    }

    #[test]
    fn a_replayed_stretch_is_doubled_and_not_wrong() {
        let words = texts();
        let heard = [&words[..120], &words[110..]].concat();
        assert_eq!(tally(&heard), Tally { spoken: 300, doubled: 10, ..Tally::default() });
    }

    #[test]
    fn a_word_from_elsewhere_is_wrong_and_so_is_one_that_replaces_another() {
        let mut words = texts();
        words.insert(50, "zygote");
        words[200] = "xylophone";
        assert_eq!(tally(&words), Tally { spoken: 300, lost: 1, doubled: 0, wrong: 2 });
    }
}
