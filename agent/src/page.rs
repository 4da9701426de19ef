//! A metrics page, read: the Prometheus text format, as far as an agent needs it. What cannot be read is left out, line by
//! line: an engine that writes one line badly is no reason to be blind to it. The only library for this format keeps every
//! help text and owns every label; this keeps borrowed samples.

use std::borrow::Cow;

/// One line of a page that is a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

/// The samples of a page.
#[derive(Debug, Default)]
pub(crate) struct Page<'a> {
    samples: Vec<Sample<'a>>,
}

/// A histogram's cumulative buckets, over all its series: upper bounds, the last of them infinite, and counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Histogram {
    /// Upper bounds, ascending.
    pub(crate) bounds: Vec<f64>,
    /// Observations at or below each bound.
    pub(crate) counts: Vec<f64>,
}

impl<'a> Page<'a> {
    /// Reads a page. Comments, lines that are no samples, and values that are no finite number are left out.
    pub(crate) fn parse(text: &'a str) -> Self {
        Self { samples: text.lines().filter_map(sample).collect() }
    }

    /// Returns the sum of all series of a name; none where there is no series.
    pub(crate) fn sum(&self, name: &str) -> Option<f64> {
        self.series(name).map(|sample| sample.value).reduce(|sum, value| sum + value)
    }

    /// Returns the sum of the first of these names that has any series: names change from version to version.
    pub(crate) fn sum_of_first(&self, names: &[&str]) -> Option<f64> {
        names.iter().find_map(|name| self.sum(name))
    }

    /// Returns the greatest of the series of a name that carry this label.
    pub(crate) fn greatest_with(&self, name: &str, label: (&str, &str)) -> Option<f64> {
        let carries = |sample: &&Sample<'_>| sample.label(label.0).is_some_and(|value| value == label.1);
        self.series(name).filter(carries).map(|sample| sample.value).reduce(f64::max)
    }

    /// Returns the sum of all series of a name as a count.
    pub(crate) fn count(&self, name: &str) -> Option<u32> {
        self.sum(name).map(whole)
    }

    /// Returns a histogram, all series added up; none where it has no observations to tell of.
    pub(crate) fn histogram(&self, name: &str) -> Option<Histogram> {
        let name = format!("{name}_bucket");
        let bound = |sample: &Sample<'_>| sample.label("le").and_then(|le| le.parse::<f64>().ok());
        let mut buckets: Vec<(f64, f64)> =
            self.series(&name).filter_map(|sample| Some((bound(sample)?, sample.value))).collect();
        buckets.retain(|(bound, _)| !bound.is_nan());
        buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let mut histogram = Histogram::default();
        for (bound, count) in buckets {
            match (histogram.bounds.last(), histogram.counts.last_mut()) {
                (Some(last), Some(sum)) if *last == bound => *sum += count,
                (Some(_) | None, Some(_) | None) => {
                    histogram.bounds.push(bound);
                    histogram.counts.push(count);
                }
            }
        }
        (!histogram.bounds.is_empty()).then_some(histogram)
    }

    fn series<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p Sample<'a>> {
        self.samples.iter().filter(move |sample| sample.name == name)
    }
}

impl<'a> Sample<'a> {
    fn label(&self, wanted: &str) -> Option<Cow<'a, str>> {
        let mut rest = self.labels;
        while let Some((name, value, more)) = pair(rest) {
            if name == wanted {
                return Some(value);
            }
            rest = more;
        }
        None
    }
}

/// Turns a figure into a count: rounded, never negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer casts saturate")]
pub(crate) fn whole(value: f64) -> u32 {
    value.round() as u32
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let line = line.trim_start();
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let first = name.chars().next()?;
    if first.is_ascii_digit() {
        return None;
    }
    let (labels, rest) = match rest.trim_start().strip_prefix('{') {
        Some(labels) => labels.split_at_checked(closing(labels)?)?,
        None => ("", rest),
    };
    let value = rest.trim_start_matches('}').split_ascii_whitespace().next()?.parse::<f64>().ok()?;
    value.is_finite().then_some(Sample { name, labels, value })
}

