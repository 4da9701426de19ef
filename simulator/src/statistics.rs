//! Means over seeds with their 95 % intervals.

use serde::Serialize;

/// Student's t at 97.5 %, for 1 to 30 degrees of freedom; beyond that the normal law's 1.96 is near enough.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// A mean and how far from it the truth may lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// Half the width of the 95 % interval; absent for a single value, which says nothing of its spread.
    pub margin: Option<f64>,
}

impl Interval {
    /// Works out the interval of independent values.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count.max(1.0);
        if values.len() < 2 {
            return Self { mean, margin: None };
        }
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let student = STUDENT.get(values.len() - 2).copied().unwrap_or(1.96);
        Self { mean, margin: Some(student * (variance / count).sqrt()) }
    }

    /// Works out the interval of differences of values that belong together, such as two policies on the same seeds.
    #[must_use]
    pub fn of_differences(values: &[f64], others: &[f64]) -> Self {
        Self::of(&values.iter().zip(others).map(|(value, other)| value - other).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_values_have_the_interval_of_the_textbook() {
        let interval = Interval::of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]);
        // Standard deviation 3.0277, over the root of ten 0.9574, times 2.262.
        assert!((interval.mean - 5.5).abs() < 1e-12 && (interval.margin.unwrap() - 2.1657).abs() < 1e-3);
    }

    #[test]
    fn one_value_has_no_interval() {
        assert_eq!(Interval::of(&[3.0]), Interval { mean: 3.0, margin: None });
    }

    #[test]
    fn what_two_share_does_not_widen_their_difference() {
        let (a, b) = ([10.0, 20.0, 30.0], [9.0, 19.0, 29.0]);
        assert_eq!(Interval::of_differences(&a, &b), Interval { mean: 1.0, margin: Some(0.0) });
    }
}
