//! How far the times of words stray between two runs of an engine over the same speech.

use std::time::Duration;

use serde::Serialize;

use super::call::TimedWord;

/// Equal words further apart than this are not the same, in seconds: as in the session's alignment.
const WINDOW: f64 = 0.45;
/// Words that begin nearer to where a run begins are left out: they may be cut.
const LEAD: Duration = Duration::from_millis(500);

/// What was found in all pairs of runs. Times are in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Jitter {
    /// Runs that were compared with the whole one.
    pub runs: usize,
    /// Words that were compared.
    pub words: usize,
    /// Words of the whole run that another one did not hear near their place.
    pub unmatched: usize,
    /// The median difference of each run.
    pub offsets: Vec<f64>,
    /// How far each word strays from its run's median.
    #[serde(skip)]
    noise: Vec<f64>,
}

impl Jitter {
    /// Compares a run that began at `start` with a run over everything.
    pub(super) fn compare(&mut self, whole: &[TimedWord], part: &[TimedWord], start: Duration) {
        let begin = start.as_secs_f64();
        let mut strays = Vec::new();
        for word in whole.iter().filter(|word| word.start >= begin + LEAD.as_secs_f64()) {
            let equal = part.iter().filter(|other| other.text == word.text);
            let strayed = equal.map(|other| other.middle() + begin - word.middle());
            match strayed.min_by(|one, other| one.abs().total_cmp(&other.abs())).filter(|stray| stray.abs() <= WINDOW) {
                Some(stray) => strays.push(1_000.0 * stray),
                None => self.unmatched += 1,
            }
        }
        self.runs += 1;
        self.words += strays.len();
        let offset = quantile(&strays, 0.5);
        self.offsets.push(offset);
        self.noise.extend(strays.iter().map(|stray| (stray - offset).abs()));
    }

    /// Returns the largest median difference of a run.
    #[must_use]
    pub fn most_offset(&self) -> f64 {
        self.offsets.iter().fold(0.0, |most: f64, offset| most.max(offset.abs()))
    }

    /// Returns how far words stray from their run's median: this share of them no further.
    #[must_use]
    pub fn noise(&self, share: f64) -> f64 {
        quantile(&self.noise, share)
    }
}

/// Returns the value below which this share of all lies; 0 for none.
pub(super) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    let place = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(place).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str, start: f64) -> TimedWord {
        TimedWord { text: text.to_owned(), start, end: start + 0.2 }
    }

    #[test]
    fn a_run_that_is_late_as_a_whole_has_an_offset_and_no_noise() {
        let whole = [word("a", 1.0), word("b", 3.0), word("c", 4.0), word("d", 5.0), word("b", 6.0)];
        let part = [word("b", 1.02), word("c", 2.02), word("d", 3.05), word("x", 4.0)];
        let mut jitter = Jitter::default();
        jitter.compare(&whole, &part, Duration::from_secs(2));
        assert_eq!((jitter.runs, jitter.words, jitter.unmatched), (1, 3, 1));
        assert!((jitter.most_offset() - 20.0).abs() < 1e-6, "{:?}", jitter.offsets);
        assert!((jitter.noise(1.0) - 30.0).abs() < 1e-6 && jitter.noise(0.5) < 1e-6);
    }
}
