//! Streams that are begun in the middle, against what they sound like from the beginning.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::coded::{Ear, Script};
use crate::file::{FileDecoder, Progress};
use crate::format::{Channels, Encoding};
use crate::wav;
use recorder::{Dice, Recorder};

mod recorder;

const RATE: SampleRate = SampleRate::HZ_48000;
const SCRIPT: Script = Script { session: 815, words: 60 };

/// A stream taken apart: its units with their bytes, and how it ended.
#[derive(Debug, PartialEq)]
struct Split {
    units: Vec<(Unit, Vec<u8>)>,
    ended: Result<(), SplitError>,
}

fn split(mut splitter: Splitter, stream: &[u8], cuts: &[usize]) -> (Splitter, Split) {
    let (mut units, mut rest, mut ended) = (Vec::new(), stream, Ok(()));
    for cut in cuts.iter().copied().chain([usize::MAX]) {
        let (head, tail) = rest.split_at(cut.min(rest.len()));
        rest = tail;
        ended = splitter.push(head, |unit, bytes| units.push((unit, bytes.to_vec())));
        if ended.is_err() {
            break;
        }
    }
    (splitter, Split { units, ended })
}

/// Writes a stream that begins at `units[from]` and lasts `samples` or a little more.
fn begin(splitter: &Splitter, units: &[(Unit, Vec<u8>)], from: usize, samples: u64) -> Vec<u8> {
    let (first, mut out) = (units[from].0, Vec::new());
    let mut writer = splitter.restart(first, &mut out).unwrap();
    for (unit, bytes) in units[from..].iter().take_while(|(unit, _)| unit.start <= first.start + samples) {
        writer.write(*unit, bytes, &mut out);
    }
    out
}

fn decode(file: &[u8]) -> Vec<i16> {
    let mut decoder = FileDecoder::open(Cursor::new(file.to_vec()), RATE).unwrap();
    let mut mono = Vec::new();
    while decoder.decode(&mut mono).unwrap() == Progress::More {}
    assert_eq!(decoder.damaged(), 0);
    mono
}

fn ogg() -> Vec<u8> {
    let mut dice = Dice(7);
    let packets = recorder::packets(SCRIPT, &mut dice);
    recorder::ogg(815, &packets, 30_000, &mut dice)
}

fn webm(recorder: Recorder) -> Vec<u8> {
    recorder::webm(recorder, &recorder::packets(SCRIPT, &mut Dice(9)))
}

/// How much louder the sound is than its difference, in decibels. Two silences do not differ.
fn likeness(sound: &[i16], other: &[i16]) -> f64 {
    let power = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let loud = power(&mut sound.iter().map(|sample| f64::from(*sample)));
    let wrong = power(&mut sound.iter().zip(other).map(|(one, other)| f64::from(*one) - f64::from(*other)));
    10.0 * ((loud + 1_000.0 * 1_000.0) / (wrong + 1.0)).log10()
}

/// Begins streams at random units and compares what is heard of them, after the pre-roll, with the whole.
fn begins_anywhere(file: &[u8], cuts: usize) {
    let whole = decode(file);
    let (splitter, Split { units, ended }) = split(Splitter::sniff(), file, &[]);
    assert_eq!(ended, Ok(()));
    let places: Vec<usize> = (0..units.len()).filter(|index| units[*index].0.may_begin()).collect();
    let (mut dice, preroll) = (Dice(3), usize::try_from(splitter.preroll()).unwrap());
    let mut worst = f64::MAX;
    for _ in 0..cuts {
        let from = places[dice.throw(places.len())];
        let heard = decode(&begin(&splitter, &units, from, 24_000));
        let start = usize::try_from(units[from].0.start).unwrap() + preroll;
        let len = heard.len().saturating_sub(preroll).min(whole.len().saturating_sub(start)).saturating_sub(2_880);
        if len > 0 {
            worst = worst.min(likeness(&whole[start..start + len], &heard[preroll..preroll + len]));
        }
    }
    // What a decoder has not forgotten after 80 ms is 19 dB below the sound; half a millisecond's shift would be 0.
    assert!(worst > 15.0, "{worst}");
}

#[test]
fn ogg_begun_anywhere_sounds_as_it_does_from_the_beginning() {
    begins_anywhere(&ogg(), 400);
}

