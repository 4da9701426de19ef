//! A WAV file as a stream of raw audio, read while it is sent.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use audio::wav::WavParser;
use audio::{Channels, Encoding, Format, PcmDecoder};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::failure::Failure;

/// How much of the file is read at once, in bytes.
const BLOCK: usize = 16 * 1024;

/// The sound of a WAV file, from its first sample to its last.
#[derive(Debug)]
pub(super) struct Sound {
    path: PathBuf,
    file: File,
    parser: WavParser,
    conversion: Conversion,
    format: Format,
    total: Duration,
    ready: Vec<u8>,
}

/// How samples become what can be streamed.
#[derive(Debug)]
enum Conversion {
    /// They are that already.
    None,
    /// They are decoded to 16-bit mono: 8, 24 and 32 bits have no name among streamed encodings.
    ToMono(Box<PcmDecoder>),
}

impl Sound {
    /// Reads a file up to its sound.
    ///
    /// # Errors
    /// Fails on a file that cannot be read and on one that is no WAV file.
    pub(super) async fn open(path: &Path) -> Result<Self, Failure> {
        let unreadable = |cause| Failure::File { path: path.to_owned(), cause };
        let file = File::open(path).await.map_err(unreadable)?;
        let length = file.metadata().await.map_err(unreadable)?.len();
        let mut header = Header { path, file, parser: WavParser::new(), read: 0 };
        let first = header.first_sound().await?;
        let Header { file, parser, read, .. } = header;
        let (Some(format), Some(decoder)) = (parser.format(), parser.decoder()) else {
            return Err(Failure::Empty { path: path.to_owned() });
        };
        let sound = length.saturating_sub(read - first.len() as u64);
        let total = format.rate.duration_of(sound / decoder.bytes_per_frame().max(1) as u64);
        let (format, conversion) = Conversion::of(format, decoder);
        let mut sound = Self { path: path.to_owned(), file, parser, conversion, format, total, ready: Vec::new() };
        sound.conversion.convert(&first, &mut sound.ready);
        Ok(sound)
    }

    /// Returns what is streamed.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Returns how long the sound lasts, as far as the file's length tells.
    pub(super) fn total(&self) -> Duration {
        self.total
    }

    /// Reads the next `bytes` bytes of sound, fewer at the end, none after it.
    ///
    /// # Errors
    /// Fails on a file that cannot be read any further.
    pub(super) async fn next(&mut self, bytes: usize) -> Result<Option<Vec<u8>>, Failure> {
        let mut block = vec![0; BLOCK];
        while self.ready.len() < bytes {
            let count = self.file.read(&mut block).await.map_err(|cause| self.unreadable(cause))?;
            if count == 0 {
                break;
            }
            let sound = self.parser.push(&block[..count]);
            let sound = sound.map_err(|cause| Failure::NotWav { path: self.path.clone(), cause })?;
            self.conversion.convert(sound, &mut self.ready);
        }
        let rest = self.ready.split_off(bytes.min(self.ready.len()));
        let chunk = std::mem::replace(&mut self.ready, rest);
        Ok((!chunk.is_empty()).then_some(chunk))
    }

    fn unreadable(&self, cause: io::Error) -> Failure {
        Failure::File { path: self.path.clone(), cause }
    }
}

impl Conversion {
    fn of(format: Format, decoder: PcmDecoder) -> (Format, Self) {
        if decoder.bytes_per_frame() == format.bytes_per_frame() {
            (format, Self::None)
        } else {
            let mono = Format { encoding: Encoding::Linear16, channels: Channels::MONO, ..format };
            (mono, Self::ToMono(Box::new(decoder)))
        }
    }

    fn convert(&mut self, sound: &[u8], ready: &mut Vec<u8>) {
        match self {
            Self::None => ready.extend_from_slice(sound),
            Self::ToMono(decoder) => {
                let mut mono = Vec::new();
                decoder.push(sound, &mut mono);
                Encoding::Linear16.encode(&mono, ready);
            }
        }
    }
}

/// A file whose sound has not been reached.
struct Header<'a> {
    path: &'a Path,
    file: File,
    parser: WavParser,
    read: u64,
}

impl Header<'_> {
    /// Reads until there is sound, and returns what of it was read.
    async fn first_sound(&mut self) -> Result<Vec<u8>, Failure> {
        let mut block = vec![0; BLOCK];
        let path = self.path;
        loop {
            let count = self.file.read(&mut block).await;
            let count = count.map_err(|cause| Failure::File { path: path.to_owned(), cause })?;
            if count == 0 && self.read == 0 {
                return Err(Failure::Empty { path: path.to_owned() });
            }
            self.read += count as u64;
            let wrong = |cause| Failure::NotWav { path: path.to_owned(), cause };
            let sound = self.parser.push(&block[..count]).map_err(wrong)?;
            if !sound.is_empty() {
                return Ok(sound.to_vec());
            }
            if count == 0 {
                self.parser.finish().map_err(wrong)?;
                return Err(Failure::Empty { path: path.to_owned() });
            }
        }
    }
}
