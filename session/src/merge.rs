//! Where a new leg's words begin that the caller does not have yet. Two runs of an engine cut and time words differently,
//! so the words themselves are aligned, with their times as a guide.
//!
//! The costs are those of a global alignment in units of a thousandth: equal words earn 2, different ones 0.3, both less
//! their distance over [`WINDOW`]; a word without a partner costs 0.35; words further apart than the window are never one.

use crate::absence::Merged;
use crate::events::Word;
use crate::timeline::Timeline;

/// Words further apart than this are not the same, in milliseconds.
const WINDOW: u64 = 450;
/// The most that one leg's times may stray from the others', in milliseconds.
const MOST_SHIFT: i64 = 400;
/// Equal words that it takes to judge by words instead of by time.
const ENOUGH: usize = 2;

const EQUAL: i64 = -2_000;
const DIFFERENT: i64 = -300;
const ALONE: i64 = 350;

/// A word at its place on the session's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    /// The word in lower case, without punctuation.
    key: Box<str>,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Placed {
    /// Places a word of a leg whose first sample is `base`.
    pub(crate) fn new(word: &Word, base: u64, timeline: Timeline) -> Self {
        let letters = word.text.chars().filter(|letter| letter.is_alphanumeric() || letter.is_whitespace());
        let key: String = letters.flat_map(char::to_lowercase).collect();
        let start = base + timeline.samples(word.start);
        Self { key: key.into(), start, end: (base + timeline.samples(word.end)).max(start) }
    }

    /// Moves a word.
    pub(crate) fn shifted(mut self, shift: i64) -> Self {
        self.start = self.start.saturating_add_signed(shift);
        self.end = self.end.saturating_add_signed(shift);
        self
    }

    /// Moves a word's ends into bounds.
    pub(crate) fn confine(&mut self, start: u64, end: u64) {
        self.start = self.start.clamp(start, end.max(start));
        self.end = self.end.clamp(self.start, end.max(self.start));
    }

    pub(crate) fn middle(&self) -> u64 {
        self.start.midpoint(self.end)
    }
}

/// What the caller has, and what it was about to get.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before<'a> {
    /// The last final words.
    pub(crate) told: &'a [Placed],
    /// The last guess of the leg that was lost.
    pub(crate) guessed: &'a [Placed],
    /// Everything before it is final.
    pub(crate) fin: u64,
    /// Whether that is in a pause.
    pub(crate) seam: Seam,
}

/// Where the last final ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seam {
    /// In a pause.
    Safe,
    /// In the middle of speech, for all that is known.
    Unsafe,
}

/// How a new leg goes on from what the caller has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Joint {
    /// What is added to the new leg's positions.
    pub(crate) shift: i64,
    /// How many of its first words the caller has.
    pub(crate) had: usize,
    /// By what that was judged.
    pub(crate) merged: Merged,
}

/// Joins a new leg's words to what the caller has.
pub(crate) fn join(new: &[Placed], before: &Before<'_>, timeline: Timeline) -> Joint {
    let known: Vec<&Placed> = before.told.iter().chain(before.guessed).collect();
    let window = timeline.millis(WINDOW);
    let strays = strays(new, &known, window);
    let shift = if strays.len() < ENOUGH { 0 } else { median(&strays, timeline) };
    let new: Vec<Placed> = new.iter().map(|word| word.clone().shifted(shift)).collect();
    let by_time = |words: &[Placed]| words.iter().take_while(|word| word.middle() < before.fin).count();
    if before.seam == Seam::Safe && strays.len() < ENOUGH {
        return Joint { shift, had: by_time(&new), merged: Merged::Seam };
    }
    let pairs = align(&new, &known, window);
    let told = before.told.len();
    let is_told = |pair: &&Pair| pair.known < told && (pair.are_equal || new[pair.new].middle() < before.fin);
    let after_told = pairs.iter().rev().find(is_told).map_or(0, |pair| pair.new + 1);
    let guessed = pairs.iter().find(|pair| pair.known >= told && pair.new >= after_told).map(|pair| pair.new);
    let between = &new[after_told..guessed.unwrap_or(new.len())];
    let merged = if pairs.iter().any(|pair| pair.are_equal) { Merged::Aligned } else { Merged::Time };
    Joint { shift, had: after_told + by_time(between), merged }
}