#[test]
fn webm_begun_anywhere_sounds_as_it_does_from_the_beginning() {
    begins_anywhere(&webm(Recorder::Browser), 400);
    begins_anywhere(&webm(Recorder::Tool), 200);
}

#[test]
fn files_of_other_tools_begin_anywhere_too() {
    begins_anywhere(include_bytes!("../../fixtures/mono.opus"), 50);
    begins_anywhere(include_bytes!("../../fixtures/stereo.webm"), 50);
}

#[test]
fn every_word_after_the_beginning_is_heard_when_it_was_said() {
    for file in [ogg(), webm(Recorder::Browser)] {
        let (splitter, Split { units, .. }) = split(Splitter::sniff(), &file, &[]);
        let from = (units.len() / 3..).find(|index| units[*index].0.may_begin()).unwrap();
        let start = units[from].0.start;
        let (mut ear, mut heard) = (Ear::new(RATE), Vec::new());
        ear.push(&decode(&begin(&splitter, &units, from, u64::MAX / 2)), &mut heard);
        ear.finish(&mut heard);
        let said = SCRIPT.words().map(|word| (word.index, RATE.samples_in(word.start)));
        let said: Vec<_> = said.filter(|(_, begins)| *begins > start + splitter.preroll()).collect();
        let heard: Vec<_> = heard.iter().rev().take(said.len()).rev().collect();
        assert!(heard.len() > 20 && heard.len() == said.len());
        for (word, (index, begins)) in heard.iter().zip(&said) {
            let late = (start + word.start_sample).abs_diff(*begins);
            assert!(word.word_index == *index && late < 480 * 3, "{word:?} at {begins} of a stream from {start}");
        }
    }
}

#[test]
fn a_stream_from_its_first_unit_on_is_the_callers_own() {
    for file in [ogg(), webm(Recorder::Browser), webm(Recorder::Tool)] {
        let (_, Split { units, .. }) = split(Splitter::sniff(), &file, &[]);
        let (mut writer, mut out) = (LegWriter::new(), Vec::new());
        for (unit, bytes) in &units {
            writer.write(*unit, bytes, &mut out);
        }
        assert!(decode(&out) == decode(&file));
        if file.starts_with(b"OggS") {
            assert!(out == file);
        }
    }
}

#[test]
fn a_caller_who_begins_anew_is_followed_from_either_side() {
    let mut dice = Dice(5);
    let packets = recorder::packets(Script { session: 4, words: 9 }, &mut dice);
    let (first, second) = packets.split_at(packets.len() / 2);
    let file = [recorder::ogg(1, first, 0, &mut dice), recorder::ogg(2, second, 300, &mut dice)].concat();
    let lasts: u64 = packets.iter().map(|packet| u64::from(packet.samples)).sum();
    let (mut splitter, Split { units, ended }) = split(Splitter::sniff(), &file, &[]);
    assert_eq!((ended, splitter.end()), (Ok(()), lasts));
    let headers: Vec<usize> = (0..units.len()).filter(|index| units[*index].0.kind == UnitKind::Header).collect();
    assert_eq!(headers.len(), 2);
    let second = headers[1];

    let before = begin(&splitter, &units, 1, u64::MAX / 2);
    assert!(before == file);
    let after = begin(&splitter, &units, second + 1, u64::MAX / 2);
    assert!(file.ends_with(&after) && after.starts_with(b"OggS") && after.len() > 300);
    splitter.forget_before(units[second].0.start - 1);
    assert!(begin(&splitter, &units, 1, u64::MAX / 2) == file);
    splitter.forget_before(units[second].0.start);
    assert!(begin(&splitter, &units, second + 1, u64::MAX / 2) == after);
}

#[test]
fn a_stream_that_keeps_beginning_is_given_up() {
    let mut dice = Dice(5);
    let packets = recorder::packets(Script { session: 4, words: 2 }, &mut dice);
    let again = |serial| recorder::ogg(serial, &packets, 0, &mut Dice(2));
    let file: Vec<u8> = (0..5).flat_map(again).collect();
    let (_, Split { ended, .. }) = split(Splitter::sniff(), &file, &[]);
    assert_eq!(ended, Err(SplitError::ManyHeaders { container: Container::Ogg }));

    let mut patient = Splitter::sniff();
    for serial in 0..9 {
        patient.push(&again(serial), |_, _| {}).unwrap();
        patient.forget_before(patient.end());
    }
}

