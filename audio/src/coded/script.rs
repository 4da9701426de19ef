//! What a session says and when: a function of its number alone, so that callers, engines and checkers agree without
//! speaking to each other.

use std::time::Duration;

use super::vocabulary::VOCABULARY;

/// Words last two to five of these.
const BLOCK: u64 = 100;
/// The silence after the last word, in milliseconds.
const TAIL: u64 = 400;

/// The words of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// The session's number, from which everything else follows.
    pub session: u16,
    /// How many words are spoken; fewer words are the beginning of the same script.
    pub words: u16,
}

/// One word of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodedWord {
    /// The word's number, from 0.
    pub index: u16,
    /// The word itself.
    pub text: &'static str,
    /// When it begins.
    pub start: Duration,
    /// When it ends.
    pub end: Duration,
}

impl Script {
    /// Lists the words in order.
    #[must_use]
    pub const fn words(&self) -> Words {
        Words { script: *self, next: 0, clock: 0 }
    }

    /// Returns how long the script lasts, with a short silence at the end.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.words().last().map_or(Duration::ZERO, |word| word.end) + Duration::from_millis(TAIL)
    }

    /// Returns the script of `session` that lasts at least `duration`, if 65,535 words are enough: they are for eleven
    /// hours and more.
    #[must_use]
    pub fn lasting(session: u16, duration: Duration) -> Self {
        let endless = Self { session, words: u16::MAX };
        let tail = Duration::from_millis(TAIL);
        let last = endless.words().find(|word| word.end + tail >= duration);
        last.map_or(endless, |word| Self { session, words: word.index.saturating_add(1) })
    }
}

/// The words of a script, in order.
#[derive(Clone, Debug)]
pub struct Words {
    script: Script,
    next: u16,
    /// When the last word ended, in milliseconds.
    clock: u64,
}

impl Iterator for Words {
    type Item = CodedWord;

    fn next(&mut self) -> Option<CodedWord> {
        let (session, index) = (self.script.session, self.next);
        if index == self.script.words {
            return None;
        }
        self.next += 1;
        let start = self.clock + pause_before(session, index);
        self.clock = start + BLOCK * (2 + dice(session, index, Throw::Blocks) % 4);
        let (start, end) = (Duration::from_millis(start), Duration::from_millis(self.clock));
        Some(CodedWord { index, text: text(session, index), start, end })
    }
}

/// Returns the text of a word. Common words come often, and one word in eight repeats the last or the last but one, as
/// people do.
#[must_use]
pub fn text(session: u16, index: u16) -> &'static str {
    let mut index = index;
    loop {
        match dice(session, index, Throw::Repeat) % 16 {
            0 if index >= 1 => index -= 1,
            1 if index >= 2 => index -= 2,
            _ => return VOCABULARY[rank(dice(session, index, Throw::Text))],
        }
    }
}

/// Prefers low ranks: half of all words come from the first quarter of the vocabulary.
fn rank(dice: u64) -> usize {
    let unit = (dice % 4096) as usize;
    unit * unit * VOCABULARY.len() / (4096 * 4096)
}

/// Milliseconds of silence before a word: mostly between words, sometimes between sentences.
fn pause_before(session: u16, index: u16) -> u64 {
    let length = dice(session, index, Throw::Pause);
    match dice(session, index, Throw::Sentence) % 12 {
        0 => 1_000 + length % 801,
        _ => 100 + length % 501,
    }
}

/// What dice are thrown for.
#[derive(Clone, Copy)]
enum Throw {
    Text,
    Repeat,
    Blocks,
    Pause,
    Sentence,
}

/// The finaliser of splitmix64 over everything that matters.
fn dice(session: u16, index: u16, throw: Throw) -> u64 {
    let throw = match throw {
        Throw::Text => 1,
        Throw::Repeat => 2,
        Throw::Blocks => 3,
        Throw::Pause => 4,
        Throw::Sentence => 5,
    };
    let seed = (throw << 32) | (u64::from(session) << 16) | u64::from(index);
    let mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_shorter_script_is_the_beginning_of_a_longer_one() {
        let long: Vec<_> = Script { session: 7, words: 200 }.words().collect();
        let short: Vec<_> = Script { session: 7, words: 50 }.words().collect();
        assert_eq!(short, long[..50]);
        assert_ne!(short, Script { session: 8, words: 50 }.words().collect::<Vec<_>>());
    }

    #[test]
    fn words_and_pauses_have_the_lengths_they_should() {
        let words: Vec<_> = Script { session: 3, words: 1_000 }.words().collect();
        let lengths: BTreeSet<_> = words.iter().map(|word| (word.end - word.start).as_millis()).collect();
        assert_eq!(lengths, BTreeSet::from([200, 300, 400, 500]));
        let pauses: Vec<_> = words.windows(2).map(|pair| (pair[1].start - pair[0].end).as_millis()).collect();
        assert!(pauses.iter().all(|pause| (100..=1_800).contains(pause)));
        assert!(pauses.iter().filter(|pause| **pause >= 1_000).count() > 40);
    }

    #[test]
    fn words_repeat_at_once_and_over_all() {
        let words: Vec<_> = Script { session: 3, words: 1_000 }.words().map(|word| word.text).collect();
        assert!(words.windows(2).filter(|pair| pair[0] == pair[1]).count() > 30);
        assert!(words.iter().collect::<BTreeSet<_>>().len() > 150);
    }

    #[test]
    fn a_script_can_be_asked_for_by_its_length() {
        for seconds in [0, 1, 60, 7_200] {
            let duration = Duration::from_secs(seconds);
            let script = Script::lasting(9, duration);
            assert!(script.duration() >= duration && script.duration() < duration + Duration::from_secs(3));
        }
        assert!(Script { session: 1, words: u16::MAX }.duration() > Duration::from_secs(11 * 3_600));
    }
}
