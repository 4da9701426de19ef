//! Files that can only be heard as a whole: kept in a temporary file that has no name, then decoded a piece at a time on
//! threads that may block, as fast as the voice hears.

use std::fs::File;
use std::io;
use std::time::Duration;

use audio::{AudioError, FileDecoder, Progress, SampleRate};
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_blocking;

use crate::file::{CHUNK, send};
use crate::pump::Input;
use crate::refusal::Refusal;
use crate::upload::Upload;

/// The largest file that is kept: 12 h of 16-bit stereo at 44.1 kHz, packed by half.
const LARGEST: u64 = 4 << 30;

/// Keeps the whole upload on disk.
pub(crate) async fn keep(upload: &mut Upload<'_>) -> Result<File, Refusal> {
    let no_room = |error: io::Error| Refusal::NoRoom(error.kind());
    let file = blocking(tempfile::tempfile).await?.map_err(no_room)?;
    let mut file = tokio::fs::File::from_std(file);
    let mut len = 0;
    while let Some(bytes) = upload.next().await? {
        len += bytes.len() as u64;
        if len > LARGEST {
            return Err(Refusal::TooLarge(LARGEST));
        }
        file.write_all(&bytes).await.map_err(no_room)?;
    }
    file.flush().await.map_err(no_room)?;
    Ok(file.into_std().await)
}

/// Hands the sound of a file to the voice; returns how long it was and how many channels it had.
pub(crate) async fn play(file: File, input: &Input) -> Result<(Duration, usize), Refusal> {
    let mut decoder = blocking(|| FileDecoder::open(file, SampleRate::HZ_16000)).await??;
    loop {
        let mut piece = blocking(move || Piece::decode(decoder)).await??;
        send(input, &mut piece.samples, 1).await;
        decoder = piece.decoder;
        if piece.progress == Progress::Ended {
            break;
        }
    }
    if decoder.damaged() > 0 {
        tracing::info!(container = %decoder.container(), packets = decoder.damaged(), "left out damaged packets");
    }
    Ok((decoder.heard(), decoder.channels().count()))
}

/// A second of sound, or what is left.
struct Piece {
    decoder: FileDecoder,
    samples: Vec<i16>,
    progress: Progress,
}

impl Piece {
    fn decode(mut decoder: FileDecoder) -> Result<Self, AudioError> {
        let (mut samples, mut progress) = (Vec::new(), Progress::More);
        while samples.len() < CHUNK && progress == Progress::More {
            progress = decoder.decode(&mut samples)?;
        }
        Ok(Self { decoder, samples, progress })
    }
}

/// A request that ends meanwhile leaves at most one piece behind.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "decoder of a file ended early");
        Refusal::Failed
    })
}
