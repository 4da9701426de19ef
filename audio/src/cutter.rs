//! Where a long recording is cut, so that its parts can be heard apart: in pauses, since a word that is cut is a word
//! lost. Apart from the detector of pauses because it keeps the sound, and knows how long a part may be.

use std::collections::VecDeque;
use std::time::Duration;

use crate::format::SampleRate;
use crate::pauses::{PauseDetector, PauseEvent};

/// A pause this long is one that people make on purpose: nobody speaks on both sides of its middle at once.
const PAUSE: Duration = Duration::from_millis(200);
/// The silence that is kept before the next word, at most: recognisers want some, and no more.
const LEAD: Duration = Duration::from_millis(500);
/// What the detector must hear beyond a moment to know whether somebody spoke then.
const LOOKAHEAD: Duration = Duration::from_millis(60);

/// A part of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its first sample, counted from the start of the recording.
    pub start: u64,
    /// Its samples.
    pub samples: Vec<i16>,
}

/// Cuts one channel into chunks that cover every sample once, none longer than a limit.
///
/// A chunk ends in the longest pause of at least 200 ms in the second half of what it may be, or else in the last such
/// pause of the first half, or else in the longest shorter one, or else at the limit.
#[derive(Clone, Debug)]
pub struct Cutter {
    rate: SampleRate,
    longest: u64,
    detector: PauseDetector,
    /// Sound that no chunk has taken yet.
    buffer: Vec<i16>,
    /// The first sample of the buffer.
    start: u64,
    /// The samples that the detector has heard, from the start of the recording.
    heard: u64,
    /// Since when nobody speaks.
    silent_since: Option<u64>,
    /// Pauses that are over, but not before the buffer begins.
    pauses: VecDeque<Pause>,
}

/// Samples between two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pause {
    start: u64,
    end: u64,
}

/// A place to cut, and how good it is: later variants are better, and in each the larger number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Merit {
    /// A short pause in the second half, by its length.
    Short(u64),
    /// A pause in the first half, by its place.
    Early(u64),
    /// A pause in the second half, by its length.
    Late(u64),
}

impl Cutter {
    /// Begins a recording of `rate` that is cut into chunks of at most `longest`, which is taken to be a second or more.
    #[must_use]
    pub fn new(rate: SampleRate, longest: Duration) -> Self {
        Self {
            rate,
            longest: rate.samples_in(longest.max(Duration::from_secs(1))),
            detector: PauseDetector::new(rate),
            buffer: Vec::new(),
            start: 0,
            heard: 0,
            silent_since: Some(0),
            pauses: VecDeque::new(),
        }
    }

    /// Takes the next samples. Take out every chunk before the next ones come: what is pushed is kept until then.
    pub fn push(&mut self, samples: &[i16]) {
        self.buffer.extend_from_slice(samples);
    }

    /// Returns the next chunk, once enough has come to know where it ends.
    pub fn chunk(&mut self) -> Option<Chunk> {
        let enough = self.longest + self.rate.samples_in(LOOKAHEAD);
        if (self.buffer.len() as u64) < enough {
            return None;
        }
        self.hear(self.start + enough);
        Some(self.take(self.cut()))
    }

    /// Returns the next chunk after the recording has ended: none once all of it was taken.
    pub fn rest(&mut self) -> Option<Chunk> {
        let end = self.end();
        if self.buffer.is_empty() {
            return None;
        }
        if end - self.start <= self.longest {
            return Some(self.take(end));
        }
        self.hear(end.min(self.start + self.longest + self.rate.samples_in(LOOKAHEAD)));
        Some(self.take(self.cut()))
    }

    fn end(&self) -> u64 {
        self.start + self.buffer.len() as u64
    }

    /// Lets the detector hear up to a sample.
    fn hear(&mut self, until: u64) {
        let (from, until) = (self.index(self.heard), self.index(until));
        for event in self.detector.push(&self.buffer[from..until]) {
            match (event, self.silent_since) {
                (PauseEvent::SpeechStarted { at_sample: end }, Some(start)) => {
                    self.pauses.push_back(Pause { start, end });
                    self.silent_since = None;
                }
                (PauseEvent::SpeechStarted { .. }, None) => {}
                (PauseEvent::Paused { since_sample }, _) => self.silent_since = Some(since_sample),
            }
        }
        self.heard = self.start + until as u64;
    }

