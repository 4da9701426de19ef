//! What was heard of a cut file so far. Answers in the words of `/v1/listen` tell more than words, and are put together as
//! they are; as soon as a chunk was heard by an engine that only told its words, words are what is known of all of it.

use std::fmt::Display;
use std::time::Duration;

use session::CloseReason;

use super::merge::{Merged, Part, Whole};
use super::{Failure, Heard};
use crate::engines::OpenError;
use crate::engines::listen::{Garbage, hear_file};
use crate::transcript::Transcript;

/// What was heard in one chunk.
#[derive(Debug)]
pub(super) enum Piece {
    /// An answer in the words of `/v1/listen`.
    Written(Part),
    /// Its words.
    Words(Transcript),
}

impl Piece {
    /// Reads what an engine says of a chunk.
    pub(super) fn read(heard: Heard) -> Result<Self, OpenError> {
        let senseless = |error| OpenError::TryAnother(format!("its answer makes no sense: {error}"));
        match heard {
            Heard::Written(body) => Part::read(&body).map(Self::Written).map_err(senseless),
            Heard::Words(words) => Ok(Self::Words(words)),
        }
    }

    /// Returns what was said.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Written(part) => part.text(),
            Self::Words(words) => &words.text,
        }
    }

    fn into_words(self) -> Result<Transcript, Failure> {
        match self {
            Self::Written(part) => words(&part.write().map_err(|error| senseless(&error))?),
            Self::Words(words) => Ok(words),
        }
    }
}

/// What was heard in the chunks so far.
#[derive(Debug)]
pub(super) enum Gathered {
    /// Every chunk was answered in the words of `/v1/listen`.
    Written(Merged),
    /// The words of all chunks.
    Words(Transcript),
}

impl Gathered {
    /// Begins with nothing. `query` is what the caller asked for.
    pub(super) fn new(query: &str) -> Self {
        Self::Written(Merged::new(query))
    }

    /// Adds the next chunk, which begins at `start` of the file.
    pub(super) fn with(self, piece: Piece, start: Duration) -> Result<Self, Failure> {
        match (self, piece) {
            (Self::Written(mut merged), Piece::Written(part)) => {
                merged.push(part, start);
                Ok(Self::Written(merged))
            }
            (before, piece) => {
                let mut words = before.into_words(start)?;
                words.join(piece.into_words()?, start);
                Ok(Self::Words(words))
            }
        }
    }

    /// Tells what was heard, now that it was all.
    pub(super) fn finish(self, whole: Whole) -> Result<Heard, Failure> {
        match self {
            Self::Written(merged) => merged.finish(whole).map(Heard::Written).map_err(|error| senseless(&error)),
            Self::Words(words) => Ok(Heard::Words(Transcript { duration: whole.duration, ..words })),
        }
    }

    fn into_words(self, duration: Duration) -> Result<Transcript, Failure> {
        match self {
            Self::Written(merged) if merged.is_empty() => Ok(Transcript::default()),
            Self::Written(merged) => {
                let whole = Whole { duration, ..Whole::default() };
                words(&merged.finish(whole).map_err(|error| senseless(&error))?)
            }
            Self::Words(words) => Ok(words),
        }
    }
}

fn words(body: &[u8]) -> Result<Transcript, Failure> {
    hear_file(body).map_err(|Garbage| senseless(&"a chunk without words or times"))
}

fn senseless(error: &dyn Display) -> Failure {
    tracing::error!(%error, "the answers of chunks cannot be put together");
    Failure::new(CloseReason::NodeFailed, "the nodes' answers make no sense, please try again")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::transcript::Timing;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The answer of an engine of `/v1/listen` in whose chunk one word was said, a second after its beginning.
    fn written(word: &str) -> Piece {
        let said = json!({ "word": word, "start": 1.0, "end": 2.0, "confidence": 0.5 });
        let best = json!({ "transcript": word, "confidence": 0.5, "words": [said] });
        let body = json!({ "metadata": { "duration": 30.0 }, "results": { "channels": [{ "alternatives": [best] }] } });
        Piece::read(Heard::Written(body.to_string().into())).unwrap()
    }

    /// What an engine heard that gives no times.
    fn untimed(text: &str) -> Piece {
        Piece::Words(Transcript::new(text.to_owned(), Vec::new(), seconds(30), Some("en".to_owned())))
    }

    fn heard(pieces: Vec<Piece>) -> Heard {
        let length = 30 * pieces.len() as u64;
        let with = |(gathered, start): (Gathered, Duration), piece| {
            (gathered.with(piece, start).unwrap(), start + seconds(30))
        };
        let (gathered, _) = pieces.into_iter().fold((Gathered::new(""), Duration::ZERO), with);
        gathered.finish(Whole { duration: seconds(length), channels: 1, ..Whole::default() }).unwrap()
    }

    #[test]
    fn answers_in_the_words_of_listen_stay_what_they_are() {
        let Heard::Written(body) = heard(vec![written("go"), written("on")]) else { panic!("it is words") };
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["results"]["channels"][0]["alternatives"][0]["transcript"], "go on");
    }

    #[test]
    fn one_chunk_without_times_makes_a_file_with_a_caveat_and_every_word_at_its_place() {
        for (number, pieces) in [
            vec![untimed("go"), written("on"), written("now")],
            vec![written("go"), untimed("on"), written("now")],
            vec![written("go"), written("on"), untimed("now")],
        ]
        .into_iter()
        .enumerate()
        {
            let Heard::Words(words) = heard(pieces) else { panic!("it is written") };
            assert_eq!(
                (words.text.as_str(), words.timing, words.duration),
                ("go on now", Timing::Guessed, seconds(90))
            );
            assert_eq!(words.language.as_deref(), Some("en"));
            let starts: Vec<_> = words.words.iter().map(|word| word.start.as_secs()).collect();
            let expected = [0, 30, 60].into_iter().enumerate();
            let expected: Vec<_> = expected.map(|(at, start)| if at == number { start } else { start + 1 }).collect();
            assert_eq!(starts, expected);
        }
    }
}
