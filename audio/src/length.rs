//! How long an upload is, as far as its first bytes tell: whoever takes it in must choose a way for it before it is here.

use std::time::Duration;

use crate::format::SampleRate;
use crate::sniff::Container;
use crate::wav::WavParser;

/// The bytes of FLAC's first block, which tells how many samples follow.
const STREAM_INFO: usize = 26;

/// What the first bytes of a file tell of its length. Files lie: it is good for choosing, not for trusting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// The file says how long it is.
    Claimed(Duration),
    /// As long as bytes come.
    PerByte {
        /// The bytes before the sound.
        header: u64,
        /// The bytes of a second of sound.
        bytes_per_second: u64,
    },
    /// Only decoding tells.
    Packed,
    /// No audio that is decoded here.
    Unknown,
    /// More of the file is needed.
    Unclear,
}

impl Length {
    /// The bytes that are looked at, at most: what may come before the sound of a WAV file, and a little of that.
    pub const PREFIX: usize = 65 * 1024;

    /// Looks at the first bytes of a file.
    #[must_use]
    pub fn of(start: &[u8]) -> Self {
        if start.len() < Container::PREFIX {
            return Self::Unclear;
        }
        match Container::of(start) {
            Container::Wav => of_wav(start),
            Container::Flac => of_flac(start),
            container if container.is_packed() => Self::Packed,
            _ => Self::Unknown,
        }
    }
}

fn of_wav(start: &[u8]) -> Length {
    let mut parser = WavParser::new();
    let Ok(sound) = parser.push(start).map(<[u8]>::len) else { return Length::Unknown };
    let (Ok(()), Some(format), Some(decoder)) = (parser.finish(), parser.format(), parser.decoder()) else {
        return Length::Unclear;
    };
    let bytes_per_second = u64::from(format.rate.hertz()) * decoder.bytes_per_frame() as u64;
    match parser.sound_left() {
        Some(left) => {
            let bytes = left + sound as u64;
            Length::Claimed(format.rate.duration_of(bytes / decoder.bytes_per_frame() as u64))
        }
        None => Length::PerByte { header: (start.len() - sound) as u64, bytes_per_second },
    }
}

/// The samples stand in 36 bits behind the rate's 20, the channels' 3 and the depth's 5; zero means that nobody knows.
fn of_flac(start: &[u8]) -> Length {
    let Some(info) = start.get(18..STREAM_INFO).and_then(<[u8]>::first_chunk::<8>) else { return Length::Unclear };
    let info = u64::from_be_bytes(*info);
    let (rate, samples) = (u32::try_from(info >> 44).unwrap_or_default(), info & 0xf_ffff_ffff);
    match SampleRate::try_from(rate) {
        Ok(rate) if samples > 0 => Length::Claimed(rate.duration_of(samples)),
        Ok(_) | Err(_) => Length::Packed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Channels, Encoding, Format};
    use crate::wav::header;

    const DENSE: Format =
        Format { encoding: Encoding::Linear16, rate: SampleRate::HZ_48000, channels: Channels::STEREO };

    #[test]
    fn a_wav_file_says_how_long_it_is_or_how_dense() {
        let seconds = |bytes| Length::of(&[&header(DENSE, bytes)[..], &[7; 40]].concat());
        assert_eq!(seconds(Some(192_000 * 61)), Length::Claimed(Duration::from_secs(61)));
        let open = Length::PerByte { header: 44, bytes_per_second: 192_000 };
        assert_eq!((seconds(None), seconds(Some(0))), (open, open));
    }

    #[test]
    fn flac_says_how_long_it_is_unless_it_does_not_know() {
        let mut file = include_bytes!("../fixtures/mono-8k.flac").to_vec();
        assert_eq!(Length::of(&file), Length::Claimed(Duration::from_millis(6_976)));
        file[21] &= 0xf0;
        file[22..26].fill(0);
        assert_eq!(Length::of(&file), Length::Packed);
    }

    #[test]
    fn what_is_not_clear_yet_needs_more() {
        let file = header(DENSE, None);
        let unclear = (0..44).all(|cut| Length::of(&file[..cut]) == Length::Unclear);
        assert!(unclear && Length::of(b"fLaC\0\0\0\x22\x10\0\x10\0\0") == Length::Unclear);
        assert_eq!(Length::of(b"OggS\0\x02\0\0\0\0\0\0\0\0"), Length::Packed);
        assert_eq!(Length::of(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3"), Length::Unknown);
        assert_eq!(Length::of(b"RIFF\0\0\0\0WAVEfmt \x01\0\0\0"), Length::Unknown);
    }
}
