//! Change of sample rate by a polyphase windowed sinc: cut at 3.8 kHz of every 4 kHz that the slower side can carry,
//! 70 dB down where aliases would begin.
//!
//! The output is not delayed against the input: output sample `n` is the sound at input time `n × from / to`. To know
//! it, the resampler must have heard [`Resampler::lookahead`] input samples more (4 ms at 8 kHz, less above); what is
//! still owed when the input ends comes out of [`Resampler::flush`].

use std::f64::consts::PI;

use crate::format::SampleRate;
use crate::sample;

/// Zero crossings of the sinc on each side.
const CROSSINGS: u64 = 32;
/// The passband's edge as a part of the slower side's Nyquist frequency.
const CUTOFF: f64 = 0.95;
/// The Kaiser window's shape: 70 dB of stopband.
const KAISER: f64 = 6.76;
/// The window's value in the middle, before it is scaled to one.
const PEAK: f64 = bessel(KAISER);
/// The most coefficients of a table: 256 KiB. Ratios that need more use the nearest of fewer phases, which stays below
/// -60 dB because such ratios go down steeply or have more than a thousand phases.
const MAX_TABLE: u64 = 1 << 16;
/// Taps are summed in this many lanes.
const LANES: usize = 8;
/// The input is taken in at most this many samples at a time, which bounds the history.
const BLOCK: usize = 1024;

/// A streaming resampler for one channel. Its memory is bounded by its table and one block of history.
#[derive(Clone, Debug)]
pub struct Resampler {
    ratio: Ratio,
    kernel: Option<Kernel>,
    /// The last inputs, oldest first; begins `half` silent samples before the first input.
    history: Vec<f32>,
    /// The input sample at the middle of the next output, counted from the history's first possible middle.
    middle: usize,
    /// How far the next output lies behind `middle`, in parts of an input sample: 0 to `ratio.up - 1`.
    fraction: u64,
    heard: u64,
    made: u64,
}

/// `to / from` in lowest terms.
#[derive(Clone, Copy, Debug)]
struct Ratio {
    up: u64,
    down: u64,
}

/// One row of coefficients for each fraction of an input sample.
#[derive(Clone, Debug)]
struct Kernel {
    half: usize,
    phases: u64,
    table: Vec<f32>,
}

impl Resampler {
    /// Prepares a conversion; between equal rates samples pass untouched.
    #[must_use]
    pub fn new(from: SampleRate, to: SampleRate) -> Self {
        let ratio = Ratio::new(from, to);
        let kernel = (from != to).then(|| Kernel::new(ratio));
        let history = kernel.as_ref().map_or_else(Vec::new, |kernel| vec![0.0; kernel.half - 1]);
        Self { ratio, kernel, history, middle: 0, fraction: 0, heard: 0, made: 0 }
    }

    /// Counts the input samples that must follow a sound before it comes out.
    #[must_use]
    pub fn lookahead(&self) -> usize {
        self.kernel.as_ref().map_or(0, |kernel| kernel.half)
    }

    /// Takes `input` and appends what is now known of the output.
    pub fn push(&mut self, input: &[i16], output: &mut Vec<i16>) {
        self.heard += input.len() as u64;
        let Some(kernel) = &self.kernel else {
            self.made += input.len() as u64;
            return output.extend_from_slice(input);
        };
        for block in input.chunks(BLOCK) {
            self.history.extend(block.iter().map(|sample| f32::from(*sample)));
            let before = output.len();
            while let Some(window) = self.history.get(self.middle..self.middle + 2 * kernel.half) {
                output.push(kernel.apply(window, self.fraction, self.ratio));
                self.fraction += self.ratio.down;
                self.middle += usize::try_from(self.fraction / self.ratio.up).unwrap_or(usize::MAX);
                self.fraction %= self.ratio.up;
            }
            self.made += (output.len() - before) as u64;
            let past = self.middle.min(self.history.len());
            self.history.drain(..past);
            self.middle -= past;
        }
    }

    /// Appends what is still owed, as if silence followed, and starts anew: the output of a stream of `n` samples has
    /// `n × to / from` samples, rounded up.
    pub fn flush(&mut self, output: &mut Vec<i16>) {
        let owed = (self.heard * self.ratio.up).div_ceil(self.ratio.down) - self.made;
        let whole = output.len().saturating_add(usize::try_from(owed).unwrap_or(usize::MAX));
        let silence = vec![0; self.lookahead()];
        self.push(&silence, output);
        output.truncate(whole);
        self.restart();
    }

    fn restart(&mut self) {
        self.history.clear();
        self.history.resize(self.lookahead().saturating_sub(1), 0.0);
        (self.middle, self.fraction, self.heard, self.made) = (0, 0, 0, 0);
    }
}

impl Ratio {
    fn new(from: SampleRate, to: SampleRate) -> Self {
        let (up, down) = (u64::from(to.hertz()), u64::from(from.hertz()));
        let common = common_divisor(up, down);
        Self { up: up / common, down: down / common }
    }
}

const fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

impl Kernel {
    fn new(ratio: Ratio) -> Self {
        let stretch = ratio.down.max(ratio.up);
        let half = (CROSSINGS * stretch).div_ceil(ratio.up).next_multiple_of(LANES as u64 / 2);
        let phases = ratio.up.min(MAX_TABLE / (2 * half));
        let cutoff = CUTOFF * as_f64(ratio.up) / as_f64(stretch);
        let row = |phase: u64| (0..2 * half).map(move |tap| (phase, tap));
        let coefficient = |(phase, tap): (u64, u64)| {
            let time = as_f64(tap) - as_f64(half - 1) - as_f64(phase) / as_f64(phases);
            narrow(cutoff * sinc(cutoff * time) * kaiser(time / as_f64(half)))
        };
        let table = (0..phases).flat_map(row).map(coefficient).collect();
        Self { half: usize::try_from(half).unwrap_or(usize::MAX), phases, table }
    }

