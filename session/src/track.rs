//! What the caller has been told of one channel, and from where on a new leg must hear it.

use crate::merge::{Before, Placed, Seam};
use crate::pauses::Pauses;
use crate::timeline::Timeline;

/// Final words that are remembered, to be known again: those of so many milliseconds.
const REMEMBERED: u64 = 12_000;
/// An engine that ends a result here has decided about everything that began so many milliseconds before.
const DECIDED: u64 = 1_000;
/// Audio kept before what is final, in milliseconds.
pub(crate) const PRE_ROLL: u64 = 3_000;
/// A leg begins so many milliseconds before the pause that it is cut in, so that the engine finds its feet.
const LEAD: u64 = 500;
/// A leg begins so many milliseconds before the last word that the caller has, to know it again.
const WORD_LEAD: u64 = 200;
/// A pause is looked for so many milliseconds back.
const PAUSE_BACK: u64 = 10_000;

/// The results of one channel so far. Positions are samples of the session.
#[derive(Debug)]
pub(crate) struct Track {
    told: Vec<Placed>,
    guessed: Vec<Placed>,
    end: u64,
    fin: u64,
    seam: Seam,
}

impl Track {
    /// Starts at a position, with nothing told.
    pub(crate) fn new(from: u64) -> Self {
        Self { told: Vec::new(), guessed: Vec::new(), end: from, fin: from, seam: Seam::Safe }
    }

    /// Returns where the last final result ended.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Returns up to where everything is final.
    pub(crate) fn fin(&self) -> u64 {
        self.fin
    }

    /// Returns what a new leg's words are joined to.
    pub(crate) fn before(&self) -> Before<'_> {
        Before { told: &self.told, guessed: &self.guessed, fin: self.fin, seam: self.seam }
    }

    /// Returns where the last word ended that was told or guessed.
    pub(crate) fn last(&self) -> Option<u64> {
        self.guessed.last().or_else(|| self.told.last()).map(|word| word.end)
    }

    /// Notes a guess.
    pub(crate) fn guess(&mut self, words: Vec<Placed>) {
        self.guessed = words;
    }

    /// Notes a final result that ends at `end`; it goes no further back than those before it.
    pub(crate) fn commit(&mut self, words: Vec<Placed>, end: u64, (pauses, timeline): (&Pauses, Timeline)) {
        self.guessed.clear();
        self.end = self.end.max(end);
        self.told.extend(words);
        let oldest = self.end.saturating_sub(timeline.millis(REMEMBERED));
        self.told.retain(|word| word.end >= oldest);
        let last = self.told.last().map_or(0, |word| word.end);
        let middle = pauses.around(self.end).filter(|middle| *middle >= last);
        let (fin, seam) = match middle {
            Some(middle) => (middle, Seam::Safe),
            None => (last.max(self.end.saturating_sub(timeline.millis(DECIDED))), Seam::Unsafe),
        };
        if fin > self.fin {
            (self.fin, self.seam) = (fin, seam);
        }
    }

    /// Returns where a leg that goes on from here begins: in a pause, and before a word that the caller has.
    pub(crate) fn start(&self, pauses: &Pauses, timeline: Timeline) -> u64 {
        let back = |from: u64, millis| from.saturating_sub(timeline.millis(millis));
        let begin = match self.seam {
            Seam::Safe => back(self.fin, LEAD),
            Seam::Unsafe => pauses
                .before(self.fin, back(self.fin, PAUSE_BACK))
                .map_or_else(|| back(self.fin, PRE_ROLL), |pause| back(pause, LEAD)),
        };
        let recent = self.told.last().filter(|word| word.start >= back(self.fin, PRE_ROLL));
        recent.map_or(begin, |word| begin.min(back(word.start, WORD_LEAD)))
    }

    /// Returns from where on audio must be kept.
    pub(crate) fn keep_from(&self, pauses: &Pauses, timeline: Timeline) -> u64 {
        self.start(pauses, timeline).min(self.fin.saturating_sub(timeline.millis(PRE_ROLL)))
    }
}
