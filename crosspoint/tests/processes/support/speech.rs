//! Coded audio to send, and transcripts to check word by word.

use anyhow::Context as _;
use audio::coded::{Checker, Script, Voice};
use audio::{Channels, Encoding, Format, SampleRate, wav};
use serde_json::Value;

/// Makes a mono format.
pub(crate) fn mono(encoding: Encoding, hertz: u32) -> anyhow::Result<Format> {
    Ok(Format { encoding, rate: SampleRate::try_from(hertz)?, channels: Channels::MONO })
}

/// Speaks a script.
pub(crate) fn sound(script: Script, format: Format) -> Vec<u8> {
    let mut sound = Vec::new();
    let mut voice = Voice::new(script, format);
    while voice.speak(16_000, &mut sound) > 0 {}
    sound
}

/// Speaks a script into a WAV file whose header claims so many bytes of sound, or the truth.
pub(crate) fn file(script: Script, format: Format, claimed: Option<u32>) -> anyhow::Result<Vec<u8>> {
    let mut sound = sound(script, format);
    let mut file = wav::header(format, Some(claimed.unwrap_or(u32::try_from(sound.len())?))).to_vec();
    file.append(&mut sound);
    Ok(file)
}

/// Makes the query for a raw stream.
pub(crate) fn query(format: Format) -> String {
    let Format { encoding, rate, channels } = format;
    format!("model=nova-3&encoding={encoding}&sample_rate={}&channels={}", rate.hertz(), channels.count())
}

/// Returns the sound up to the end of the first word: at least one guess follows from it and, without a pause after
/// the word, no result.
pub(crate) fn first_word(script: Script, format: Format) -> anyhow::Result<usize> {
    let word = script.words().next().context("a word")?;
    Ok(usize::try_from(format.bytes_in(word.end))?)
}

/// Checks that every word came exactly once.
pub(crate) fn ensure_clean(script: Script, transcript: &str) -> anyhow::Result<()> {
    let mut checker = Checker::new(script);
    checker.hear(transcript);
    let tally = checker.tally();
    anyhow::ensure!(tally.is_clean() && tally.spoken == usize::from(script.words), "{tally:?} in {transcript:?}");
    Ok(())
}

/// Returns the transcript of a result, or of a file's channel.
pub(crate) fn transcript(channel: &Value) -> &str {
    channel["alternatives"][0]["transcript"].as_str().unwrap_or_default()
}
