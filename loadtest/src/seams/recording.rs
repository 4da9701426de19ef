//! Real speech, and what is said in it.

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use audio::{AudioStream, Format, SampleRate};

use super::SeamsError;
use super::score::words;

/// How the speech is sent.
pub(super) const FORMAT: Format = Format::SPEECH;
const RATE: SampleRate = SampleRate::HZ_16000;
/// The shortest speech that can be cut.
const LEAST: Duration = Duration::from_secs(3);

/// Recordings, joined to one.
#[derive(Debug)]
pub(super) struct Recording {
    sound: Vec<u8>,
    said: Vec<String>,
}

impl Recording {
    /// Reads WAV files and the texts beside them.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, SeamsError> {
        let (mut samples, mut said) = (Vec::new(), Vec::new());
        for path in files {
            let sound = |source| SeamsError::Sound { path: path.clone(), source };
            let mut stream = AudioStream::sniff(RATE);
            stream.push(&read(path)?, &mut samples).map_err(sound)?;
            stream.finish(&mut samples).map_err(sound)?;
            let text = read(&path.with_extension("txt"))?;
            said.extend(words(&String::from_utf8_lossy(&text)));
        }
        let mut sound = Vec::with_capacity(2 * samples.len());
        FORMAT.encoding.encode(&samples, &mut sound);
        let recording = Self { sound, said };
        let (length, words) = (recording.length(), recording.said.len());
        if length < LEAST || words == 0 {
            return Err(SeamsError::Short { seconds: length.as_secs_f64(), words });
        }
        Ok(recording)
    }

    /// Returns all of it.
    pub(super) fn sound(&self) -> &[u8] {
        &self.sound
    }

    /// Returns the words that are said.
    pub(super) fn said(&self) -> &[String] {
        &self.said
    }

    /// Returns how long it lasts.
    pub(super) fn length(&self) -> Duration {
        RATE.duration_of(self.sound.len() as u64 / 2)
    }

    /// Returns everything from a moment on.
    pub(super) fn from(&self, start: Duration) -> &[u8] {
        self.cut(start).1
    }

    /// Divides it at a moment.
    pub(super) fn cut(&self, at: Duration) -> (&[u8], &[u8]) {
        let byte = usize::try_from(RATE.samples_in(at) * 2).unwrap_or(usize::MAX);
        self.sound.split_at(byte.min(self.sound.len()))
    }

    /// Spreads moments evenly, none of them nearer than `edge` to an end.
    pub(super) fn cuts(&self, count: NonZeroU16, edge: Duration) -> Vec<Duration> {
        let room = self.length().saturating_sub(2 * edge);
        let count = u32::from(count.get());
        (0..count).map(|number| edge + room * (2 * number + 1) / (2 * count)).collect()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SeamsError> {
    std::fs::read(path).map_err(|source| SeamsError::File { path: path.to_owned(), source })
}