    /// Finds the place of a sample in the buffer.
    fn index(&self, sample: u64) -> usize {
        usize::try_from(sample.saturating_sub(self.start)).unwrap_or(usize::MAX).min(self.buffer.len())
    }

    /// Finds the sample before which the next chunk ends.
    fn cut(&self) -> u64 {
        let limit = self.start + self.longest;
        let open = self.silent_since.map(|start| Pause { start, end: limit });
        let pauses = self.pauses.iter().copied().chain(open).filter(|pause| pause.start < limit);
        let best = pauses.filter_map(|pause| self.judge(pause)).max();
        best.map_or(limit, |(_merit, place)| place)
    }

    /// Says how good it would be to cut in a pause, and where.
    fn judge(&self, pause: Pause) -> Option<(Merit, u64)> {
        let (limit, half) = (self.start + self.longest, self.start + self.longest / 2);
        let (start, end) = (pause.start.max(self.start), pause.end.min(limit));
        let place = u64::midpoint(start, end).max(end.saturating_sub(self.rate.samples_in(LEAD)));
        let (length, leads) = (end.saturating_sub(start), pause.start <= self.start);
        let long = length >= self.rate.samples_in(PAUSE);
        let merit = match (place >= half, long) {
            (true, true) => Merit::Late(length),
            (true, false) => Merit::Short(length),
            // The silence before the first word is no place to end.
            (false, true) if !leads => Merit::Early(place),
            (false, _) => return None,
        };
        Some((merit, place))
    }

