//! Which chord sounds in a window of 100 ms at 8 kHz. Apart from what is made of the answer over time.

use std::f32::consts::TAU;

use super::chord::{Code, SYMBOLS, TONES, frequency};

/// Samples per second that windows must have.
pub(super) const RATE: u32 = 8_000;
/// Samples of a window: 100 ms.
pub(super) const WINDOW: usize = 800;
/// All tones are multiples of 20 Hz and repeat after so many samples, so that the window can be folded before it is analysed.
const PERIOD: usize = WINDOW / 2;

/// The power of a tone in the spectrum over its power in the window: (Σw)² / (2 Σw²) for a Hann window.
const GAIN: f32 = 800.0 / 3.0;
/// Windows with less power are silence: ten of 32,768, root mean square.
const SILENCE: f32 = 300.0 * 10.0 * 10.0;
/// The least part of a window's power that the ten tones must hold.
const PURITY: f32 = 0.4;
/// The least power of the weakest tone over that of the strongest (-12 dB).
const FLATNESS: f32 = 1.0 / 16.0;

/// What a window holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    /// The power in the middle of the window: half when a word begins or ends there.
    pub(super) power: f32,
    /// The chord, if there is one.
    pub(super) code: Option<Code>,
}

/// The tables of the analysis.
#[derive(Clone, Debug)]
pub(super) struct Spectrum {
    hann: Vec<f32>,
    turns: [[f32; TONES]; SYMBOLS],
}

impl Spectrum {
    pub(super) fn new() -> Self {
        let hann = (0..WINDOW).map(|at| 0.5 - 0.5 * (TAU * at as f32 / WINDOW as f32).cos()).collect();
        let turn = |symbol, tone| 2.0 * (TAU * frequency(symbol, tone) as f32 / RATE as f32).cos();
        Self { hann, turns: std::array::from_fn(|symbol| std::array::from_fn(|tone| turn(symbol, tone))) }
    }

    /// Analyses one window of [`WINDOW`] samples.
    pub(super) fn analyse(&self, window: &[f32]) -> Frame {
        let mut folded = [0.0; PERIOD];
        let mut power = 0.0;
        for (at, (sample, weight)) in window.iter().zip(&self.hann).enumerate() {
            let weighed = sample * weight;
            power += weighed * weighed;
            folded[at % PERIOD] += weighed;
        }
        let code = if power < SILENCE { None } else { self.read(&folded, power) };
        Frame { power, code }
    }

    fn read(&self, folded: &[f32; PERIOD], power: f32) -> Option<Code> {
        let peaks = self.turns.each_ref().map(|turns| loudest(&powers(turns, folded)));
        let strengths = peaks.map(|(_, strength)| strength);
        let strongest = strengths.into_iter().fold(0.0, f32::max);
        let weakest = strengths.into_iter().fold(f32::MAX, f32::min);
        let tonal = strengths.iter().sum::<f32>() >= PURITY * GAIN * power;
        let flat = weakest >= FLATNESS * strongest;
        if tonal && flat { Code::read(peaks.map(|(tone, _)| tone)) } else { None }
    }
}

/// Goertzel's recurrence for the sixteen tones of a symbol side by side.
fn powers(turns: &[f32; TONES], folded: &[f32; PERIOD]) -> [f32; TONES] {
    let mut last = [0.0; TONES];
    let mut before = [0.0; TONES];
    for sample in folded {
        for ((last, before), turn) in last.iter_mut().zip(&mut before).zip(turns) {
            let next = sample + turn * *last - *before;
            (*before, *last) = (*last, next);
        }
    }
    std::array::from_fn(|at| {
        let (last, before) = (last[at], before[at]);
        last * last + before * before - turns[at] * last * before
    })
}

fn loudest(powers: &[f32; TONES]) -> (u8, f32) {
    let louder = |best: (u8, f32), next: (u8, f32)| if next.1 > best.1 { next } else { best };
    (0_u8..).zip(powers.iter().copied()).fold((0, 0.0), louder)
}
