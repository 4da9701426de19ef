//! How far a benchmark is: one bar per phase on a terminal, nothing in a pipe.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

/// How often a bar moves.
const STEP: Duration = Duration::from_millis(200);

/// Where progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// On standard error, if that is a terminal.
    Shown,
    /// Nowhere.
    Hidden,
}

impl Progress {
    /// Starts the bar of a phase that has no known length.
    pub(crate) fn phase(self, name: impl Into<String>) -> Phase {
        self.begin(name, None)
    }

    /// Starts the bar of a phase that lasts for a known time.
    pub(crate) fn timed(self, name: impl Into<String>, length: Duration) -> Phase {
        self.begin(name, Some(length))
    }

    fn begin(self, name: impl Into<String>, length: Option<Duration>) -> Phase {
        let target = match self {
            Self::Shown => ProgressDrawTarget::stderr(),
            Self::Hidden => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(length.map(|length| length.as_secs()), target);
        let template = length.map_or("{spinner} {msg}", |_| "{spinner} {msg} [{bar:30}] {pos}/{len} s");
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(name.into());
        bar.enable_steady_tick(STEP);
        Phase(bar)
    }
}

/// The bar of one phase; it goes away when the phase is over.
pub(crate) struct Phase(ProgressBar);

impl Phase {
    /// Says how it goes, in front of the bar.
    pub(crate) fn say(&self, words: impl Into<String>) {
        self.0.set_message(words.into());
        self.0.set_position(self.0.elapsed().as_secs());
    }

    /// Waits until `end` while the bar follows the time.
    pub(crate) async fn follow(&self, end: Instant) {
        while Instant::now() < end {
            self.0.set_position(self.0.elapsed().as_secs());
            tokio::time::sleep_until(end.min(Instant::now() + STEP)).await;
        }
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
