//! What is wrong with a configuration, said so that it can be mended: the line, the words on it, the nearest right key.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use serde_saphyr::{Error, Localizer, Location, MessageFormatter, Options, UserMessageFormatter};

use super::check::Problem;

/// How alike two words must be, from 0 to 1, for one to be offered in place of the other.
const ALIKE: f64 = 0.6;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// Neither a file nor built in.
    #[error("cannot read {name}: {cause}; built in are {known}")]
    NotBuiltIn {
        /// What was asked for.
        name: String,
        /// Why no file.
        cause: std::io::Error,
        /// What could be asked for.
        known: String,
    },
    /// Something in the file is wrong.
    #[error("{0}")]
    File(Box<Finding>),
    /// Something in the environment is wrong.
    #[error("environment variable {name}: {what}")]
    Environment {
        /// The variable, or several that are wrong only together.
        name: String,
        /// What is wrong.
        what: String,
    },
}

/// A mistake in a file.
#[derive(Debug)]
pub(crate) struct Finding {
    file: String,
    what: String,
    place: Option<Place>,
}

/// Where a mistake is, and the words there.
#[derive(Debug)]
struct Place {
    line: usize,
    column: usize,
    text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(place) = &self.place else { return write!(f, "{}: {}", self.file, self.what) };
        let Place { line, column, text } = place;
        let margin = " ".repeat(line.to_string().len());
        let indent = " ".repeat(column.saturating_sub(1));
        writeln!(f, "{}:{line}:{column}: {}", self.file, self.what)?;
        writeln!(f, "{margin} |\n{line} | {text}")?;
        write!(f, "{margin} | {indent}{}", "^".repeat(place.width()))
    }
}

impl Place {
    fn at(location: Location, text: &str) -> Option<Self> {
        let line = usize::try_from(location.line()).ok().filter(|line| *line > 0)?;
        let column = usize::try_from(location.column()).ok()?.max(1);
        let text = text.lines().nth(line - 1)?.trim_end().to_owned();
        Some(Self { line, column, text })
    }

    /// Counts the characters of the word that the mistake begins at, one at least.
    fn width(&self) -> usize {
        let rest: Vec<_> = self.text.chars().skip(self.column - 1).collect();
        let quote = rest.first().copied().filter(|first| matches!(first, '"' | '\''));
        let length = match quote {
            Some(quote) => rest.iter().skip(1).position(|c| *c == quote).map(|end| end + 2),
            None => rest.iter().position(|c| c.is_whitespace() || matches!(c, ':' | ',' | ']' | '}')),
        };
        length.unwrap_or(rest.len()).max(1)
    }
}

/// A configuration's text, with the name people know it by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    /// The file's path, or what stands for it.
    pub(super) name: &'a str,
    /// Its content.
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// Says what the parser found.
    pub(super) fn wrong(self, error: &Error) -> ConfigError {
        self.finding(explain(error), error.location())
    }

    /// Says what the check found.
    pub(super) fn refused(self, problem: &Problem) -> ConfigError {
        self.finding(problem.to_string(), problem.locate(self.text))
    }

    fn finding(self, what: String, location: Option<Location>) -> ConfigError {
        let place = location.and_then(|location| Place::at(location, self.text));
        ConfigError::File(Box::new(Finding { file: self.name.to_owned(), what, place }))
    }
}

/// Returns how files are parsed: the snippets are drawn here.
pub(super) fn options() -> Options {
    serde_saphyr::options! { with_snippet: false }
}

/// Words a parser's error for people, without its place.
pub(super) fn explain(error: &Error) -> String {
    match error.without_snippet() {
        Error::SerdeUnknownField { field, expected, .. } => unknown("key", field, expected),
        Error::SerdeUnknownVariant { variant, expected, .. } => unknown("value", variant, expected),
        Error::SerdeMissingField { field, .. } => format!("missing key \"{field}\""),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("key \"{key}\" appears twice"),
        Error::Message { msg, .. } => msg.clone(),
        Error::InvalidScalar { ty, .. } => format!("expected {}", scalar(ty)),
        Error::Unexpected { expected: "mapping start", .. } => "expected keys with values".to_owned(),
        Error::Unexpected { expected: "sequence start", .. } => "expected a list".to_owned(),
        Error::Unexpected { expected: "string scalar", .. } => "expected a text".to_owned(),
        other => other.render_with_formatter(&Unplaced),
    }
}

fn scalar(kind: &str) -> &str {
    match kind {
        "floating point" => "a number",
        "boolean" => "true or false",
        kind if kind.starts_with('u') => "a whole number, 0 or more",
        kind if kind.starts_with('i') => "a whole number",
        other => other,
    }
}

fn unknown(kind: &str, found: &str, expected: &[&'static str]) -> String {
    match nearest(found, expected) {
        Some(right) => format!("unknown {kind} \"{found}\", did you mean \"{right}\"?"),
        None if expected.is_empty() => format!("unknown {kind} \"{found}\", none is expected here"),
        None => format!("unknown {kind} \"{found}\", expected one of {}", expected.join(", ")),
    }
}

fn nearest(found: &str, expected: &[&'static str]) -> Option<&'static str> {
    let likeness = |right: &&'static str| strsim::normalized_damerau_levenshtein(found, right);
    let best = expected.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) >= ALIKE).then_some(best)
}

/// Words everything else as the parser does, but for the place, which stands in front already.
struct Unplaced;

impl MessageFormatter for Unplaced {
    fn localizer(&self) -> &dyn Localizer {
        self
    }

    fn format_message<'a>(&self, error: &'a Error) -> Cow<'a, str> {
        UserMessageFormatter.format_message(error)
    }
}

impl Localizer for Unplaced {
    fn attach_location<'a>(&self, base: Cow<'a, str>, _: Location) -> Cow<'a, str> {
        base
    }
}
