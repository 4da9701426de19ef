//! Which way a file goes: to one node as it is, or cut into chunks. It is chosen by what is known, as soon as that is
//! enough; a file that lies about its length is heard either way.

use std::time::Duration;

use audio::{FileDecoder, Format, Length, Progress, SampleRate};
use tokio::task::spawn_blocking;

use super::spool::{Growth, Spool, Stage};

/// Bytes of a second of the thinnest speech there is: 6 kbit/s. A packed file of fewer is not looked into.
const THINNEST: u64 = 750;

/// The way of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To one node, as it is.
    Whole,
    /// In chunks, of this much audio together if the file can be believed.
    Cut(Option<Duration>),
}

/// What is known of a file beside its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hint {
    /// The layout of raw audio.
    pub(crate) format: Option<Format>,
    /// How many bytes it has at most.
    pub(crate) bytes: Option<u64>,
}

/// Chooses the way of a file: cut it is from `limit` on. Files that cannot be decoded here, or that broke off, go whole.
pub(crate) async fn choose(spool: &Spool, hint: Hint, limit: Duration) -> Way {
    let mut growth = spool.grown(0).await;
    loop {
        let length = match hint.format {
            Some(format) => Length::PerByte { header: 0, bytes_per_second: format.bytes_per_second() },
            None => Length::of(&spool.read(0, Length::PREFIX).await.unwrap_or_default()),
        };
        match length {
            Length::Unclear if growth.stage == Stage::Coming && growth.length < Length::PREFIX as u64 => {
                growth = spool.grown(growth.length).await;
            }
            Length::Unclear | Length::Unknown => return Way::Whole,
            Length::Claimed(length) => return by_length(length, limit),
            Length::PerByte { header, bytes_per_second } => {
                return by_bytes(spool, hint.bytes, (header, bytes_per_second), limit).await;
            }
            Length::Packed => return by_content(spool, hint.bytes, limit).await,
        }
    }
}

fn by_length(length: Duration, limit: Duration) -> Way {
    if length < limit { Way::Whole } else { Way::Cut(Some(length)) }
}

/// Without a length to believe, whichever comes first: the end, or too much.
async fn by_bytes(spool: &Spool, bytes: Option<u64>, (header, rate): (u64, u64), limit: Duration) -> Way {
    let of = |bytes: u64| Duration::from_millis(bytes.saturating_sub(header).saturating_mul(1000) / rate.max(1));
    if let Some(bytes) = bytes {
        return by_length(of(bytes), limit);
    }
    let mut growth = spool.grown(0).await;
    while growth.stage == Stage::Coming && of(growth.length) < limit {
        growth = spool.grown(growth.length).await;
    }
    match (of(growth.length), growth.stage) {
        (length, Stage::Whole) => by_length(length, limit),
        (_, Stage::Broken) => Way::Whole,
        (_, Stage::Coming) => Way::Cut(None),
    }
}

/// A packed file is looked into once all of it is here: tables may come last.
async fn by_content(spool: &Spool, bytes: Option<u64>, limit: Duration) -> Way {
    let thin = |bytes: u64| bytes < limit.as_secs().saturating_mul(THINNEST);
    if bytes.is_some_and(thin) {
        return Way::Whole;
    }
    match spool.settled().await {
        Growth { length, stage: Stage::Whole } if !thin(length) => {}
        Growth { .. } => return Way::Whole,
    }
    let reader = spool.reader();
    let look = move || FileDecoder::open(reader, SampleRate::HZ_16000).map_or(Way::Whole, |file| look(file, limit));
    spawn_blocking(look).await.unwrap_or(Way::Whole)
}

fn look(mut file: FileDecoder, limit: Duration) -> Way {
    if let Some(length) = file.promised() {
        return by_length(length, limit);
    }
    let mut samples = Vec::new();
    while file.heard() < limit {
        samples.clear();
        match file.decode(&mut samples) {
            Ok(Progress::More) => {}
            Ok(Progress::Ended) | Err(_) => return Way::Whole,
        }
    }
    Way::Cut(None)
}

#[cfg(test)]
mod tests {
    use audio::wav;
    use axum::body::Body;
    use bytes::Bytes;

    use super::super::Spools;
    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    async fn way(file: &[u8], hint: Hint) -> Way {
        let (intake, spool) = Spools::default().open(None);
        intake.take_body(Body::from(file.to_vec())).await.unwrap();
        choose(&spool, hint, LIMIT).await
    }

    /// Chooses for an upload that has not ended.
    async fn early(start: Vec<u8>, hint: Hint) -> Option<Way> {
        let (mut intake, spool) = Spools::default().open(None);
        let piece = futures_util::stream::iter([Ok::<_, super::super::Failure>(Bytes::from(start))]);
        let coming = futures_util::StreamExt::chain(piece, futures_util::stream::pending());
        tokio::select! {
            biased;
            way = choose(&spool, hint, LIMIT) => Some(way),
            _ = intake.take(coming, |failure| failure) => None,
            () = tokio::time::sleep(Duration::from_secs(1)) => None,
        }
    }

    fn speech(seconds: usize, claimed: Option<u32>) -> Vec<u8> {
        [&wav::header(Format::SPEECH, claimed)[..], &vec![0; seconds * 32_000]].concat()
    }

    #[tokio::test]
    async fn a_file_is_as_long_as_it_says_or_as_its_bytes_are() {
        assert_eq!(way(&speech(1, Some(32_000)), Hint::default()).await, Way::Whole);
        assert_eq!(way(&speech(1, None), Hint::default()).await, Way::Whole);
        let three = Way::Cut(Some(Duration::from_secs(3)));
        assert_eq!(way(&speech(3, Some(96_000)), Hint::default()).await, three);
        assert_eq!(way(&speech(3, None), Hint::default()).await, three);
        let raw = Hint { format: Some(Format::SPEECH), bytes: None };
        assert_eq!(way(&[0; 96_000], raw).await, three);
        assert_eq!(way(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Hint::default()).await, Way::Whole);
        assert_eq!(way(b"", Hint::default()).await, Way::Whole);
    }

    #[tokio::test]
    async fn a_packed_file_is_looked_into() {
        let flac = include_bytes!("../../../audio/fixtures/mono-8k.flac");
        assert_eq!(way(flac, Hint::default()).await, Way::Cut(Some(Duration::from_millis(6_976))));
        let webm = include_bytes!("../../../audio/fixtures/stereo.webm");
        assert_eq!(way(webm, Hint::default()).await, Way::Cut(None));
        assert_eq!(way(webm, Hint { format: None, bytes: Some(1_000) }).await, Way::Whole);
        assert_eq!(way(&webm[..2_000], Hint::default()).await, Way::Whole);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_early_is_chosen_early() {
        let declared = |bytes| Hint { format: None, bytes: Some(bytes) };
        assert_eq!(early(speech(0, Some(32_000)), Hint::default()).await, Some(Way::Whole));
        assert_eq!(early(speech(0, None), declared(32_044)).await, Some(Way::Whole));
        assert_eq!(early(speech(0, None), declared(64_044)).await, Some(Way::Cut(Some(LIMIT))));
        assert_eq!(early(speech(2, None), Hint::default()).await, Some(Way::Cut(None)));
        assert_eq!(early(speech(1, None), Hint::default()).await, None, "it may end, or go on");
        assert_eq!(early(b"OggS\0\x02\0\0\0\0\0\0\0\0".to_vec(), declared(9_000)).await, None);
    }
}