#[test]
fn a_recorder_that_was_started_again_goes_on() {
    let once = webm(Recorder::Browser);
    let (splitter, Split { units, ended }) = split(Splitter::sniff(), &[&once[..], &once].concat(), &[]);
    let headers = units.iter().filter(|(unit, _)| unit.kind == UnitKind::Header).count();
    assert_eq!((ended, headers, splitter.end()), (Ok(()), 2, 2 * units[units.len() / 2].0.start));
    let from = units.len() / 2 + 100;
    assert!(decode(&begin(&splitter, &units, from, 48_000)).len() > 47_000);
}

#[test]
fn a_wav_file_begins_with_a_header_of_its_own_and_is_raw_after_it() {
    let layouts: [(u16, u16, usize); 4] = [(1, 24, 3), (3, 32, 4), (7, 8, 1), (1, 8, 1)];
    for (tag, bits, bytes) in layouts {
        let mut file =
            [&b"RIFF\xff\xff\0\0WAVELIST\x04\0\0\0abcdfmt \x10\0\0\0"[..], &tag.to_le_bytes(), &[1, 0]].concat();
        file.extend([16_000_u32.to_le_bytes(), [0; 4]].concat());
        file.extend([[0; 2], bits.to_le_bytes()].concat());
        file.extend(b"data\0\0\0\0");
        let sound: Vec<u8> = (0..=250).cycle().take(700 * bytes).collect();
        let (splitter, Split { units, ended }) = split(Splitter::sniff(), &[&file[..], &sound].concat(), &[5, 50]);
        assert_eq!((ended, splitter.clock(), splitter.end()), (Ok(()), Some(SampleRate::HZ_16000), 700));
        let from = units.iter().position(|(unit, _)| unit.start == 320).unwrap();
        let stream = begin(&splitter, &units, from, 10_000);
        assert!(stream.ends_with(&sound[320 * bytes..]) && stream.len() == 44 + 380 * bytes);
        let mut parser = WavParser::new();
        assert_eq!(parser.push(&stream).unwrap().len(), 380 * bytes);
        assert_eq!(parser.decoder().unwrap().bytes_per_frame(), bytes);
    }
}