    /// Takes what comes before a sample.
    fn take(&mut self, end: u64) -> Chunk {
        let later = self.buffer.split_off(self.index(end));
        let samples = std::mem::replace(&mut self.buffer, later);
        let chunk = Chunk { start: self.start, samples };
        self.start = end;
        self.heard = self.heard.max(end);
        self.pauses.retain(|pause| pause.end > end);
        chunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coded::{Ear, Script, Voice};
    use crate::format::Format;
    use proptest::prelude::*;

    const RATE: SampleRate = SampleRate::HZ_16000;
    const LONGEST: Duration = Duration::from_secs(4);

    /// Speech, or what the detector takes for it, and silence, in milliseconds.
    fn sound(parts: &[(u64, u64)]) -> Vec<i16> {
        let samples = |milliseconds: u64| usize::try_from(milliseconds * 16).unwrap();
        let speech = |length| (0..length).map(|n: usize| if (n / 40).is_multiple_of(2) { 6_000 } else { -6_000 });
        let part = |(loud, quiet): &(u64, u64)| speech(samples(*loud)).chain(std::iter::repeat_n(0, samples(*quiet)));
        parts.iter().flat_map(part).collect()
    }

    fn cut(samples: &[i16], piece: usize) -> Vec<Chunk> {
        let mut cutter = Cutter::new(RATE, LONGEST);
        let mut chunks = Vec::new();
        for piece in samples.chunks(piece) {
            cutter.push(piece);
            chunks.extend(std::iter::from_fn(|| cutter.chunk()));
        }
        chunks.extend(std::iter::from_fn(|| cutter.rest()));
        chunks
    }

    /// Where chunks end, but for the last, in milliseconds.
    fn ends(parts: &[(u64, u64)]) -> Vec<u64> {
        let chunks = cut(&sound(parts), 999);
        chunks[1..].iter().map(|chunk| chunk.start / 16).collect()
    }

    #[test]
    fn the_longest_pause_of_the_second_half_is_preferred() {
        // Pauses at 1 to 1.6 s, 2.1 to 2.4 s, 2.9 to 3.1 s.
        assert_eq!(ends(&[(1_000, 600), (500, 300), (500, 200), (2_000, 0)]), [2_250]);
    }

    #[test]
    fn a_pause_of_the_first_half_is_better_than_none_and_the_last_one_best() {
        assert_eq!(ends(&[(500, 400), (500, 300), (3_000, 0)]), [1_550]);
    }

    #[test]
    fn a_short_pause_is_better_than_the_middle_of_a_word() {
        assert_eq!(ends(&[(3_000, 100), (2_000, 0)]), [3_050]);
        assert_eq!(ends(&[(5_000, 0)]), [4_000]);
    }

    #[test]
    fn a_long_silence_leaves_half_a_second_before_the_next_word() {
        assert_eq!(ends(&[(1_000, 2_500), (1_000, 0)]), [3_000]);
        assert_eq!(ends(&[(0, 8_000)]), [3_500, 7_000]);
    }

    #[test]
    fn what_fits_is_not_cut() {
        assert_eq!(ends(&[(2_000, 500), (1_500, 0)]), [0_u64; 0]);
        assert_eq!(cut(&[], 1), []);
    }

    #[test]
    fn no_coded_word_is_lost_or_doubled() {
        let script = Script { session: 77, words: 400 };
        let (mut voice, mut bytes) = (Voice::new(script, Format::SPEECH), Vec::new());
        while voice.speak(16_000, &mut bytes) > 0 {}
        let (samples, _) = bytes.as_chunks::<2>();
        let samples: Vec<i16> = samples.iter().map(|sample| i16::from_le_bytes(*sample)).collect();
        let mut words = Vec::new();
        for chunk in cut(&samples, 16_000) {
            let mut ear = Ear::new(RATE);
            ear.push(&chunk.samples, &mut words);
            ear.finish(&mut words);
        }
        let heard: Vec<_> = words.iter().map(|word| word.word_index).collect();
        assert_eq!(heard, (0..400).collect::<Vec<_>>());
    }

    fn parts() -> impl Strategy<Value = Vec<(u64, u64)>> {
        prop::collection::vec((0_u64..3_000, prop_oneof![0_u64..250, 0_u64..6_000]), 0..12)
    }

    /// The pauses of a whole recording, as the detector finds them.
    fn pauses(samples: &[i16]) -> Vec<Pause> {
        let mut pauses = vec![Pause { start: 0, end: u64::MAX }];
        for event in PauseDetector::new(RATE).push(samples) {
            match event {
                PauseEvent::SpeechStarted { at_sample } => pauses.last_mut().unwrap().end = at_sample,
                PauseEvent::Paused { since_sample } => pauses.push(Pause { start: since_sample, end: u64::MAX }),
            }
        }
        pauses
    }

    proptest! {
        #[test]
        fn chunks_cover_every_sample_once_and_none_is_too_long(parts in parts(), piece in 1_usize..50_000) {
            let samples = sound(&parts);
            let chunks = cut(&samples, piece.max(50));
            let mut place = 0;
            for chunk in &chunks {
                prop_assert_eq!(chunk.start, place);
                prop_assert!(!chunk.samples.is_empty() && chunk.samples.len() as u64 <= RATE.samples_in(LONGEST));
                place += chunk.samples.len() as u64;
            }
            let covered: Vec<i16> = chunks.into_iter().flat_map(|chunk| chunk.samples).collect();
            prop_assert_eq!(covered, samples);
        }

        #[test]
        fn it_does_not_matter_how_the_sound_comes(parts in parts(), piece in 50_usize..50_000) {
            let samples = sound(&parts);
            prop_assert_eq!(cut(&samples, piece), cut(&samples, usize::MAX));
        }

        #[test]
        fn where_there_is_a_pause_the_cut_is_in_one(parts in parts()) {
            let samples = sound(&parts);
            let (pauses, pause) = (pauses(&samples), RATE.samples_in(PAUSE));
            let starts: Vec<_> = cut(&samples, usize::MAX).iter().map(|chunk| chunk.start).collect();
            for cut in starts.windows(2) {
                let (start, limit) = (cut[0], cut[0] + RATE.samples_in(LONGEST));
                let within = |found: &&Pause| found.end.min(limit).saturating_sub(found.start.max(start)) >= pause;
                if pauses.iter().filter(within).any(|found| found.start > start) {
                    let mut there = pauses.iter().filter(within);
                    prop_assert!(there.any(|found| (found.start..=found.end).contains(&cut[1])), "{cut:?} {pauses:?}");
                }
            }
        }
    }
}