    /// Weighs the window around one output sample.
    fn apply(&self, window: &[f32], fraction: u64, ratio: Ratio) -> i16 {
        let phase = usize::try_from(fraction * self.phases / ratio.up).unwrap_or_default();
        let row = &self.table[phase * window.len()..][..window.len()];
        let mut lanes = [0.0; LANES];
        for (inputs, weights) in window.as_chunks::<LANES>().0.iter().zip(row.as_chunks::<LANES>().0) {
            for ((lane, input), weight) in lanes.iter_mut().zip(inputs).zip(weights) {
                *lane += input * weight;
            }
        }
        sample::round(lanes.iter().sum())
    }
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// The Kaiser window from -1 to 1.
fn kaiser(x: f64) -> f64 {
    let inside = (1.0 - x * x).max(0.0);
    bessel(KAISER * inside.sqrt()) / PEAK
}

/// The modified Bessel function of order zero, by its power series.
const fn bessel(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut sum, mut term, mut n) = (1.0, 1.0, 1.0);
    while term > sum * 1e-9 {
        term *= quarter / (n * n);
        sum += term;
        n += 1.0;
    }
    sum
}

/// Taps and phases are far below 2^52.
const fn as_f64(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, reason = "coefficients need no more than single precision")]
const fn narrow(coefficient: f64) -> f32 {
    coefficient as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATES: [u32; 9] = [8_000, 11_025, 12_345, 16_000, 22_050, 44_100, 48_000, 96_000, 191_999];

    fn rate() -> impl Strategy<Value = SampleRate> {
        prop::sample::select(RATES.to_vec()).prop_map(|hertz| SampleRate::try_from(hertz).unwrap())
    }

    fn tone(hertz: f64, rate: SampleRate, samples: u32) -> Vec<i16> {
        let step = 2.0 * PI * hertz / f64::from(rate.hertz());
        (0..samples).map(|n| sample::round(narrow(10_000.0 * (step * f64::from(n)).sin()))).collect()
    }

    fn convert(input: &[i16], from: SampleRate, to: SampleRate) -> Vec<i16> {
        let mut output = Vec::new();
        let mut resampler = Resampler::new(from, to);
        resampler.push(input, &mut output);
        resampler.flush(&mut output);
        output
    }

    fn loudest(samples: &[i16]) -> u16 {
        samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or_default()
    }

    #[test]
    fn what_the_slower_rate_cannot_carry_is_gone() {
        for hertz in [4_400.0, 6_000.0, 7_900.0, 12_000.0, 20_000.0] {
            let output = convert(&tone(hertz, SampleRate::HZ_48000, 48_000), SampleRate::HZ_48000, SampleRate::HZ_8000);
            let residue = loudest(&output[200..output.len() - 200]);
            assert!(residue <= 10, "{hertz} Hz came through with {residue}");
        }
    }

    #[test]
    fn a_flushed_resampler_starts_anew() {
        let (from, to) = (SampleRate::HZ_48000, SampleRate::HZ_16000);
        let input = tone(700.0, from, 5_000);
        let mut resampler = Resampler::new(from, to);
        let mut outputs = [Vec::new(), Vec::new()];
        for output in &mut outputs {
            resampler.push(&input, output);
            resampler.flush(output);
        }
        assert_eq!(outputs[0], outputs[1]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_tone_keeps_its_place_and_its_loudness(from in rate(), to in rate(), hertz in 100.0..3_500.0) {
            let output = convert(&tone(hertz, from, from.hertz() / 4), from, to);
            let expected = tone(hertz, to, u32::try_from(output.len()).unwrap());
            let edge = Resampler::new(from, to).lookahead() * to.hertz() as usize / from.hertz() as usize + 1;
            let inner = edge..output.len() - edge;
            let error = output[inner.clone()].iter().zip(&expected[inner]).map(|(a, b)| a.abs_diff(*b)).max();
            prop_assert!(error <= Some(40), "{} -> {}, {hertz} Hz: off by {error:?}", from, to);
        }

        #[test]
        fn length_follows_the_ratio_and_cuts_do_not_matter(
            from in rate(),
            to in rate(),
            chunks in prop::collection::vec(0_usize..3_000, 0..6),
        ) {
            let input = tone(1_000.0, from, u32::try_from(chunks.iter().sum::<usize>()).unwrap());
            let mut resampler = Resampler::new(from, to);
            let mut output = Vec::new();
            let mut rest = &input[..];
            for chunk in chunks {
                let (head, tail) = rest.split_at(chunk);
                resampler.push(head, &mut output);
                rest = tail;
            }
            let owed = (input.len() - output.len() * from.hertz() as usize / to.hertz() as usize) as u64;
            prop_assert!(owed <= resampler.lookahead() as u64 + 1);
            resampler.flush(&mut output);
            let expected = (input.len() as u64 * u64::from(to.hertz())).div_ceil(u64::from(from.hertz()));
            prop_assert_eq!(output.len() as u64, expected);
            prop_assert_eq!(output, convert(&input, from, to));
        }
    }
}
