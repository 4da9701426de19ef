//! Standard output and standard error: answers go to the one, everything about them to the other. Colours only where
//! somebody looks.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use crate::config;

/// How a piece of text stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Of interest to few.
    Dim,
    /// What the eye should find first.
    Bold,
    /// Bad news.
    Red,
}

/// Colours text, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Paint {
    /// With escape codes.
    Colour,
    /// Without.
    Plain,
}

impl Paint {
    /// Returns what suits standard output.
    pub(crate) fn stdout() -> Self {
        Self::suits(io::stdout().is_terminal())
    }

    /// Returns what suits standard error.
    pub(crate) fn stderr() -> Self {
        Self::suits(is_watched())
    }

    fn suits(terminal: impl Into<bool>) -> Self {
        if terminal.into() && config::colours_wanted() { Self::Colour } else { Self::Plain }
    }

    /// Returns the text in a style.
    pub(crate) fn paint(self, style: Style, text: impl Display) -> String {
        let code = match style {
            Style::Dim => 2,
            Style::Bold => 1,
            Style::Red => 31,
        };
        match self {
            Self::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_string(),
        }
    }
}

/// Tells whether somebody watches standard error.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Writes an answer, which ends with a line break already or is given one.
///
/// # Errors
/// Fails when standard output is gone.
pub(crate) fn print(answer: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(answer.as_bytes())?;
    if !answer.is_empty() && !answer.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Writes a JSON answer, indented.
///
/// # Errors
/// Fails when standard output is gone.
pub(crate) fn print_json(answer: &serde_json::Value) -> io::Result<()> {
    print(&format!("{answer:#}"))
}

/// Writes a JSON answer on a line of its own.
///
/// # Errors
/// Fails when standard output is gone.
pub(crate) fn print_json_line(answer: &serde_json::Value) -> io::Result<()> {
    print(&answer.to_string())
}

/// Writes a remark. Where it goes nobody may be listening, and that is fine.
pub(crate) fn note(remark: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", remark.trim_end());
}

/// Writes an error with its causes.
pub(crate) fn complain(error: &anyhow::Error) {
    note(&format!("{} {error:#}", Paint::stderr().paint(Style::Red, "error:")));
}

/// Tells whether a command failed only because nobody reads its output any more.
pub(crate) fn is_closed(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kinds.into_iter().any(|kind| kind == io::ErrorKind::BrokenPipe)
}
