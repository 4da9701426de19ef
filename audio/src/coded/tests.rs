//! The whole way: a script is spoken, its sound is mistreated, and it is heard again.

use super::*;
use crate::format::{Channels, Encoding, Format, SampleRate};
use crate::{AudioStream, PauseDetector, PauseEvent, sample};
use proptest::prelude::*;
use std::time::Duration;

const TARGET: SampleRate = SampleRate::HZ_16000;

fn rate(hertz: u32) -> SampleRate {
    SampleRate::try_from(hertz).unwrap()
}

/// A time as a place in what an engine gets.
fn at(time: Duration) -> usize {
    usize::try_from(TARGET.samples_in(time)).unwrap()
}

/// The script as an engine at 16 kHz gets it from a caller who sends `format`.
fn sound(script: Script, format: Format) -> Vec<i16> {
    let (mut voice, mut stream) = (Voice::new(script, format), AudioStream::raw(format, TARGET));
    let (mut bytes, mut mono) = (Vec::new(), Vec::new());
    while voice.speak(777, &mut bytes) > 0 {
        stream.push(&bytes, &mut mono).unwrap();
        bytes.clear();
    }
    stream.finish(&mut mono).unwrap();
    mono
}

fn hear(samples: &[i16]) -> Vec<HeardWord> {
    let (mut ear, mut words) = (Ear::new(TARGET), Vec::new());
    ear.push(samples, &mut words);
    ear.finish(&mut words);
    words
}

fn indices(words: &[HeardWord]) -> Vec<u16> {
    words.iter().map(|word| word.word_index).collect()
}

/// White noise, root mean square.
fn noise(level: f32, count: usize) -> impl Iterator<Item = f32> {
    let mut state = 7_u32;
    (0..count).map(move |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state as f32 / u32::MAX as f32 * 2.0 - 1.0) * level * 3.0_f32.sqrt()
    })
}

#[test]
fn every_word_is_heard_where_it_was_spoken_in_every_format() {
    let script = Script { session: 0xbeef, words: 40 };
    for encoding in Encoding::ALL {
        for (hertz, channels) in [(8_000, 1), (16_000, 1), (11_025, 3), (22_050, 2), (44_100, 2), (48_000, 8)] {
            let format = Format { encoding, rate: rate(hertz), channels: Channels::try_from(channels).unwrap() };
            let heard = hear(&sound(script, format));
            assert_eq!(heard.len(), 40, "{format}");
            for (spoken, heard) in script.words().zip(heard) {
                assert_eq!((heard.session, heard.word_index, heard.text()), (0xbeef, spoken.index, spoken.text));
                let errors = [(spoken.start, heard.start_sample), (spoken.end, heard.end_sample)]
                    .map(|(time, sample)| TARGET.samples_in(time).abs_diff(sample));
                assert!(errors.iter().all(|error| *error <= 160), "{format}: {spoken:?} heard as {heard:?}");
            }
        }
    }
}

#[test]
fn noise_and_changing_loudness_lose_nothing() {
    let script = Script { session: 1, words: 100 };
    let clean = sound(script, Format::SPEECH);
    for (gain, level) in [(1.0, 1_700.0), (0.02, 10.0), (1.3, 0.0), (0.3, 500.0)] {
        let swell = |at: usize| gain * (0.75 + 0.25 * (at as f32 / 12_000.0).sin());
        let mixed = clean.iter().zip(noise(level, clean.len())).enumerate();
        let samples: Vec<i16> =
            mixed.map(|(at, (sample, noise))| sample::round(f32::from(*sample) * swell(at) + noise)).collect();
        assert_eq!(indices(&hear(&samples)), (0..100).collect::<Vec<_>>(), "gain {gain}, noise {level}");
    }
}

#[test]
fn noise_alone_says_nothing() {
    let samples: Vec<i16> = noise(5_000.0, 16_000 * 120).map(sample::round).collect();
    assert_eq!(hear(&samples), []);
}

#[test]
fn two_words_without_a_pause_are_two_words() {
    let script = Script { session: 2, words: 2 };
    let samples = sound(script, Format::SPEECH);
    let words: Vec<_> = script.words().collect();
    let joined = [&samples[..at(words[0].end)], &samples[at(words[1].start)..]].concat();
    let heard = hear(&joined);
    assert_eq!(indices(&heard), [0, 1]);
    assert!(heard[1].start_sample >= heard[0].end_sample);
    assert!(heard[1].start_sample.abs_diff(at(words[0].end) as u64) <= 480, "{heard:?}");
}

#[test]
fn a_word_that_still_sounds_is_already_known() {
    let script = Script { session: 3, words: 1 };
    let word = script.words().next().unwrap();
    let samples = sound(script, Format::SPEECH);
    let (mut ear, mut words) = (Ear::new(TARGET), Vec::new());
    ear.push(&samples[..at(word.end)], &mut words);
    assert_eq!((ear.hearing(), words.len()), (Some((3, 0)), 0));
    ear.push(&samples[at(word.end)..][..2_400], &mut words);
    assert_eq!((ear.hearing(), indices(&words)), (None, vec![0]));
}

#[test]
fn the_pauses_between_words_are_found() {
    let script = Script { session: 4, words: 100 };
    let mut detector = PauseDetector::new(TARGET);
    let events: Vec<_> = detector.push(&sound(script, Format::TELEPHONE)).collect();
    assert_eq!(events.len(), 200);
    for (word, pair) in script.words().zip(events.chunks(2)) {
        let [PauseEvent::SpeechStarted { at_sample }, PauseEvent::Paused { since_sample }] = pair else {
            panic!("expected speech and a pause, got {pair:?}");
        };
        assert!(at_sample.abs_diff(TARGET.samples_in(word.start)) <= 320);
        assert!(since_sample.abs_diff(TARGET.samples_in(word.end)) <= 400);
    }
}

#[test]
fn hours_need_no_memory() {
    let script = Script::lasting(6, Duration::from_secs(600));
    let (mut voice, mut bytes, mut total) = (Voice::new(script, Format::TELEPHONE), Vec::new(), 0);
    while voice.speak(160, &mut bytes) > 0 {
        total += bytes.len() as u64;
        bytes.clear();
    }
    assert_eq!(voice.position(), script.duration());
    assert_eq!(Format::TELEPHONE.duration_of(total), script.duration());
    assert!(bytes.capacity() < 1_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn joining_anywhere_loses_at_most_the_word_that_was_cut(
        session in any::<u16>(),
        cut in 0_usize..16_000 * 12,
        format in prop::sample::select(vec![Format::SPEECH, Format::TELEPHONE]),
    ) {
        let script = Script { session, words: 20 };
        let samples = sound(script, format);
        let cut = cut.min(samples.len());
        let heard = hear(&samples[cut..]);
        let whole = script.words().find(|word| at(word.start) >= cut);
        let whole = whole.map_or(20, |word| word.index);
        let first = heard.first().map_or(20, |word| word.word_index);
        prop_assert!(first == whole || first + 1 == whole, "{whole} is whole, {first} was first");
        prop_assert_eq!(indices(&heard), (first..20).collect::<Vec<_>>());
    }

    #[test]
    fn it_does_not_matter_how_sound_is_cut_into_chunks(session in any::<u16>(), chunk in 1_usize..4_000) {
        let samples = sound(Script { session, words: 5 }, Format::SPEECH);
        let (mut ear, mut words) = (Ear::new(TARGET), Vec::new());
        samples.chunks(chunk).for_each(|piece| ear.push(piece, &mut words));
        ear.finish(&mut words);
        prop_assert_eq!(words, hear(&samples));
    }
}
