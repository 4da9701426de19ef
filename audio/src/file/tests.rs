//! Every container against what was said in it, and against what it should not survive.

use std::io::Cursor;
use std::time::Duration;

use proptest::prelude::*;

use super::bounds::{GRACE, RATIO};
use super::*;
use crate::coded::{Ear, Script};
use crate::format::Format;
use crate::wav;

const TARGET: SampleRate = SampleRate::HZ_16000;
/// What every whole fixture says, and how long that takes.
const SCRIPT: Script = Script { session: 815, words: 8 };
const LENGTH: Duration = Duration::from_millis(6_976);

macro_rules! fixtures {
    ($($name:literal),+) => { [$(($name, include_bytes!(concat!("../../fixtures/", $name)).as_slice())),+] };
}

/// Made by flac, lame, opusenc and ffmpeg from eight coded words.
const WHOLE: [(&str, &[u8]); 10] = fixtures![
    "mono-8k.flac",
    "mono-16k.mp3",
    "stereo-44k.mp3",
    "mono.opus",
    "stereo-22k.ogg",
    "stereo.webm",
    "mono-16k-vorbis.webm",
    "moov-last.m4a",
    "moov-first.m4a",
    "mono-16k.aac"
];
/// Lossless, and therefore only the first two seconds.
const CUT: [(&str, &[u8]); 2] = fixtures!["alac.m4a", "mono-8k.aiff"];

#[derive(Debug, PartialEq)]
struct Heard {
    mono: Vec<i16>,
    duration: Duration,
    damaged: u64,
}

fn hear(file: &[u8]) -> Result<Heard, AudioError> {
    drain(FileDecoder::open(Cursor::new(file.to_vec()), TARGET)?)
}

fn drain(mut decoder: FileDecoder) -> Result<Heard, AudioError> {
    let mut mono = Vec::new();
    while decoder.decode(&mut mono)? == Progress::More {}
    Ok(Heard { mono, duration: decoder.heard(), damaged: decoder.damaged() })
}

fn words(mono: &[i16]) -> Vec<(u16, u16)> {
    let (mut ear, mut words) = (Ear::new(TARGET), Vec::new());
    ear.push(mono, &mut words);
    ear.finish(&mut words);
    words.iter().map(|word| (word.session, word.word_index)).collect()
}

fn said(script: Script) -> Vec<(u16, u16)> {
    (0..script.words).map(|index| (script.session, index)).collect()
}

fn fixture(name: &str) -> &'static [u8] {
    WHOLE.iter().chain(&CUT).find(|(known, _)| *known == name).unwrap().1
}

#[test]
fn every_word_of_every_container_is_heard() {
    for (name, file) in WHOLE {
        let heard = hear(file).unwrap();
        assert_eq!(words(&heard.mono), said(SCRIPT), "{name}");
        assert_eq!(heard.damaged, 0, "{name}");
        // AAC begins with the encoder's delay, which its parser leaves in; what is too long must be less than that.
        let extra = heard.duration.saturating_sub(LENGTH);
        assert!(heard.duration >= LENGTH && extra < Duration::from_millis(70), "{name}: {:?}", heard.duration);
        let expected = TARGET.samples_in(heard.duration);
        assert!(expected.abs_diff(heard.mono.len() as u64) <= 1, "{name}");
    }
}

#[test]
fn words_come_when_they_were_said() {
    let starts: Vec<Duration> = SCRIPT.words().map(|word| word.start).collect();
    for (name, file) in WHOLE {
        let (mut ear, mut heard) = (Ear::new(TARGET), Vec::new());
        ear.push(&hear(file).unwrap().mono, &mut heard);
        ear.finish(&mut heard);
        for (word, start) in heard.iter().zip(&starts) {
            assert!(
                TARGET.duration_of(word.start_sample).abs_diff(*start) < Duration::from_millis(90),
                "{name}: {word:?} at {start:?}"
            );
        }
    }
}

#[test]
fn lossless_containers_agree_to_the_last_bit() {
    let flac = hear(fixture("mono-8k.flac")).unwrap().mono;
    for (name, file) in CUT {
        let heard = hear(file).unwrap();
        assert_eq!(heard.duration, Duration::from_secs(2), "{name}");
        let inner = heard.mono.len() - 200; // what follows the cut is known to the resampler of the one only
        assert_eq!(heard.mono[..inner], flac[..inner], "{name}");
    }
}

#[test]
fn what_is_known_of_a_file_is_told() {
    let decoder = FileDecoder::open(Cursor::new(fixture("stereo.webm")), TARGET).unwrap();
    assert_eq!((decoder.container(), decoder.channels()), (Container::Webm, Channels::STEREO));
    assert_eq!((decoder.heard(), decoder.damaged()), (Duration::ZERO, 0));
    assert_eq!(decoder.promised(), None);
    for name in ["mono-8k.flac", "mono-16k.mp3", "stereo-22k.ogg", "moov-last.m4a"] {
        let promised = FileDecoder::open(Cursor::new(fixture(name)), TARGET).unwrap().promised().unwrap();
        assert!(promised.abs_diff(LENGTH) < Duration::from_millis(70), "{name}: {promised:?}");
    }
}

