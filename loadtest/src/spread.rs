//! One figure of several rounds: the median, and how far the rounds were apart. A figure without its spread says nothing.

use std::fmt;

use serde::Serialize;

/// The median of several rounds and the range they covered, all in the unit of the field that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The middle value; of an even number of rounds, the mean of the two in the middle.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

impl Spread {
    /// Summarises the figures of all rounds; all zero if there were none.
    #[must_use]
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (sorted.first(), sorted.last()) else {
            return Self { median: 0.0, min: 0.0, max: 0.0 };
        };
        let upper = sorted.len() / 2;
        let lower = (sorted.len() - 1) / 2;
        Self { median: f64::midpoint(sorted[lower], sorted[upper]), min: *min, max: *max }
    }
}

impl fmt::Display for Spread {
    /// Writes `median (min..max)`, with two digits after the point unless the formatter asks for others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let text = format!("{:.digits$} ({:.digits$}..{:.digits$})", self.median, self.min, self.max);
        // Not `pad`, which would take the digits for a length to cut the text to.
        f.pad_integral(true, "", &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(Spread::of([9.0, 1.0, 4.0]), Spread { median: 4.0, min: 1.0, max: 9.0 });
        assert_eq!(Spread::of([4.0, 2.0]), Spread { median: 3.0, min: 2.0, max: 4.0 });
        assert_eq!(Spread::of([7.0]), Spread { median: 7.0, min: 7.0, max: 7.0 });
    }

    #[test]
    fn no_rounds_are_all_zero() {
        assert_eq!(Spread::of([]), Spread { median: 0.0, min: 0.0, max: 0.0 });
    }

    #[test]
    fn it_is_written_with_its_range_and_padded() {
        let spread = Spread::of([1.0, 2.0, 4.5]);
        assert_eq!(spread.to_string(), "2.00 (1.00..4.50)");
        assert_eq!(format!("{spread:>16.1}|"), "  2.0 (1.0..4.5)|");
    }
}
