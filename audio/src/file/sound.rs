//! From the interleaved samples of packets to one channel at the target rate. Apart from the decoder because a file may
//! change its layout on the way, and the sound before the change must still come out.

use std::time::Duration;

use crate::format::{Channels, FormatError, SampleRate};
use crate::resample::Resampler;
use crate::sample;

/// Everything heard of a file so far.
#[derive(Clone, Debug)]
pub(crate) struct Sound {
    target: SampleRate,
    section: Option<Section>,
    /// How long the sections before this one lasted.
    before: Duration,
}

/// Sound of one layout.
#[derive(Clone, Debug)]
struct Section {
    rate: SampleRate,
    channels: Channels,
    resampler: Resampler,
    mixed: Vec<i16>,
    frames: u64,
}

impl Sound {
    /// Waits for the first samples.
    pub(crate) const fn new(target: SampleRate) -> Self {
        Self { target, section: None, before: Duration::ZERO }
    }

    /// Takes the samples of one packet and appends what they complete to `mono`.
    ///
    /// # Errors
    /// When the layout is not one that is heard.
    pub(crate) fn push(&mut self, packet: Interleaved<'_>, mono: &mut Vec<i16>) -> Result<(), FormatError> {
        let (rate, channels) = (SampleRate::try_from(packet.rate)?, Channels::try_from(packet.channels)?);
        if self.section.as_ref().is_none_or(|section| (section.rate, section.channels) != (rate, channels)) {
            self.flush(mono);
            self.section = Some(Section::new(rate, channels, self.target));
        }
        if let Some(section) = &mut self.section {
            section.push(packet.samples, mono);
        }
        Ok(())
    }

    /// Appends what was still on its way.
    pub(crate) fn flush(&mut self, mono: &mut Vec<i16>) {
        self.before = self.heard();
        if let Some(mut section) = self.section.take() {
            section.resampler.flush(mono);
        }
    }

    /// Returns how much sound there was.
    pub(crate) fn heard(&self) -> Duration {
        self.before + self.section.as_ref().map_or(Duration::ZERO, |section| section.rate.duration_of(section.frames))
    }

    /// Returns the bytes that one channel of it took, at 16 bits.
    pub(crate) fn bytes_heard(&self) -> u64 {
        let rate = self.section.as_ref().map_or(SampleRate::HZ_48000, |section| section.rate);
        rate.samples_in(self.heard()).saturating_mul(2)
    }
}

/// The samples of one packet, channels side by side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interleaved<'a> {
    pub(crate) samples: &'a [i16],
    pub(crate) rate: u32,
    pub(crate) channels: u32,
}

impl Section {
    fn new(rate: SampleRate, channels: Channels, target: SampleRate) -> Self {
        Self { rate, channels, resampler: Resampler::new(rate, target), mixed: Vec::new(), frames: 0 }
    }

    fn push(&mut self, samples: &[i16], mono: &mut Vec<i16>) {
        let count = i32::from(u8::from(self.channels));
        let frames = samples.chunks_exact(self.channels.count());
        self.mixed.clear();
        self.mixed.extend(frames.map(|frame| sample::clip(frame.iter().copied().map(i32::from).sum::<i32>() / count)));
        self.frames += self.mixed.len() as u64;
        self.resampler.push(&self.mixed, mono);
    }
}