#[test]
fn a_file_that_breaks_off_is_heard_so_far() {
    for name in ["mono-8k.flac", "mono-16k.mp3", "mono.opus", "stereo-22k.ogg", "stereo.webm", "moov-first.m4a"] {
        let file = fixture(name);
        let heard = hear(&file[..file.len() * 2 / 3]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let words = words(&heard.mono);
        assert!(words.len() >= 3, "{name}: {words:?}");
        assert_eq!(words, said(SCRIPT)[..words.len()], "{name}");
    }
}

#[test]
fn a_file_without_its_tables_says_that_it_is_damaged() {
    let file = fixture("moov-last.m4a");
    let error = hear(&file[..file.len() / 2]).unwrap_err();
    assert!(matches!(error, AudioError::Corrupt { container: Container::Mp4, .. }), "{error}");
    assert!(error.to_string().starts_with("the MP4 is damaged: "), "{error}");
}

#[test]
fn what_is_no_packed_sound_is_refused_by_name() {
    let wav = [&wav::header(Format::SPEECH, None)[..], &[0; 3_200]].concat();
    let files: [(&[u8], &str); 4] = [
        (b"", "the audio is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\r", "it looks like a picture; send WAV, FLAC"),
        (b"#!AMR\n\0\0\0\0\0\0", "it looks like AMR; send WAV, FLAC"),
        (&wav, "it looks like WAV"),
    ];
    for (file, reason) in files {
        let error = hear(file).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_codec_that_is_not_decoded_is_told_from_damage() {
    let mut speex = fixture("mono.opus").to_vec();
    let head = speex.windows(8).position(|bytes| bytes == b"OpusHead").unwrap();
    speex[head..head + 8].copy_from_slice(b"Speex   ");
    let error = hear(&speex).unwrap_err();
    assert!(matches!(error, AudioError::Corrupt { .. } | AudioError::Codec { .. }), "{error}");
    assert!(error.to_string().contains("Ogg"), "{error}");
}

#[test]
fn a_long_file_ends_at_its_limit() {
    let limit = Duration::from_secs(1);
    let decoder = FileDecoder::open(Cursor::new(fixture("mono-16k.mp3")), TARGET).unwrap().with_limit(limit);
    assert_eq!(drain(decoder), Err(AudioError::TooLong { limit }));
}

/// A FLAC of silence: every frame of 65,535 samples takes 12 bytes.
fn silent_flac(frames: u32) -> Vec<u8> {
    let mut file = b"fLaC\x80\0\0\x22\xff\xff\xff\xff\0\0\0\0\0\0".to_vec();
    file.extend((16_000_u64 << 44 | 15 << 36).to_be_bytes()); // rate, one channel, 16 bits, length unknown
    file.extend([0; 16]);
    for number in 0..frames {
        let mut frame = vec![0xff, 0xf8, 0x75, 0x08];
        frame.extend(char::from_u32(number).unwrap().to_string().bytes());
        frame.extend([0xff, 0xfe]);
        frame.push(crc(&frame, 0x07, 8).to_be_bytes()[1]);
        frame.extend([0, 0, 0]); // a constant, 0
        frame.extend(crc(&frame, 0x8005, 16).to_be_bytes());
        file.extend(frame);
    }
    file
}

fn crc(bytes: &[u8], polynomial: u32, bits: u32) -> u16 {
    let top = 1 << (bits - 1);
    let sum = bytes.iter().fold(0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << (bits - 8), |sum, _| {
            (sum << 1 ^ if sum & top > 0 { polynomial } else { 0 }) & (2 * top - 1)
        })
    });
    u16::try_from(sum).unwrap()
}

#[test]
fn a_bomb_is_defused_and_a_quiet_minute_is_not_one() {
    let quiet = hear(&silent_flac(20)).unwrap();
    assert_eq!(quiet.duration, SampleRate::HZ_16000.duration_of(20 * 65_535));
    assert!(quiet.mono.iter().all(|sample| *sample == 0));
    let error = hear(&silent_flac(100)).unwrap_err();
    assert_eq!(error, AudioError::Inflated { container: Container::Flac, times: RATIO });
}

#[test]
fn more_channels_than_are_heard_are_refused() {
    let mut file = fixture("mono-8k.aiff").to_vec();
    let common = file.windows(4).position(|bytes| bytes == b"COMM").unwrap();
    file[common + 9] = 9;
    let error = hear(&file).unwrap_err().to_string();
    assert!(error.contains("expected 1 to 8 channels, got 9"), "{error}");
}

#[test]
fn a_decoder_moves_between_threads() {
    fn assert_send<T: Send>() {}
    assert_send::<FileDecoder>();
}

fn any_fixture() -> impl Strategy<Value = (&'static str, &'static [u8])> {
    prop::sample::select(WHOLE.iter().chain(&CUT).copied().collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn whatever_is_done_to_a_file_ends_in_samples_or_an_error(
        (name, file) in any_fixture(),
        holes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        head in prop::collection::vec((0_usize..600, any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut file = file.to_vec();
        for (at, byte) in holes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        for (at, byte) in head {
            file[at] = byte;
        }
        file.truncate(12 + cut.index(file.len() * 2).min(file.len() - 12));
        let heard = hear(&file);
        prop_assert!(heard.is_err() || heard.is_ok_and(|heard| heard.duration <= GRACE), "{name}");
    }

    #[test]
    fn noise_after_any_beginning_ends_in_samples_or_an_error(
        (_, file) in any_fixture(),
        kept in 4_usize..64,
        noise in prop::collection::vec(any::<u8>(), 0..4_000),
    ) {
        let _ = hear(&[&file[..kept], &noise].concat());
    }
}
