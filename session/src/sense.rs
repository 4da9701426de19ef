//! Whether what a node says can be true: times inside the audio that it was sent and never going back, no more words than
//! anybody can say, no hole where a message could not be read. What cannot be true is counted and reaches no caller.

use std::collections::VecDeque;
use std::time::Duration;

use scheduler::Timestamp;

use crate::events::{Heard, Kind, Word};

/// Times may be off by so much.
const SLACK: Duration = Duration::from_millis(500);
/// After a message that could not be read, a final result that begins so long after the one before it shows that one is lost.
const HOLE: Duration = Duration::from_millis(50);
/// Nobody says more words in a second, and none less than this many are too many.
const WORDS: u128 = 30;
/// A node is given up for so many messages that make no sense in so short a time.
const MANY: usize = 3;
const LATELY: Duration = Duration::from_secs(10);
/// The most channels that have results of their own.
const CHANNELS: usize = 8;

/// What is known of a leg's good sense.
#[derive(Debug, Default)]
pub(crate) struct Sense {
    nonsense: VecDeque<Timestamp>,
    /// Where the last final result of each channel ended.
    concluded: Vec<Duration>,
    /// Whether a message could not be read since the last final result: it may have been one.
    hole: Hole,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hole {
    #[default]
    None,
    Possible,
}

/// What is made of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It can be true.
    Sound,
    /// It cannot, and nothing is lost without it.
    Wrong,
    /// It cannot, or one before it is missing: words are lost that another node must hear.
    Loss,
}

impl Judgement {
    /// Takes the other one where this one has nothing to say against a message.
    pub(crate) fn or(self, other: Self) -> Self {
        if self == Self::Sound { other } else { self }
    }
}

/// How often a leg has talked nonsense lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nonsense {
    /// It may stay.
    Bearable,
    /// It is given up.
    TooMuch,
}

impl Sense {
    /// Notes a message that cannot be read.
    pub(crate) fn garbled(&mut self, now: Timestamp) -> Nonsense {
        self.hole = Hole::Possible;
        self.note(now)
    }

    /// Notes nonsense.
    pub(crate) fn note(&mut self, now: Timestamp) -> Nonsense {
        self.nonsense.retain(|at| now.since(*at) < LATELY);
        self.nonsense.push_back(now);
        if self.nonsense.len() < MANY { Nonsense::Bearable } else { Nonsense::TooMuch }
    }

    /// Returns what a result can be true of that claims to reach beyond what was sent: it ends with its last word, so that
    /// nothing beyond is taken for heard. None where it makes no such claim.
    pub(crate) fn cut_short(heard: &Heard, sent: Option<Duration>) -> Option<Heard> {
        let latest = sent?.saturating_add(SLACK);
        if heard.end <= latest || heard.start > latest {
            return None;
        }
        let last = heard.words.iter().rev().find(|word| word.end <= latest).map_or(heard.start, |word| word.end);
        let end = last.max(heard.start);
        // A text without times of words is one word, as long as its result.
        let shorter = |word: &Word| if word.end == heard.end { word.start.max(end) } else { word.end };
        let words = heard.words.iter().map(|word| Word { end: shorter(word), ..word.clone() }).collect();
        Some(Heard { end, words, ..heard.clone() })
    }

    /// Judges a result. `sent` is what the leg was sent, where that can be told in time.
    pub(crate) fn judge(&mut self, heard: &Heard, kind: Kind, sent: Option<Duration>) -> Judgement {
        let (channel, concluded) = self.concluded(heard.channel);
        let latest = sent.map_or(Duration::MAX, |sent| sent.saturating_add(SLACK));
        // Without any times there is nothing to judge.
        let is_timed = heard.end > Duration::ZERO;
        let goes_on = !is_timed || heard.start.saturating_add(SLACK) >= concluded;
        let is_missed =
            kind == Kind::Final && self.hole == Hole::Possible && heard.start > concluded.saturating_add(HOLE);
        let is_sound = goes_on && !is_missed && heard.start <= latest && can_be_said(heard, latest);
        match (is_sound, kind) {
            (true, Kind::Interim) => Judgement::Sound,
            (true, Kind::Final) => {
                self.concluded[channel] = concluded.max(heard.end.min(latest));
                self.hole = Hole::None;
                Judgement::Sound
            }
            (false, Kind::Interim) => Judgement::Wrong,
            (false, Kind::Final) => Judgement::Loss,
        }
    }

    /// Judges the end of a leg: a last result that could not be read is lost.
    pub(crate) fn judge_end(&self) -> Judgement {
        match self.hole {
            Hole::None => Judgement::Sound,
            Hole::Possible => Judgement::Loss,
        }
    }

    fn concluded(&mut self, channel: usize) -> (usize, Duration) {
        let channel = channel.min(CHANNELS - 1);
        if self.concluded.len() <= channel {
            self.concluded.resize(channel + 1, Duration::ZERO);
        }
        (channel, self.concluded[channel])
    }
}

