//! The engine's metrics page, read: the few lines of the Prometheus text format that an agent needs. A parser of a page
//! that we also write is twenty lines; a library for it would be a dependency.

use std::collections::BTreeMap;

/// The samples of a page that carry no labels.
#[derive(Debug, Default)]
pub(crate) struct Page<'a> {
    samples: BTreeMap<&'a str, f64>,
}

impl<'a> Page<'a> {
    /// Reads a page. Comments, samples with labels, and values that are no finite number are left out.
    pub(crate) fn parse(text: &'a str) -> Self {
        Self { samples: text.lines().filter_map(sample).collect() }
    }

    /// Returns the value of a sample.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.samples.get(name).copied()
    }

    /// Returns the value of a sample as a count: rounded, never negative.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer casts saturate")]
    pub(crate) fn count(&self, name: &str) -> Option<u32> {
        self.value(name).map(|value| value.round() as u32)
    }
}

fn sample(line: &str) -> Option<(&str, f64)> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next().filter(|name| !name.starts_with('#') && !name.contains('{'))?;
    let value = words.next()?.parse::<f64>().ok().filter(|value| value.is_finite())?;
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAGE: &str = "# TYPE slots gauge\nslots 4\n\nused 2.0 1700000000000\nwait{quantile=\"0.95\"} 7\nfactor NaN\n\
                        debt -3\nhuge 1e300\n";

    #[test]
    fn plain_samples_are_read_with_or_without_a_time() {
        let page = Page::parse(PAGE);
        assert_eq!((page.count("slots"), page.count("used")), (Some(4), Some(2)));
    }

    #[test]
    fn what_is_no_plain_finite_number_is_left_out() {
        let page = Page::parse(PAGE);
        assert_eq!((page.value("#"), page.value("wait"), page.value("factor")), (None, None, None));
    }

    #[test]
    fn a_count_is_forced_into_range() {
        let page = Page::parse(PAGE);
        assert_eq!((page.count("debt"), page.count("huge")), (Some(0), Some(u32::MAX)));
    }

    proptest! {
        #[test]
        fn no_page_is_a_panic(text in ".*") {
            Page::parse(&text);
        }
    }
}
