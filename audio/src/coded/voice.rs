//! Speaking a script: bytes of any format, made as they are asked for, so that hours need no memory.

use std::f32::consts::TAU;
use std::time::Duration;

use super::chord::{Code, SYMBOLS, frequency};
use super::script::{CodedWord, Script, Words};
use crate::format::{Format, SampleRate};
use crate::sample;

/// The loudness of one tone; ten of them stay below full scale.
const AMPLITUDE: f32 = 2_400.0;
/// Words fade in and out over so long, so that they do not click.
const FADE: Duration = Duration::from_millis(5);
/// The sine's table has two to the power of this many entries.
const TABLE_BITS: u32 = 11;
/// Frames rendered at a time.
const PIECE: usize = 512;

/// Speaks one script in one format.
#[derive(Clone, Debug)]
pub struct Voice {
    format: Format,
    session: u16,
    words: Words,
    /// The word being spoken or waited for.
    word: Option<SpokenWord>,
    position: u64,
    end: u64,
    sine: Vec<f32>,
    mixed: Vec<f32>,
    samples: Vec<i16>,
}

/// A word in frames, with its ten oscillators.
#[derive(Clone, Copy, Debug)]
struct SpokenWord {
    start: u64,
    end: u64,
    tones: [Tone; SYMBOLS],
}

/// An oscillator: parts of a turn, of which 2^32 make one.
#[derive(Clone, Copy, Debug)]
struct Tone {
    phase: u32,
    step: u32,
}

impl Voice {
    /// Begins with the silence before the first word.
    #[must_use]
    pub fn new(script: Script, format: Format) -> Self {
        let table = 1_u16 << TABLE_BITS;
        let sine = (0..table).map(|at| AMPLITUDE * (TAU * f32::from(at) / f32::from(table)).sin()).collect();
        let mut words = script.words();
        let word = words.next().map(|word| SpokenWord::new(script.session, word, format.rate));
        let end = format.rate.samples_in(script.duration());
        let (mixed, samples) = (Vec::new(), Vec::new());
        Self { format, session: script.session, words, word, position: 0, end, sine, mixed, samples }
    }

    /// Appends the next `frames` frames to `bytes` and returns how many there were: fewer at the end, then none. All
    /// channels carry the same.
    pub fn speak(&mut self, frames: usize, bytes: &mut Vec<u8>) -> usize {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let frames = frames.min(left);
        let mut missing = frames;
        while missing > 0 {
            let piece = missing.min(PIECE);
            self.speak_piece(piece, bytes);
            missing -= piece;
        }
        frames
    }

    /// Returns how much has been spoken.
    #[must_use]
    pub fn position(&self) -> Duration {
        self.format.rate.duration_of(self.position)
    }

    fn speak_piece(&mut self, frames: usize, bytes: &mut Vec<u8>) {
        self.mixed.clear();
        self.mixed.resize(frames, 0.0);
        self.mix_words();
        self.position += frames as u64;
        self.samples.clear();
        let channels = self.format.channels.count();
        let frames = self.mixed.iter().flat_map(|mixed| std::iter::repeat_n(sample::round(*mixed), channels));
        self.samples.extend(frames);
        self.format.encoding.encode(&self.samples, bytes);
    }

    /// Adds every word that lies in the piece at `position`.
    fn mix_words(&mut self) {
        let piece_end = self.position + self.mixed.len() as u64;
        let fade = self.format.rate.samples_in(FADE);
        while let Some(word) = self.word.as_mut().filter(|word| word.start < piece_end) {
            let from = word.start.max(self.position) - self.position;
            let to = word.end.min(piece_end) - self.position;
            let part = &mut self.mixed[index(from)..index(to)];
            word.mix(part, &self.sine);
            word.fade(part, self.position + from, fade);
            if word.end > piece_end {
                return;
            }
            self.word = self.words.next().map(|word| SpokenWord::new(self.session, word, self.format.rate));
        }
    }
}

/// Narrows a place inside a piece.
fn index(place: u64) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

impl SpokenWord {
    fn new(session: u16, word: CodedWord, rate: SampleRate) -> Self {
        let symbols = Code { session, index: word.index }.symbols();
        let tones = std::array::from_fn(|symbol| Tone::new(symbol, usize::from(symbols[symbol]), rate));
        Self { start: rate.samples_in(word.start), end: rate.samples_in(word.end), tones }
    }

    fn mix(&mut self, part: &mut [f32], sine: &[f32]) {
        for tone in &mut self.tones {
            for mixed in part.iter_mut() {
                *mixed += sine[(tone.phase >> (u32::BITS - TABLE_BITS)) as usize];
                tone.phase = tone.phase.wrapping_add(tone.step);
            }
        }
    }

    /// Softens the frames near the word's edges.
    fn fade(&self, part: &mut [f32], position: u64, fade: u64) {
        for (mixed, frame) in part.iter_mut().zip(position..) {
            let inside = (frame - self.start + 1).min(self.end - frame);
            if inside < fade {
                *mixed *= inside as f32 / fade as f32;
            }
        }
    }
}

impl Tone {
    /// Begins with Newman's phase, which keeps the peaks of the sum low.
    fn new(symbol: usize, tone: usize, rate: SampleRate) -> Self {
        let turns = (symbol * symbol) as u64 * (1 << 32) / (2 * SYMBOLS as u64);
        let step = (u64::from(frequency(symbol, tone)) << 32) / u64::from(rate.hertz());
        Self { phase: low_half(turns), step: low_half(step) }
    }
}

/// Keeps the part of a turn and drops whole turns.
fn low_half(turns: u64) -> u32 {
    u32::try_from(turns & u64::from(u32::MAX)).unwrap_or_default()
}
