//! What a file is, told by its first bytes: callers upload every kind of thing, and an error that names what came is
//! one that they can act on.

use std::fmt;

use crate::wav;

/// What the first bytes of a file look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// RIFF or RF64 with WAVE inside.
    Wav,
    /// Ogg: Opus, Vorbis or Speex.
    Ogg,
    /// FLAC.
    Flac,
    /// MP3, with or without an ID3 tag.
    Mp3,
    /// AAC in ADTS frames.
    Aac,
    /// MP4, M4A, MOV or 3GP.
    Mp4,
    /// `WebM` or Matroska.
    Webm,
    /// AIFF.
    Aiff,
    /// Sun's or `NeXT`'s audio file.
    Au,
    /// AMR, narrow or wide band.
    Amr,
    /// RIFF with something else inside: AVI or WebP.
    Riff,
    /// A PNG, JPEG or GIF picture.
    Picture,
    /// A PDF document.
    Pdf,
    /// ZIP, gzip or another archive.
    Archive,
    /// HTML or XML.
    Markup,
    /// JSON.
    Json,
    /// None of the above.
    Unknown,
}

/// Beginnings that tell what a file is.
const BEGINNINGS: [(&[u8], Container); 19] = [
    (b"OggS", Container::Ogg),
    (b"fLaC", Container::Flac),
    (b"ID3", Container::Mp3),
    (b"\x1a\x45\xdf\xa3", Container::Webm),
    (b"FORM", Container::Aiff),
    (b".snd", Container::Au),
    (b"#!AMR", Container::Amr),
    (b"RIFF", Container::Riff),
    (b"RF64", Container::Riff),
    (b"\x89PNG", Container::Picture),
    (b"\xff\xd8\xff", Container::Picture),
    (b"GIF8", Container::Picture),
    (b"%PDF", Container::Pdf),
    (b"PK\x03\x04", Container::Archive),
    (b"\x1f\x8b", Container::Archive),
    (b"\x28\xb5\x2f\xfd", Container::Archive),
    (b"BZh", Container::Archive),
    (b"<", Container::Markup),
    (b"{", Container::Json),
];

impl Container {
    /// The bytes that [`Container::of`] looks at.
    pub const PREFIX: usize = 12;

    /// Tells whether [`crate::FileDecoder`] takes it: it must be a file, since its parts may refer to each other.
    #[must_use]
    pub const fn is_packed(self) -> bool {
        match self {
            Self::Ogg | Self::Flac | Self::Mp3 | Self::Aac | Self::Mp4 | Self::Webm | Self::Aiff => true,
            Self::Wav | Self::Au | Self::Amr | Self::Riff | Self::Picture | Self::Pdf | Self::Archive => false,
            Self::Markup | Self::Json | Self::Unknown => false,
        }
    }

    /// Tells what a file is by its first bytes; [`Container::PREFIX`] are enough.
    #[must_use]
    pub fn of(start: &[u8]) -> Self {
        if wav::is_wave(start) {
            return Self::Wav;
        }
        if start.get(4..8) == Some(b"ftyp") {
            return Self::Mp4;
        }
        let text = start.trim_ascii_start();
        let found =
            BEGINNINGS.iter().find(|(beginning, _)| start.starts_with(beginning) || text.starts_with(beginning));
        found.map_or_else(|| Self::of_frame(start), |(_, container)| *container)
    }

    /// Tells MP3 from AAC by the bits after the eleven that begin a frame.
    fn of_frame(start: &[u8]) -> Self {
        match start {
            [0xff, second, ..] if second & 0xf6 == 0xf0 => Self::Aac,
            [0xff, second, ..] if second & 0xe0 == 0xe0 && second & 0x06 != 0 => Self::Mp3,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wav => "WAV",
            Self::Ogg => "Ogg",
            Self::Flac => "FLAC",
            Self::Mp3 => "MP3",
            Self::Aac => "AAC",
            Self::Mp4 => "MP4",
            Self::Webm => "WebM",
            Self::Aiff => "AIFF",
            Self::Au => "AU",
            Self::Amr => "AMR",
            Self::Riff => "RIFF without WAVE",
            Self::Picture => "a picture",
            Self::Pdf => "PDF",
            Self::Archive => "an archive",
            Self::Markup => "HTML or XML",
            Self::Json => "JSON",
            Self::Unknown => "an unknown format",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_uploads_are_told_by_their_beginnings() {
        let files: [(&[u8], Container); 12] = [
            (b"RIFF\x24\x00\x00\x00WAVEfmt ", Container::Wav),
            (b"RF64\xff\xff\xff\xffWAVEds64", Container::Wav),
            (b"RIFF\x24\x00\x00\x00AVI LIST", Container::Riff),
            (b"\x89PNG\r\n\x1a\n\0\0\0\r", Container::Picture),
            (b"\r\n <!DOCTYPE html>", Container::Markup),
            (b"{\"url\": \"", Container::Json),
            (b"\0\0\0\x20ftypM4A ", Container::Mp4),
            (b"\xff\xfb\x90\x64", Container::Mp3),
            (b"\xff\xf1\x50\x80", Container::Aac),
            (b"OggS\0\x02", Container::Ogg),
            (b"\0\0\0\0\0\0\0\0\0\0\0\0", Container::Unknown),
            (b"", Container::Unknown),
        ];
        for (start, container) in files {
            assert_eq!(Container::of(start), container, "{start:?}");
        }
    }
}