/// Finds the brace that ends the labels: one inside a quoted value does not.
fn closing(labels: &str) -> Option<usize> {
    let mut rest = labels;
    while let Some((_, _, more)) = pair(rest) {
        rest = more;
    }
    rest.trim_start().starts_with('}').then(|| labels.len() - rest.trim_start().len())
}

/// Takes one `name="value"` and the comma after it off the front.
fn pair(labels: &str) -> Option<(&str, Cow<'_, str>, &str)> {
    let (name, rest) = labels.split_once('=')?;
    let quoted = rest.trim_start().strip_prefix('"')?;
    let mut escaped = false;
    let end = quoted.find(|c: char| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    let (value, rest) = quoted.split_at(end);
    let rest = rest.strip_prefix('"')?.trim_start();
    Some((name.trim(), unescaped(value), rest.strip_prefix(',').unwrap_or(rest).trim_start()))
}

fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match (character, character == '\\') {
            (_, true) => match characters.next() {
                Some('n') => text.push('\n'),
                Some(other) => text.push(other),
                None => {}
            },
            (plain, false) => text.push(plain),
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAGE: &str = "# TYPE slots gauge\nslots 4\n\nused 2.0 1700000000000\nwait{quantile=\"0.95\"} 7\nwait{quantile=\"0.5\"} 9\n\
        factor NaN\ndebt -3\nhuge 1e300\nvllm:running{engine=\"0\",model_name=\"weird}\\\"name,\"} 3.0\n\
        vllm:running{ model_name=\"m\" , engine=\"1\" } 2\nbare\n7up 1\nbroken{a=\"1 3\n\
        t_bucket{le=\"+Inf\",e=\"0\"} 5\nt_bucket{le=\"0.5\",e=\"0\"} 2\nt_bucket{le=\"+Inf\",e=\"1\"} 4\nt_bucket{le=\"0.5\",e=\"1\"} 4\n";

    #[test]
    fn series_are_added_up_whatever_their_labels_hold() {
        let page = Page::parse(PAGE);
        assert_eq!((page.count("slots"), page.count("used"), page.sum("vllm:running")), (Some(4), Some(2), Some(5.0)));
        assert_eq!(page.greatest_with("wait", ("quantile", "0.95")), Some(7.0));
        assert_eq!(page.greatest_with("vllm:running", ("model_name", "weird}\"name,")), Some(3.0));
        assert_eq!(page.sum_of_first(&["gone", "used", "slots"]), Some(2.0));
    }

    #[test]
    fn what_is_no_sample_or_no_finite_number_is_left_out() {
        let page = Page::parse(PAGE);
        for name in ["#", "factor", "bare", "7up", "broken", "gone"] {
            assert_eq!(page.sum(name), None, "{name}");
        }
    }

    #[test]
    fn a_count_is_forced_into_range() {
        let page = Page::parse(PAGE);
        assert_eq!((page.count("debt"), page.count("huge")), (Some(0), Some(u32::MAX)));
    }

    #[test]
    fn the_buckets_of_a_histogram_are_sorted_and_its_series_added_up() {
        let histogram = Page::parse(PAGE).histogram("t").unwrap();
        assert_eq!(histogram, Histogram { bounds: vec![0.5, f64::INFINITY], counts: vec![6.0, 9.0] });
        assert_eq!(Page::parse(PAGE).histogram("wait"), None);
    }

    proptest! {
        #[test]
        fn no_page_is_a_panic(text in "[a-z{}=\",\\\\ 0-9\\n]*", wild in ".*") {
            for text in [text, wild] {
                let page = Page::parse(&text);
                page.histogram("a");
                page.greatest_with("a", ("b", "c"));
            }
        }

        #[test]
        fn what_is_written_is_read(value in -1e9_f64..1e9, label in ".{0,20}", name in "[a-z_:][a-z0-9_:]{0,9}") {
            let escaped = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            prop_assume!(escaped.lines().count() <= 1);
            let text = format!("{name}{{x=\"y\",l=\"{escaped}\"}} {value}\n");
            prop_assert_eq!(Page::parse(&text).greatest_with(&name, ("l", &label)), Some(value));
        }
    }
}