#[test]
fn what_cannot_be_begun_in_the_middle_says_so() {
    let ogg = ogg();
    let mut other = ogg.clone();
    other[28..36].copy_from_slice(b"Speex   ");
    let sum = ogg::checksum(&other[..47]).to_le_bytes();
    other[22..26].copy_from_slice(&sum);
    let mut torn = ogg;
    torn[40_000] ^= 1;
    let mut laced = webm(Recorder::Tool);
    let block = laced.windows(9).position(|bytes| (bytes[0], bytes[5], bytes[8]) == (0xa1, 0x82, 0x80)).unwrap();
    laced[block + 8] |= 0x06;
    let encoded = [recorder::ebml(), encrypted()].concat();
    let cases: [(&[u8], &str); 6] = [
        (b"ID3\x04\0\0\0\0\0\0\0\0\0", "MP3 cannot be begun in the middle"),
        (&other, "the Ogg holds no Opus"),
        (&torn, "the Ogg is damaged: a page"),
        (&laced, "several packets in a block"),
        (&encoded, "packed or encrypted"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "WAV data chunk comes before"),
    ];
    for (file, reason) in cases {
        let error = split(Splitter::sniff(), file, &[]).1.ended.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

/// The tracks of a stream whose packets are encrypted, and a cluster.
fn encrypted() -> Vec<u8> {
    let track = [recorder::element(&[0x86], b"A_OPUS"), recorder::element(&[0x6d, 0x80], &[0; 5])].concat();
    let tracks = recorder::element(&[0x16, 0x54, 0xae, 0x6b], &recorder::element(&[0xae], &track));
    [tracks, recorder::element(&[0x1f, 0x43, 0xb6, 0x75], &[])].concat()
}

#[test]
fn a_header_without_an_end_is_given_up_after_64_kib() {
    let pages = recorder::ogg(1, &[], 70_000, &mut Dice(1));
    let void = [recorder::ebml(), recorder::element(&[0xec], &[0; 70_000])].concat();
    for (file, container) in [(pages, Container::Ogg), (void, Container::Webm)] {
        let (_, Split { ended, units }) = split(Splitter::sniff(), &file, &[]);
        assert_eq!((ended, units), (Err(SplitError::LongHeader { container }), Vec::new()));
    }
}

/// Joins frames to one unit, which may end wherever a message did.
fn joined(split: Split) -> Split {
    let mut units: Vec<(Unit, Vec<u8>)> = Vec::new();
    for (unit, bytes) in split.units {
        match units.last_mut() {
            Some((last, all)) if last.kind == UnitKind::Frames => {
                last.samples += unit.samples;
                all.extend(bytes);
            }
            _ => units.push((unit, bytes)),
        }
    }
    Split { units, ..split }
}

fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let packets = || recorder::packets(Script { session: 3, words: 3 }, &mut Dice(1));
    let streams = vec![
        recorder::ogg(1, &packets(), 40, &mut Dice(4)),
        recorder::webm(Recorder::Browser, &packets()),
        recorder::webm(Recorder::Tool, &packets()),
        [&wav::header(Format::TELEPHONE, None)[..], &[7; 3_000]].concat(),
    ];
    prop::sample::select(streams)
}

proptest! {
    #[test]
    fn it_does_not_matter_how_a_stream_is_cut(
        stream in any_stream(),
        cuts in prop::collection::vec(0_usize..3_000, 0..40),
    ) {
        let (cut, whole) = (split(Splitter::sniff(), &stream, &cuts).1, split(Splitter::sniff(), &stream, &[]).1);
        prop_assert!(joined(cut) == joined(whole));
    }

    #[test]
    fn raw_frames_come_out_as_they_went_in(
        sound in prop::collection::vec(any::<u8>(), 0..3_000),
        cuts in prop::collection::vec(0_usize..700, 0..10),
        encoding in prop::sample::select(Encoding::ALL.to_vec()),
        channels in 1_u32..9,
    ) {
        let format = Format { encoding, rate: SampleRate::HZ_8000, channels: Channels::try_from(channels).unwrap() };
        let (splitter, Split { units, .. }) = split(Splitter::raw(format), &sound, &cuts);
        let whole: Vec<u8> = units.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        let frame = format.bytes_per_frame();
        prop_assert_eq!(&whole[..], &sound[..sound.len() / frame * frame]);
        prop_assert_eq!(splitter.end(), (sound.len() / frame) as u64);
        prop_assert!(units.iter().all(|(unit, bytes)| unit.samples <= 160 && bytes.len() == unit.samples as usize * frame));
    }

    #[test]
    fn whatever_is_done_to_a_stream_its_units_follow_each_other_and_begin_a_stream(
        stream in any_stream(),
        holes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        head in prop::collection::vec((0_usize..200, any::<u8>()), 0..4),
        cut in 0_usize..300,
    ) {
        let mut stream = stream;
        let len = stream.len();
        for (at, byte) in holes.into_iter().map(|(at, byte)| (at.index(len), byte)).chain(head) {
            stream[at] = byte;
        }
        let (splitter, Split { units, .. }) = split(Splitter::sniff(), &stream, &[cut]);
        let mut end = 0;
        for (unit, _) in &units {
            prop_assert_eq!(unit.start, end);
            end = unit.end();
        }
        prop_assert_eq!(splitter.end(), end);
        for index in (0..units.len()).filter(|index| units[*index].0.may_begin()).take(3) {
            let begun = begin(&splitter, &units, index, 4_800);
            prop_assert!(split(Splitter::sniff(), &begun, &[]).1.ended.is_ok() || begun.len() < Container::PREFIX);
        }
    }

    #[test]
    fn noise_after_any_beginning_takes_no_more_memory_than_it_has_bytes(
        stream in any_stream(),
        kept in 4_usize..200,
        noise in prop::collection::vec(any::<u8>(), 0..4_000),
    ) {
        let stream = [&stream[..kept], &noise].concat();
        let (splitter, Split { units, .. }) = split(Splitter::sniff(), &stream, &[]);
        let shown: usize = units.iter().map(|(_, bytes)| bytes.len()).sum();
        prop_assert!(shown <= stream.len() + 300 && splitter.headers.len() <= 1);
    }
}
