//! Where the caller paused, as far as the shell has listened: cuts are safe there.

use std::collections::VecDeque;

/// Pauses that are remembered, at most.
const REMEMBERED: usize = 64;

/// What the shell's ear noticed. Positions are samples of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// Somebody began to speak at this sample.
    Speech(u64),
    /// Nobody speaks from this sample on.
    Silence(u64),
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    start: u64,
    /// None: it goes on.
    end: Option<u64>,
}

/// The latest pauses of a stream, oldest first.
#[derive(Debug)]
pub(crate) struct Pauses {
    known: VecDeque<Pause>,
    /// Up to this sample the shell has listened.
    heard: u64,
    /// The shortest pause in which a cut is safe.
    shortest: u64,
}

impl Pauses {
    /// Starts in silence, at a position. A pause must be `shortest` samples long to count.
    pub(crate) fn new(start: u64, shortest: u64) -> Self {
        Self { known: VecDeque::from([Pause { start, end: None }]), heard: start, shortest }
    }

    /// Returns how long a pause must be to count.
    pub(crate) fn shortest(&self) -> u64 {
        self.shortest
    }

    /// Notes a change.
    pub(crate) fn note(&mut self, noticed: Noticed) {
        let open = self.known.back_mut().filter(|pause| pause.end.is_none());
        match (noticed, open) {
            (Noticed::Speech(at), Some(pause)) => pause.end = Some(at),
            (Noticed::Silence(at), None) => {
                self.known.push_back(Pause { start: at, end: None });
                if self.known.len() > REMEMBERED {
                    self.known.pop_front();
                }
            }
            (Noticed::Speech(_), None) | (Noticed::Silence(_), Some(_)) => {}
        }
    }

    /// Notes how far the shell has listened.
    pub(crate) fn heard(&mut self, samples: u64) {
        self.heard = self.heard.max(samples);
    }

    /// Tells whether somebody speaks at the end of what was heard.
    pub(crate) fn is_speech(&self) -> bool {
        self.known.back().is_some_and(|pause| pause.end.is_some())
    }

    /// Tells whether a pause that is long enough goes on at the end of what was heard.
    pub(crate) fn is_pause(&self) -> bool {
        self.known.back().is_some_and(|pause| pause.end.is_none() && self.is_long(pause))
    }

    /// Returns since when nobody speaks, where a pause that is long enough goes on at the end of what was heard.
    pub(crate) fn paused_since(&self) -> Option<u64> {
        self.known.back().filter(|_| self.is_pause()).map(|pause| pause.start)
    }

    /// Finds the middle of the pause that a position is in. Of a long one, the middle of what is near the position.
    pub(crate) fn around(&self, position: u64) -> Option<u64> {
        let holds = |pause: &&Pause| pause.start <= position && position <= self.end(pause);
        let pause = self.known.iter().rev().find(holds).filter(|pause| self.is_long(pause))?;
        let near = position.max(pause.start + 2 * self.shortest).min(self.end(pause));
        Some(pause.start.midpoint(near))
    }

    /// Finds the middle of the last pause that ended before a position, and not before `earliest`.
    pub(crate) fn before(&self, position: u64, earliest: u64) -> Option<u64> {
        let ended = |pause: &&Pause| self.end(pause) <= position && self.is_long(pause);
        let pause = self.known.iter().rev().find(ended)?;
        let middle = pause.start.max(self.end(pause).saturating_sub(4 * self.shortest)).midpoint(self.end(pause));
        (middle >= earliest).then_some(middle)
    }

    fn end(&self, pause: &Pause) -> u64 {
        pause.end.unwrap_or(self.heard).max(pause.start)
    }

    fn is_long(&self, pause: &Pause) -> bool {
        self.end(pause) - pause.start >= self.shortest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Silent until 1,000, then from 2,000 to 2,300, from 3,000 to 3,100 and from 5,000 on.
    fn pauses() -> Pauses {
        let mut pauses = Pauses::new(0, 200);
        for (silence, speech) in [(0, 1_000), (2_000, 2_300), (3_000, 3_100)] {
            pauses.note(Noticed::Silence(silence));
            pauses.note(Noticed::Speech(speech));
        }
        pauses.note(Noticed::Silence(5_000));
        pauses.heard(9_000);
        pauses
    }

    #[test]
    fn a_cut_is_in_the_middle_of_a_pause_that_is_long_enough() {
        let pauses = pauses();
        assert_eq!(pauses.around(2_100), Some(2_150));
        assert_eq!(pauses.around(2_500), None, "somebody speaks");
        assert_eq!(pauses.around(3_050), None, "the pause is too short");
    }

    #[test]
    fn of_a_long_pause_what_is_near_counts() {
        assert_eq!(pauses().around(5_010), Some(5_200));
        assert_eq!(pauses().around(8_000), Some(6_500));
    }

    #[test]
    fn the_last_pause_before_a_position_is_found_unless_it_is_too_old() {
        let pauses = pauses();
        assert_eq!(pauses.before(4_000, 0), Some(2_150));
        assert_eq!(pauses.before(4_000, 2_200), None);
        assert_eq!(pauses.before(500, 0), None, "a pause that goes on there has not ended");
    }

    #[test]
    fn speech_and_pauses_are_told_apart_at_the_end() {
        let mut pauses = pauses();
        assert!(pauses.is_pause() && !pauses.is_speech());
        assert_eq!(pauses.paused_since(), Some(5_000));
        pauses.note(Noticed::Speech(9_000));
        assert!(pauses.is_speech() && !pauses.is_pause());
        pauses.note(Noticed::Silence(9_100));
        pauses.heard(9_200);
        assert_eq!((pauses.is_pause(), pauses.paused_since()), (false, None), "not yet");
    }
}