/// Lists how far each new word is from the nearest equal one, if one is near.
fn strays(new: &[Placed], known: &[&Placed], window: u64) -> Vec<i64> {
    let nearest = |word: &Placed| {
        let equal = known.iter().filter(|other| other.key == word.key);
        let strays = equal.map(|other| other.middle().wrapping_sub(word.middle()).cast_signed());
        strays.filter(|stray| stray.unsigned_abs() <= window).min_by_key(|stray| stray.unsigned_abs())
    };
    new.iter().filter_map(nearest).collect()
}

fn median(strays: &[i64], timeline: Timeline) -> i64 {
    let mut sorted = strays.to_vec();
    sorted.sort_unstable();
    let most = timeline.millis(MOST_SHIFT.unsigned_abs()).cast_signed();
    sorted.get(sorted.len() / 2).map_or(0, |middle| (*middle).clamp(-most, most))
}

/// Two words that are taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    new: usize,
    known: usize,
    are_equal: bool,
}

/// What is done with the first words of a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Pair,
    SkipNew,
    SkipKnown,
}

/// Pairs words so that the sum of the costs is least, the last of equal costs first.
fn align(new: &[Placed], known: &[&Placed], window: u64) -> Vec<Pair> {
    let width = known.len() + 1;
    let mut steps = vec![Step::SkipNew; (new.len() + 1) * width];
    let mut below: Vec<i64> = (0..width).map(|column| ALONE * count(width - 1 - column)).collect();
    for column in 0..known.len() {
        steps[new.len() * width + column] = Step::SkipKnown;
    }
    for (row, word) in new.iter().enumerate().rev() {
        let mut costs = below.clone();
        costs[known.len()] += ALONE;
        for (column, other) in known.iter().enumerate().rev() {
            let skip_new = (below[column] + ALONE, Step::SkipNew);
            let skip_known = (costs[column + 1] + ALONE, Step::SkipKnown);
            let pair = cost(word, other, window).map(|cost| (below[column + 1] + cost, Step::Pair));
            let alone = if skip_new.0 <= skip_known.0 { skip_new } else { skip_known };
            let (least, step) = pair.filter(|pair| pair.0 <= alone.0).unwrap_or(alone);
            costs[column] = least;
            steps[row * width + column] = step;
        }
        below = costs;
    }
    follow(&steps, new, known)
}

fn follow(steps: &[Step], new: &[Placed], known: &[&Placed]) -> Vec<Pair> {
    let (mut row, mut column, mut pairs) = (0, 0, Vec::new());
    while row < new.len() && column < known.len() {
        match steps[row * (known.len() + 1) + column] {
            Step::SkipNew => row += 1,
            Step::SkipKnown => column += 1,
            Step::Pair => {
                let are_equal = new[row].key == known[column].key;
                pairs.push(Pair { new: row, known: column, are_equal });
                (row, column) = (row + 1, column + 1);
            }
        }
    }
    pairs
}

fn cost(word: &Placed, other: &Placed, window: u64) -> Option<i64> {
    let apart = word.middle().abs_diff(other.middle());
    let earned = if word.key == other.key { EQUAL } else { DIFFERENT };
    let distance = apart.saturating_mul(1_000) / window.max(1);
    (apart <= window).then(|| earned + i64::try_from(distance).unwrap_or(i64::MAX / 2))
}

fn count(words: usize) -> i64 {
    i64::try_from(words).unwrap_or(i64::MAX / 1_000)
}

#[cfg(test)]
mod tests;
