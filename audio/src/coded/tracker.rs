//! From what single windows hold to words with a beginning and an end. Windows overlap, so a word is heard in several;
//! two in a row must agree before it counts.

use std::collections::VecDeque;

use super::chord::Code;
use super::spectrum::{Frame, WINDOW};
use crate::sample;

/// Samples from one window to the next: 20 ms.
pub(super) const HOP: usize = 160;
/// Silent samples before the first window, so that a word may begin with the stream.
pub(super) const LEAD: usize = WINDOW - HOP;
/// Windows remembered to find where a word began: more than the longest word has.
const MEMORY: usize = 64;

/// A word between two samples at 8 kHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) code: Code,
    pub(super) start: i64,
    pub(super) end: i64,
}

/// Follows one stream of windows.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracker {
    powers: VecDeque<f32>,
    /// Windows seen so far.
    frames: i64,
    /// What the last window held.
    last: Option<Code>,
    word: Option<Word>,
    /// No word begins before the one before it ended.
    earliest: i64,
}

/// A word that has begun.
#[derive(Clone, Copy, Debug)]
struct Word {
    code: Code,
    first: i64,
    last: i64,
    peak: f32,
}

impl Tracker {
    /// Takes the next window and returns the word that it ends, if any.
    pub(super) fn push(&mut self, frame: Frame) -> Option<Heard> {
        let now = self.remember(frame.power);
        let agreed = frame.code.filter(|code| self.last == Some(*code));
        self.last = frame.code;
        let ended = match &mut self.word {
            Some(word) if frame.code == Some(word.code) => {
                word.last = now;
                word.peak = word.peak.max(frame.power);
                None
            }
            Some(word) if frame.power < word.peak / 2.0 => self.end(None),
            Some(word) if agreed.is_some() => {
                let border = i64::midpoint(middle(word.last), middle(now - 1));
                self.end(Some(border))
            }
            Some(_) | None => None,
        };
        if let (None, Some(code)) = (self.word, agreed) {
            let peak = frame.power.max(self.power(now - 1));
            self.word = Some(Word { code, first: now - 1, last: now, peak });
        }
        ended
    }

    /// Ends the word that is still sounding, when the stream ends.
    pub(super) fn finish(&mut self) -> Option<Heard> {
        let border = self.word.map(|word| middle(word.last));
        self.end(border)
    }

    /// The word that is sounding, once it is known.
    pub(super) const fn sounding(&self) -> Option<Code> {
        match self.word {
            Some(word) => Some(word.code),
            None => None,
        }
    }

    fn remember(&mut self, power: f32) -> i64 {
        if self.powers.len() == MEMORY {
            self.powers.pop_front();
        }
        self.powers.push_back(power);
        self.frames += 1;
        self.frames - 1
    }

    /// The power of a window; silence before the first, and before the first remembered.
    fn power(&self, frame: i64) -> f32 {
        let back = usize::try_from(self.frames - 1 - frame).unwrap_or(usize::MAX);
        self.powers.iter().rev().nth(back).copied().unwrap_or_default()
    }

    /// Ends the word where its power fell to half, or at a border that is known.
    fn end(&mut self, border: Option<i64>) -> Option<Heard> {
        let word = self.word.take()?;
        let half = word.peak / 2.0;
        let rising =
            (word.first - MEMORY as i64..=word.last).rev().skip_while(|at| *at > word.first && self.power(*at) < half);
        let before = rising.into_iter().find(|at| self.power(*at) < half).unwrap_or(word.first);
        let after = (word.last..self.frames).find(|at| self.power(*at) < half).unwrap_or(self.frames - 1);
        let start = self.crossing(before, half).max(self.earliest);
        let end = border.unwrap_or_else(|| self.crossing(after - 1, half)).max(start);
        self.earliest = end;
        Some(Heard { code: word.code, start, end })
    }

    /// Where between the middles of a window and the next one the power crosses `level`.
    fn crossing(&self, frame: i64, level: f32) -> i64 {
        let (here, next) = (self.power(frame), self.power(frame + 1));
        let part = if here == next { 0.5 } else { ((level - here) / (next - here)).clamp(0.0, 1.0) };
        middle(frame) + i64::from(sample::round(part * HOP as f32))
    }
}

/// The sample in the middle of a window.
const fn middle(frame: i64) -> i64 {
    frame * HOP as i64 + (WINDOW / 2) as i64 - LEAD as i64
}
