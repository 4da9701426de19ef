use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::events::Layout;

/// A thousand samples a second: positions are milliseconds.
fn clock() -> Timeline {
    Timeline::of(Layout::Frames { rate: NonZeroU32::new(1_000).unwrap(), bytes: NonZeroU32::MIN })
}

/// Words of 200 ms, each at its place.
fn words(words: &[(&str, u64)]) -> Vec<Placed> {
    let word = |(text, start): &(&str, u64)| Word {
        text: (*text).to_owned(),
        start: Duration::from_millis(*start),
        end: Duration::from_millis(start + 200),
    };
    words.iter().map(|placed| Placed::new(&word(placed), 0, clock())).collect()
}

fn had(new: &[(&str, u64)], told: &[(&str, u64)], guessed: &[(&str, u64)], (fin, seam): (u64, Seam)) -> usize {
    let (told, guessed) = (words(told), words(guessed));
    join(&words(new), &Before { told: &told, guessed: &guessed, fin, seam }, clock()).had
}

#[test]
fn words_are_the_same_whatever_their_case_and_punctuation() {
    assert_eq!(words(&[("Don't,", 0)]), words(&[("dont", 0)]));
}

#[test]
fn without_words_in_common_a_safe_seam_cuts_by_time() {
    let new = [("a", 100), ("b", 700), ("c", 1_300)];
    assert_eq!(had(&new, &[], &[], (1_000, Seam::Safe)), 2);
    assert_eq!(had(&new, &[], &[], (1_000, Seam::Unsafe)), 2);
}

#[test]
fn a_word_that_was_told_is_had_even_where_its_time_says_otherwise() {
    let told = [("one", 0), ("two", 300)];
    let new = [("one", 90), ("two", 390), ("three", 690)];
    // Ninety milliseconds late, "two" has its middle at 490, close to what was told; "three" is new either way.
    assert_eq!(had(&new, &told, &[], (480, Seam::Unsafe)), 2);
}

#[test]
fn a_repeated_word_is_new_the_second_time() {
    let told = [("no", 0), ("no", 300)];
    let new = [("no", 20), ("no", 320), ("no", 620)];
    assert_eq!(had(&new, &told, &[], (500, Seam::Unsafe)), 2);
}

#[test]
fn what_was_only_guessed_is_new() {
    let told = [("one", 0), ("two", 300)];
    let guessed = [("three", 560), ("four", 860)];
    let new = [("two", 250), ("three", 480), ("four", 800)];
    assert_eq!(had(&new, &told, &guessed, (580, Seam::Unsafe)), 1);
}

#[test]
fn a_word_that_was_heard_otherwise_is_the_same_where_its_time_says_so() {
    let told = [("one", 0), ("too", 300)];
    assert_eq!(had(&[("one", 0), ("two", 310), ("three", 600)], &told, &[], (500, Seam::Unsafe)), 2);
    // The node did not hear the last word at all: what comes next is no other reading of it.
    assert_eq!(had(&[("one", 0), ("three", 600)], &told, &[], (500, Seam::Unsafe)), 1);
}

#[test]
fn a_leg_whose_times_stray_is_shifted() {
    let told = words(&[("one", 0), ("two", 300), ("three", 600)]);
    let new = words(&[("one", 100), ("two", 410), ("three", 705)]);
    let before = Before { told: &told, guessed: &[], fin: 800, seam: Seam::Safe };
    assert_eq!(join(&new, &before, clock()), Joint { shift: -105, had: 3, merged: Merged::Aligned });
}

prop_compose! {
    /// What is said: words from a small vocabulary, between pauses of at least 100 ms.
    fn speech()(words in prop::collection::vec((0_usize..12, 100_u64..600, 2_u64..6), 4..40)) -> Vec<(usize, u64, u64)> {
        let mut clock = 0;
        words.into_iter().map(|(word, pause, blocks)| {
            let start = clock + pause;
            clock = start + blocks * 100;
            (word, start, clock)
        }).collect()
    }
}

/// What a leg makes of it: every time strays by up to 20 ms, and all of them by `offset`.
fn heard(said: &[(usize, u64, u64)], offset: i64, mut noise: u64) -> Vec<Placed> {
    let mut stray = |at: u64| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        at.saturating_add_signed(offset).saturating_add_signed(((noise >> 33) % 41).cast_signed() - 20)
    };
    let word = |(word, start, end): &(usize, u64, u64)| Placed {
        key: format!("w{word}").into(),
        start: stray(*start),
        end: stray(*end),
    };
    said.iter().map(word).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn no_word_is_lost_or_doubled_at_a_joint(
        said in speech(), cut in 0_usize..40, from in 1_usize..6, guesses in 0_usize..4,
        offset in -50_i64..50, noise in any::<u64>(),
    ) {
        let cut = cut % said.len();
        let first = heard(&said, 0, noise);
        let (told, rest) = first.split_at(cut);
        let begin = cut.saturating_sub(from);
        let new = heard(&said[begin..], offset, !noise);
        let fin = told.last().map_or(0, |word| word.end);
        let guessed = &rest[..guesses.min(rest.len())];
        let joint = join(&new, &Before { told, guessed, fin, seam: Seam::Unsafe }, clock());
        prop_assert_eq!(joint.had, cut - begin);
    }
}
