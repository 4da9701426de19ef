//! Whether the times of an answer can be true: inside the file, forwards. Small overlaps and times a moment too late are
//! how recognisers are, and are put right; everything else is a sign of an engine that makes things up.

use std::time::Duration;

/// How far a time may stray before it cannot be true.
const SLACK: f64 = 0.5;

/// Why an answer cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the answer makes no sense: {}", self.what())]
pub(super) enum Nonsense {
    /// It is not what such a server answers.
    NoAnswer(String),
    /// It is an error that came with status 200.
    Error(String),
    /// It says nothing, not even that nothing was said.
    NoText,
    /// It has a time that is none.
    Time(String),
    /// It has times for some words only.
    NoTime,
    /// It has a length that no file has.
    Length,
    /// It has a time outside the file.
    Outside(f64, Option<Duration>),
    /// It has an end before its beginning.
    Inverted(f64, f64),
    /// It has a time long before the one that it follows.
    Backwards(f64, f64),
    /// It has more words than can be said.
    TooMany {
        /// How many.
        count: usize,
        /// In how much audio.
        duration: Duration,
    },
}

impl Nonsense {
    fn what(&self) -> String {
        match self {
            Self::NoAnswer(problem) => problem.clone(),
            Self::Error(error) => format!("an error: {error}"),
            Self::NoText => "no text".to_owned(),
            Self::Time(text) => format!("a time of {text:?}"),
            Self::NoTime => "a word without a time among words with one".to_owned(),
            Self::Length => "a length that no file has".to_owned(),
            Self::Outside(at, Some(length)) if *at > 0.0 && *at < 1e6 => {
                format!("a time of {at} s in {} s of audio", length.as_secs_f64())
            }
            Self::Outside(at, _) if at.abs() < 1e6 => format!("a time of {at} s"),
            Self::Outside(at, _) => format!("a time of {at:?} s"),
            Self::Inverted(start, end) => format!("a word or segment from {start} s to {end} s"),
            Self::Backwards(at, before) => format!("a time of {at} s after one of {before} s"),
            Self::TooMany { count, duration } => format!("{count} words in {} s of audio", duration.as_secs_f64()),
        }
    }
}

/// Places words or segments one after the other.
#[derive(Debug)]
pub(super) struct Places {
    length: Option<Duration>,
    end: f64,
}

impl Places {
    /// Starts at the beginning of a file of this length, where that is known.
    pub(super) fn new(length: Option<Duration>) -> Self {
        Self { length, end: 0.0 }
    }

    /// Places what is said to lie between `start` and `end`, in seconds: never before what came before it.
    pub(super) fn place(&mut self, start: f64, end: f64) -> Result<(Duration, Duration), Nonsense> {
        let length = self.length.map_or(audio::MAX_DURATION, |length| length).as_secs_f64();
        if !start.is_finite() || start < -SLACK || start > length + SLACK {
            return Err(Nonsense::Outside(start, self.length));
        }
        if !end.is_finite() || end < start - SLACK {
            return Err(Nonsense::Inverted(start, end));
        }
        if start < self.end - SLACK {
            return Err(Nonsense::Backwards(start, self.end));
        }
        // Whisper pads the last window to 30 s, so an end may lie beyond the file's.
        let start = start.clamp(self.end, length.max(self.end));
        let end = end.clamp(start, length.max(start));
        self.end = end;
        Ok((Duration::from_secs_f64(start), Duration::from_secs_f64(end)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_overlaps_and_ends_beyond_the_file_are_put_right() {
        let mut places = Places::new(Some(Duration::from_secs(5)));
        let millis = |(start, end): (Duration, Duration)| (start.as_millis(), end.as_millis());
        assert_eq!(millis(places.place(-0.01, 1.0).unwrap()), (0, 1000));
        assert_eq!(millis(places.place(0.8, 0.9).unwrap()), (1000, 1000));
        assert_eq!(millis(places.place(4.8, 30.0).unwrap()), (4800, 5000));
        assert_eq!(millis(places.place(5.3, 5.4).unwrap()), (5000, 5000));
    }

    proptest! {
        #[test]
        fn whatever_an_engine_says_places_lie_inside_the_file_and_follow_each_other(
            said in proptest::collection::vec((any::<f64>(), any::<f64>()), 0..20),
            near in proptest::collection::vec((-1.0..6.0, -1.0..40.0), 0..20),
        ) {
            let length = Duration::from_secs(5);
            let mut places = Places::new(Some(length));
            let mut last = Duration::ZERO;
            for (start, end) in said.into_iter().chain(near) {
                if let Ok((start, end)) = places.place(start, end) {
                    prop_assert!(last <= start && start <= end && end <= length);
                    last = end;
                }
            }
        }
    }
}
