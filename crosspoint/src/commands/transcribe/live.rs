//! A stream on the screen: what was said stands, what is being said is dim below it, and a bar tells how far the audio
//! is. Where nobody watches, only what was said is written.

use std::io;
use std::str::FromStr;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::terminal::{Paint, Style, note, print};

/// How fast audio is sent, in seconds of audio per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// So many times the speed of speech.
    Times(f64),
    /// As fast as the proxy takes it.
    Unbounded,
}

impl FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(0.0) => Ok(Self::Unbounded),
            Ok(factor) if (0.01..=1000.0).contains(&factor) => Ok(Self::Times(factor)),
            Ok(_) | Err(_) => Err(format!("expected 0, or a factor from 0.01 to 1000, got {text:?}")),
        }
    }
}

impl Pace {
    /// Waits until audio up to `position` would have been spoken, had it begun at `begin`.
    pub(super) async fn keep(self, begin: Instant, position: Duration) {
        match self {
            Self::Times(factor) => tokio::time::sleep_until(begin + position.div_f64(factor)).await,
            Self::Unbounded => {}
        }
    }
}

/// What becomes of finals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sink {
    /// They are written at once.
    Print,
    /// They are kept for later.
    Keep,
}

/// What becomes of interims where nobody watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interims {
    /// Nothing.
    Hidden,
    /// Each is a remark of its own.
    Lines,
}

/// What becomes of the text of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Show {
    /// Of finals.
    pub(super) finals: Sink,
    /// Of interims.
    pub(super) interims: Interims,
}

/// The screen during one stream.
#[derive(Debug)]
pub(super) struct Screen {
    bar: ProgressBar,
    total: Duration,
    show: Show,
}

impl Screen {
    /// Shows a stream of so much audio.
    pub(super) fn new(total: Duration, show: Show) -> Self {
        let bar = ProgressBar::new(milliseconds(total));
        let style = ProgressStyle::with_template("{msg}\n{bar:30} {prefix}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ "));
        Self { bar, total, show }
    }

    /// Moves the bar to a position in the audio.
    pub(super) fn sent(&self, position: Duration) {
        self.bar.set_position(milliseconds(position));
        self.bar.set_prefix(format!("{} / {}", clock(position), clock(self.total)));
    }

    /// Shows what is being said.
    pub(super) fn interim(&self, said: &str) {
        let said = Paint::stderr().paint(Style::Dim, printable(said));
        if self.show.interims == Interims::Lines && self.bar.is_hidden() && self.bar.message() != said {
            note(&format!("… {said}"));
        }
        self.bar.set_message(said);
    }

    /// Writes a remark beside what was said.
    pub(super) fn remark(&self, text: &str) {
        self.bar.suspend(|| note(text));
    }

    /// Writes what was said.
    ///
    /// # Errors
    /// Fails when standard output is gone.
    pub(super) fn said(&self, said: &str) -> io::Result<()> {
        self.bar.set_message("");
        match self.show.finals {
            Sink::Print if !said.is_empty() => self.bar.suspend(|| print(&printable(said))),
            Sink::Print | Sink::Keep => Ok(()),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// `1:05`.
pub(super) fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

/// What comes from an engine must not move the cursor.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn audio_is_sent_at_the_pace_that_was_asked_for() {
        let spent = async |pace: &str| {
            let begin = Instant::now();
            pace.parse::<Pace>().unwrap().keep(begin, Duration::from_secs(6)).await;
            begin.elapsed().as_secs()
        };
        assert_eq!([spent("1").await, spent("2.0").await, spent("0").await], [6, 3, 0]);
    }

    #[test]
    fn a_pace_out_of_range_is_refused() {
        for text in ["-1", "NaN", "inf", "fast", "1e9"] {
            assert!(text.parse::<Pace>().unwrap_err().contains(text));
        }
    }
}
