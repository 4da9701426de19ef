//! How far a file is: first its bytes, then its sound, as the proxy tells it. Nothing is drawn where nobody watches.

use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use reqwest::Response;
use serde::Deserialize;
use serde_json::Value;

use crate::http::{LONGEST, root_cause};
use crate::words::duration;

/// The type of an answer that tells how far it is.
pub(super) const EVENTS: &str = "text/event-stream";

/// What an event begins with, and what it ends with.
const DATA: &str = "data: ";
const END: &[u8] = b"\n\n";
/// How often the bar moves by itself.
const TICK: Duration = Duration::from_millis(100);

/// How much was heard, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
struct Heard {
    heard: f64,
    duration: Option<f64>,
}

/// The progress of one file, gone with it.
#[derive(Debug)]
pub(super) struct Bar(ProgressBar);

/// Counts the bytes that are sent of it.
#[derive(Debug)]
pub(super) struct Meter(ProgressBar);

impl Bar {
    /// Begins with an upload of so many bytes.
    pub(super) fn of(path: &Path, length: u64) -> Self {
        let bar = ProgressBar::new(length);
        bar.set_style(style("{prefix} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}"));
        bar.set_prefix(path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned());
        Self(bar)
    }

    /// Returns what counts its bytes.
    pub(super) fn meter(&self) -> Meter {
        Meter(self.0.clone())
    }

    /// Shows how much was heard. Where the file does not tell its length, there is no bar to fill.
    fn heard(&self, Heard { heard, duration }: Heard) {
        self.0.set_position(milliseconds(heard));
        match duration {
            Some(duration) => {
                self.0.set_length(milliseconds(duration));
                self.0.set_style(style("{prefix} {wide_bar} {heard} of {length}, {speed} times real time"));
            }
            None => self.0.set_style(style("{prefix} {spinner} {heard}, {speed} times real time")),
        }
    }
}

/// A bar counts whole numbers.
fn milliseconds(seconds: f64) -> u64 {
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Meter {
    /// Counts bytes that were sent.
    pub(super) fn sent(&self, bytes: u64) {
        self.0.inc(bytes);
        if Some(self.0.position()) == self.0.length() {
            self.0.reset_elapsed();
            self.0.set_style(style("{prefix} {spinner} transcribing, {elapsed}"));
            self.0.enable_steady_tick(TICK);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style
        .progress_chars("━╸ ")
        .with_key("heard", |state: &ProgressState, w: &mut dyn std::fmt::Write| {
            let _ = w.write_str(&duration(state.pos() as f64));
        })
        .with_key("length", |state: &ProgressState, w: &mut dyn std::fmt::Write| {
            let _ = w.write_str(&duration(state.len().unwrap_or_default() as f64));
        })
        .with_key("speed", |state: &ProgressState, w: &mut dyn std::fmt::Write| {
            let _ = write!(w, "{:.1}", state.pos() as f64 / 1e3 / state.elapsed().as_secs_f64().max(0.1));
        })
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Reads events to the last one, which is the answer, and shows those before it.
///
/// # Errors
/// Fails in words when the connection breaks, an event is too long, or there is no answer among them.
pub(super) async fn follow(mut reply: Response, bar: &Bar) -> Result<Vec<u8>, String> {
    let mut events = Events::default();
    while let Some(block) = reply.chunk().await.map_err(|error| root_cause(&error))? {
        for event in events.push(&block)? {
            match progress(&event) {
                Some(heard) => bar.heard(heard),
                None => return Ok(event),
            }
        }
    }
    Err("it ended without an answer".to_owned())
}

/// Finds the words of an answer that is an error.
pub(super) fn error(answer: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    answer["err_msg"].as_str().map(str::to_owned)
}

fn progress(event: &[u8]) -> Option<Heard> {
    #[derive(Deserialize)]
    #[serde(tag = "type")]
    enum Event {
        Progress(Heard),
    }
    serde_json::from_slice(event).ok().map(|Event::Progress(heard)| heard)
}

/// Bytes on their way to being events.
#[derive(Debug, Default)]
struct Events {
    buffer: Vec<u8>,
    /// How much of the buffer has no end of an event in it.
    searched: usize,
}

impl Events {
    /// Takes bytes and returns what the events say that they complete. Comments are passed over.
    fn push(&mut self, block: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        if self.buffer.len() + block.len() > LONGEST {
            return Err(format!("an event is longer than {LONGEST} bytes"));
        }
        self.buffer.extend_from_slice(block);
        let mut said = Vec::new();
        while let Some(place) = self.end() {
            let rest = self.buffer.split_off(place + END.len());
            let event = std::mem::replace(&mut self.buffer, rest);
            self.searched = 0;
            said.extend(event[..place].strip_prefix(DATA.as_bytes()).map(<[u8]>::to_vec));
        }
        Ok(said)
    }

    fn end(&mut self) -> Option<usize> {
        let from = self.searched;
        self.searched = self.buffer.len().saturating_sub(END.len() - 1);
        self.buffer[from..].windows(END.len()).position(|window| window == END).map(|place| from + place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_they_come() {
        let text = b": a comment\n\ndata: {\"type\":\"Progress\",\"heard\":30.5,\"duration\":null}\n\ndata: {\"results\":1}\n\n";
        for size in [1, 7, text.len()] {
            let mut events = Events::default();
            let heard: Vec<_> = text.chunks(size).flat_map(|block| events.push(block).unwrap()).collect();
            assert_eq!(heard.len(), 2, "{size}");
            assert_eq!(progress(&heard[0]), Some(Heard { heard: 30.5, duration: None }));
            assert_eq!(progress(&heard[1]), None);
        }
    }

    #[test]
    fn an_error_is_told_from_a_transcript() {
        assert_eq!(error(br#"{"err_code":"x","err_msg":"no room","request_id":"y"}"#), Some("no room".to_owned()));
        assert_eq!(error(br#"{"metadata":{},"results":{}}"#), None);
    }
}