/// Tells whether the words of a result can have been said in this order, this fast, and by then.
fn can_be_said(heard: &Heard, latest: Duration) -> bool {
    let lasts = heard.end.saturating_sub(heard.start).as_millis();
    let few = heard.words.len() as u128 <= WORDS * lasts.div_ceil(1_000) + WORDS;
    let forwards = heard.end.saturating_add(SLACK) >= heard.start
        && heard.words.iter().all(|word| word.end.saturating_add(SLACK) >= word.start);
    let in_time = heard.words.iter().all(|word| word.start <= latest && word.end <= latest);
    let in_order = heard.words.windows(2).all(|pair| pair[1].start.saturating_add(SLACK) >= pair[0].start);
    few && forwards && in_time && in_order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn heard(start: f64, end: f64, words: &[(f64, f64)]) -> Heard {
        let word = |(start, end): &(f64, f64)| Word { text: "a".to_owned(), start: secs(*start), end: secs(*end) };
        Heard { start: secs(start), end: secs(end), words: words.iter().map(word).collect(), ..Heard::default() }
    }

    fn judge(sense: &mut Sense, heard: &Heard, kind: Kind) -> Judgement {
        sense.judge(heard, kind, Some(secs(10.0)))
    }

    #[test]
    fn results_that_cannot_be_true_are_told_from_those_that_can() {
        let many: Vec<_> = (0..200).map(|n| (f64::from(n) / 1_000.0, 0.3)).collect();
        for (case, wrong) in [
            ("after what was sent", heard(10.6, 10.9, &[])),
            ("words after what was sent", heard(9.0, 10.0, &[(9.1, 9.4), (11.0, 11.2)])),
            ("before what is final", heard(1.0, 3.0, &[(1.1, 1.4)])),
            ("an end before the beginning", heard(9.0, 8.0, &[])),
            ("words that go back", heard(3.0, 8.0, &[(7.0, 7.2), (4.0, 4.2)])),
            ("a word that ends before it begins", heard(3.0, 8.0, &[(7.0, 4.2), (7.3, 7.4)])),
            ("more words than can be said", heard(3.0, 4.0, &many)),
        ] {
            let mut sense = Sense::default();
            assert_eq!(judge(&mut sense, &heard(0.0, 3.0, &[(0.1, 0.5)]), Kind::Final), Judgement::Sound);
            assert_eq!(judge(&mut sense, &wrong, Kind::Interim), Judgement::Wrong, "{case}");
            assert_eq!(judge(&mut sense, &wrong, Kind::Final), Judgement::Loss, "{case}");
            assert_eq!(judge(&mut sense, &heard(3.0, 4.0, &[]), Kind::Final), Judgement::Sound, "{case}");
        }
    }

    #[test]
    fn an_engine_that_tells_no_times_or_is_a_little_off_makes_sense() {
        let mut sense = Sense::default();
        for (start, end) in [(0.0, 0.0), (0.0, 0.0), (0.0, 1.4), (0.9, 10.4)] {
            let heard = heard(start, end, &[(start, end)]);
            assert_eq!(judge(&mut sense, &heard, Kind::Final), Judgement::Sound, "{start} to {end}");
        }
    }

    #[test]
    fn a_result_that_reaches_too_far_ends_with_its_last_word() {
        let cut = |heard: &Heard| Sense::cut_short(heard, Some(secs(10.0)));
        assert_eq!(cut(&heard(2.0, 10.5, &[])), None);
        let words = [(2.1, 2.4), (8.0, 8.5)];
        assert_eq!(cut(&heard(2.0, 1_000.0, &words)), Some(heard(2.0, 8.5, &words)));
        assert_eq!(
            cut(&heard(2.0, 1_000.0, &[(2.0, 1_000.0)])),
            Some(heard(2.0, 2.0, &[(2.0, 2.0)])),
            "words without times"
        );
        assert_eq!(cut(&heard(11.0, 12.0, &[])), None, "nothing of it can be true");
        assert_eq!(Sense::cut_short(&heard(2.0, 1e9, &[]), None), None);
    }

    #[test]
    fn a_hole_counts_only_after_a_message_that_could_not_be_read() {
        let now = Timestamp::at(Duration::from_secs(9));
        let mut sense = Sense::default();
        assert_eq!(judge(&mut sense, &heard(1.0, 2.0, &[]), Kind::Final), Judgement::Sound);
        assert_eq!(sense.garbled(now), Nonsense::Bearable);
        assert_eq!(sense.judge_end(), Judgement::Loss);
        assert_eq!(judge(&mut sense, &heard(2.0, 3.0, &[]), Kind::Final), Judgement::Sound, "nothing was lost");
        assert_eq!(sense.judge_end(), Judgement::Sound);
        assert_eq!(sense.garbled(now), Nonsense::Bearable);
        assert_eq!(judge(&mut sense, &heard(3.9, 5.0, &[]), Kind::Interim), Judgement::Sound);
        assert_eq!(judge(&mut sense, &heard(3.9, 5.0, &[]), Kind::Final), Judgement::Loss);
    }

    #[test]
    fn a_leg_is_given_up_for_three_in_ten_seconds() {
        let mut sense = Sense::default();
        let judged = [0, 4, 11, 12].map(|second| sense.note(Timestamp::at(Duration::from_secs(second))));
        let expected = [Nonsense::Bearable, Nonsense::Bearable, Nonsense::Bearable, Nonsense::TooMuch];
        assert_eq!(judged, expected);
    }

    proptest! {
        #[test]
        fn what_passes_lies_in_the_audio_and_goes_forwards(
            results in prop::collection::vec((0.0_f64..20.0, 0.0_f64..20.0, 0.0_f64..20.0, 0.0_f64..20.0), 1..40),
        ) {
            let (mut sense, mut last) = (Sense::default(), Duration::ZERO);
            for (start, end, from, to) in results {
                let heard = heard(start, end, &[(from, to), (from, to)]);
                if judge(&mut sense, &heard, Kind::Final) == Judgement::Sound {
                    prop_assert!(heard.start + SLACK >= last && heard.start <= secs(10.5) && from.max(to) <= 10.5);
                    last = last.max(heard.end.min(secs(10.5)));
                }
            }
        }
    }
}
