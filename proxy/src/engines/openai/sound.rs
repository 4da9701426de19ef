//! What an upload is, as far as its beginning tells: its name for a server that goes by names, its length where a header
//! gives it away, and the header that raw audio lacks.

use std::io;
use std::time::Duration;

use audio::wav::{self, WavParser};
use audio::{Channels, Container, Encoding, Format, SampleRate};

use crate::delivery::Spool;

/// An upload's sound.
#[derive(Debug)]
pub(super) struct Sound {
    /// A file name with the ending that belongs to its kind.
    pub(super) name: &'static str,
    /// What must come before the upload to make it a file.
    pub(super) header: Option<Vec<u8>>,
    /// How long it is, where that can be told without decoding it.
    pub(super) length: Option<Duration>,
}

impl Sound {
    /// Looks at an upload. Where the caller names an encoding it is raw; `value` finds the rate and the channels.
    pub(super) async fn of(
        upload: &Spool,
        encoding: Option<String>,
        value: impl Fn(&str) -> Option<String>,
    ) -> io::Result<Self> {
        if let Some(format) = encoding.and_then(|encoding| raw(&encoding, value)) {
            return Ok(Self::raw(format, upload.length()));
        }
        let beginning = upload.beginning().await?;
        let container = Container::of(&beginning[..beginning.len().min(Container::PREFIX)]);
        let is_wav = container == Container::Wav;
        let length = is_wav.then(|| wav_length(&beginning, upload.length())).flatten();
        Ok(Self { name: name(container), header: None, length })
    }

    fn raw(format: Format, bytes: u64) -> Self {
        let header = wav::header(format, u32::try_from(bytes).ok());
        Self { name: name(Container::Wav), header: Some(header.to_vec()), length: Some(format.duration_of(bytes)) }
    }
}

fn raw(encoding: &str, value: impl Fn(&str) -> Option<String>) -> Option<Format> {
    let encoding: Encoding = encoding.parse().ok()?;
    let rate = SampleRate::try_from(value("sample_rate")?.parse::<u32>().ok()?).ok()?;
    let channels = value("channels").map_or(Some(Channels::MONO), |text| text.parse::<u32>().ok()?.try_into().ok())?;
    Some(Format { encoding, rate, channels })
}

fn wav_length(beginning: &[u8], bytes: u64) -> Option<Duration> {
    let mut parser = WavParser::new();
    let sound = parser.push(beginning).ok()?.len() as u64;
    parser.lasts(sound, bytes.saturating_sub(beginning.len() as u64))
}

fn name(container: Container) -> &'static str {
    match container {
        Container::Wav => "audio.wav",
        Container::Ogg => "audio.ogg",
        Container::Flac => "audio.flac",
        Container::Mp3 => "audio.mp3",
        Container::Aac => "audio.aac",
        Container::Mp4 => "audio.m4a",
        Container::Webm => "audio.webm",
        Container::Aiff => "audio.aiff",
        Container::Au => "audio.au",
        Container::Amr => "audio.amr",
        Container::Riff
        | Container::Picture
        | Container::Pdf
        | Container::Archive
        | Container::Markup
        | Container::Json
        | Container::Unknown => "audio",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn upload(bytes: &[u8]) -> Spool {
        let mut spool = Spool::new().unwrap();
        spool.write(bytes).await.unwrap();
        spool.finish().await.unwrap()
    }

    #[tokio::test]
    async fn a_wav_file_tells_its_length_and_others_only_their_kind() {
        let mut wav = wav::header(Format::SPEECH, None).to_vec();
        wav.resize(44 + 3 * 32_000, 0);
        let sound = Sound::of(&upload(&wav).await, None, |_| None).await.unwrap();
        assert_eq!((sound.name, sound.length), ("audio.wav", Some(Duration::from_secs(3))));
        let sound = Sound::of(&upload(b"fLaC then more").await, None, |_| None).await.unwrap();
        assert_eq!((sound.name, sound.length), ("audio.flac", None));
        let sound = Sound::of(&upload(b"x").await, None, |_| None).await.unwrap();
        assert_eq!((sound.name, sound.length), ("audio", None));
    }

    #[tokio::test]
    async fn raw_audio_gets_the_header_that_it_lacks() {
        let value = |name: &str| (name == "sample_rate").then(|| "16000".to_owned());
        let sound = Sound::of(&upload(&[0; 64_000]).await, Some("linear16".to_owned()), value).await.unwrap();
        assert_eq!(sound.length, Some(Duration::from_secs(2)));
        assert_eq!(sound.header.unwrap(), wav::header(Format::SPEECH, Some(64_000)));
    }
}
