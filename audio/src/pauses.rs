//! Where people speak and where they pause: the energy of 20 ms blocks against a noise floor that follows the room.
//!
//! How long a pause must be to end an utterance is the engine's to decide; here a pause begins with its first block.

use std::vec::Drain;

use crate::format::SampleRate;

/// Blocks in a second.
const BLOCKS_PER_SECOND: u32 = 50;
/// Speech is louder than the floor by this factor of power when it begins (8 dB)…
const ONSET_OVER_FLOOR: f64 = 6.0;
/// … and as long as it goes on (5 dB), so that what is near the border does not flicker.
const SPEECH_OVER_FLOOR: f64 = 3.0;
/// Power below which nothing counts as speech: 40 of 32,768, root mean square.
const QUIETEST_SPEECH: f64 = 40.0 * 40.0;
/// The floor begins no higher than this, so that a stream that begins in the middle of a word is heard as speech.
const HIGHEST_FIRST_FLOOR: f64 = 150.0 * 150.0;
/// The floor rises by this factor per block (2 dB a second), so that a new steady noise becomes the room in the end.
const RISE: f64 = 1.0093;
/// The floor closes half of its distance to a quieter block.
const FALL: f64 = 0.5;
/// Loud blocks in a row that make speech; fewer are a click.
const ONSET_BLOCKS: u64 = 2;

/// A change between speech and silence. Samples are counted from the beginning of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseEvent {
    /// Someone began to speak.
    SpeechStarted {
        /// The first sample of the first loud block.
        at_sample: u64,
    },
    /// Whoever spoke fell silent.
    Paused {
        /// The first sample of the first silent block.
        since_sample: u64,
    },
}

/// Tells speech from silence in one channel, 20 ms at a time.
#[derive(Clone, Debug)]
pub struct PauseDetector {
    block: Block,
    block_len: u64,
    /// Blocks completed so far.
    blocks: u64,
    floor: Option<f64>,
    state: State,
    events: Vec<PauseEvent>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Silent since a block.
    Silent { since: u64 },
    /// Perhaps speech since a block, silent since an earlier one.
    Onset { since: u64, silent_since: u64 },
    /// Someone speaks.
    Speaking,
}

/// Sums over the samples of an incomplete block.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    samples: u64,
    sum: i64,
    squares: i64,
}

impl PauseDetector {
    /// Begins in silence.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        Self {
            block: Block::default(),
            block_len: u64::from(rate.hertz() / BLOCKS_PER_SECOND),
            blocks: 0,
            floor: None,
            state: State::Silent { since: 0 },
            events: Vec::new(),
        }
    }

    /// Hears `samples` and yields what changed, in order. An event comes with the block that shows it: at most 20 ms
    /// after a pause began, 40 ms after speech did.
    pub fn push(&mut self, samples: &[i16]) -> Drain<'_, PauseEvent> {
        let mut left = samples;
        while !left.is_empty() {
            let room = usize::try_from(self.block_len - self.block.samples).unwrap_or(usize::MAX);
            let (block, rest) = left.split_at(room.min(left.len()));
            self.block.add(block);
            if self.block.samples == self.block_len {
                let level = std::mem::take(&mut self.block).power();
                self.judge(level);
            }
            left = rest;
        }
        self.events.drain(..)
    }

    /// Returns the sample since which nobody speaks, or nothing while someone does. A stream begins silent.
    #[must_use]
    pub const fn silence_since(&self) -> Option<u64> {
        match self.state {
            State::Silent { since } => Some(since * self.block_len),
            State::Onset { .. } | State::Speaking => None,
        }
    }

    /// Returns the sample up to which the answers hold: the end of the last whole block.
    #[must_use]
    pub const fn heard_samples(&self) -> u64 {
        self.blocks * self.block_len
    }

    fn judge(&mut self, level: f64) {
        let block = self.blocks;
        self.blocks += 1;
        self.state = if self.is_loud(level) { self.after_loud(block) } else { self.after_quiet(block) };
    }

    fn is_loud(&mut self, level: f64) -> bool {
        let before = self.floor.unwrap_or_else(|| level.min(HIGHEST_FIRST_FLOOR));
        let after = if level < before { before + (level - before) * FALL } else { before * RISE };
        self.floor = Some(after.max(QUIETEST_SPEECH / ONSET_OVER_FLOOR));
        let factor = match self.state {
            State::Silent { .. } | State::Onset { .. } => ONSET_OVER_FLOOR,
            State::Speaking => SPEECH_OVER_FLOOR,
        };
        level > QUIETEST_SPEECH && level > before * factor
    }

    fn after_loud(&mut self, block: u64) -> State {
        match self.state {
            State::Silent { since } => State::Onset { since: block, silent_since: since },
            State::Onset { since, .. } if block - since + 1 >= ONSET_BLOCKS => {
                self.events.push(PauseEvent::SpeechStarted { at_sample: since * self.block_len });
                State::Speaking
            }
            State::Onset { .. } | State::Speaking => self.state,
        }
    }

    fn after_quiet(&mut self, block: u64) -> State {
        match self.state {
            State::Silent { .. } => self.state,
            State::Onset { silent_since, .. } => State::Silent { since: silent_since },
            State::Speaking => {
                self.events.push(PauseEvent::Paused { since_sample: block * self.block_len });
                State::Silent { since: block }
            }
        }
    }
}

impl Block {
    /// One branch per block and none per sample, so that samples are added several at a time.
    fn add(&mut self, samples: &[i16]) {
        self.samples += samples.len() as u64;
        self.sum += samples.iter().map(|sample| i64::from(*sample)).sum::<i64>();
        self.squares += samples.iter().map(|sample| i64::from(i32::from(*sample) * i32::from(*sample))).sum::<i64>();
    }

    /// The power of what moves: a constant offset is not sound.
    fn power(self) -> f64 {
        let count = self.samples as f64;
        let mean = self.sum as f64 / count;
        self.squares as f64 / count - mean * mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATE: SampleRate = SampleRate::HZ_16000;

    /// White noise of a peak level.
    fn noise(milliseconds: usize, peak: i32) -> impl Iterator<Item = i16> {
        let mut state = 1_u32;
        (0..milliseconds * 16).map(move |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let centred = i64::from(state) - (1 << 31);
            i16::try_from((centred * i64::from(peak)) >> 31).unwrap_or_default()
        })
    }

    fn events(samples: &[i16]) -> Vec<PauseEvent> {
        PauseDetector::new(RATE).push(samples).collect()
    }

    const fn started(milliseconds: u64) -> PauseEvent {
        PauseEvent::SpeechStarted { at_sample: milliseconds * 16 }
    }

    const fn paused(milliseconds: u64) -> PauseEvent {
        PauseEvent::Paused { since_sample: milliseconds * 16 }
    }

    #[test]
    fn speech_stands_out_of_silence_and_of_a_noisy_room() {
        for room in [0, 30, 300] {
            let parts = [(600, room), (400, 6_000), (300, room), (200, 6_000), (200, room)];
            let samples: Vec<i16> = parts.into_iter().flat_map(|(length, peak)| noise(length, peak)).collect();
            assert_eq!(events(&samples), [started(600), paused(1_000), started(1_300), paused(1_500)], "room {room}");
        }
    }

    #[test]
    fn a_stream_may_begin_in_the_middle_of_a_word() {
        let samples: Vec<i16> = noise(200, 6_000).chain(noise(200, 0)).collect();
        assert_eq!(events(&samples), [started(0), paused(200)]);
    }

    #[test]
    fn a_click_and_an_offset_are_not_speech() {
        let mut samples = vec![2_000; 16 * 500];
        samples[4_000..4_020].fill(20_000);
        let mut detector = PauseDetector::new(RATE);
        assert_eq!(detector.push(&samples).count(), 0);
        assert_eq!((detector.silence_since(), detector.heard_samples()), (Some(0), 8_000));
    }

    #[test]
    fn a_steady_noise_becomes_the_room_in_the_end() {
        let samples: Vec<i16> = noise(1_000, 0).chain(noise(30_000, 600)).collect();
        assert!(matches!(events(&samples)[..], [PauseEvent::SpeechStarted { .. }, PauseEvent::Paused { .. }]));
    }

    #[test]
    fn silence_is_counted_from_the_first_silent_block() {
        let mut detector = PauseDetector::new(RATE);
        let samples: Vec<i16> = noise(200, 6_000).collect();
        assert_eq!(detector.push(&samples).count(), 1);
        assert_eq!(detector.silence_since(), None);
        assert_eq!(detector.push(&[0; 330]).count(), 1);
        assert_eq!(detector.silence_since(), Some(3_200));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_sound_is_cut(
            levels in prop::collection::vec((1_usize..200, 0_i32..8_000), 1..8),
            chunk in 1_usize..1_000,
        ) {
            let samples: Vec<i16> = levels.into_iter().flat_map(|(length, peak)| noise(length, peak)).collect();
            let mut detector = PauseDetector::new(RATE);
            let pieces: Vec<_> = samples.chunks(chunk).flat_map(|piece| detector.push(piece).collect::<Vec<_>>()).collect();
            prop_assert_eq!(pieces, events(&samples));
        }
    }
}
