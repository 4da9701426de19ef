//! The decision log: a sample of decisions as lines of JSON, with the fleets that they were made on, so that any of them can
//! be made again. A line is a fleet, a policy or a decision; a decision names its fleet by version and its policy by hash.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use process::Shutdown;
use scheduler::{Decision, DecisionRecord, FleetSnapshot, FleetView, Policy, Ratio, Request, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tracing::warn;

use crate::metrics;

/// Lines that may wait to be written; what comes then is left out and counted.
const WAITING: usize = 256;
/// A fleet is written at most this often; decisions in between are sampled only if they were made on it.
const FLEET_EVERY: Duration = Duration::from_secs(1);

/// Where decisions are written, and how many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionLogConfig {
    /// The file; lines are added to what is there.
    pub path: PathBuf,
    /// The share of decisions that is written.
    #[serde(default = "DecisionLogConfig::usual_sample")]
    pub sample: Ratio,
}

impl DecisionLogConfig {
    fn usual_sample() -> Ratio {
        Ratio::clamped(0.01)
    }
}

/// Says that decisions cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write decisions to {path}: {cause}", path = path.display())]
pub struct DecisionLogError {
    path: PathBuf,
    cause: std::io::Error,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Policy { hash: scheduler::PolicyHash, policy: Box<Policy> },
    Fleet(Arc<FleetSnapshot>),
    Decision(Box<DecisionRecord>),
}

/// A sample of decisions on its way to a file.
#[derive(Debug)]
pub(crate) struct DecisionLog {
    sample: Ratio,
    lines: mpsc::Sender<Line>,
    fleet: Mutex<Option<(Arc<FleetSnapshot>, Instant)>>,
}

/// The file's end of a log.
#[derive(Debug)]
pub(crate) struct DecisionFile {
    file: File,
    lines: mpsc::Receiver<Line>,
}

impl DecisionLog {
    /// Opens the file, and writes the policy that decisions are made by.
    pub(crate) fn open(config: &DecisionLogConfig, policy: &Policy) -> Result<(Self, DecisionFile), DecisionLogError> {
        let failed = |cause| DecisionLogError { path: config.path.clone(), cause };
        let file = append(&config.path).map_err(failed)?;
        let (lines, receiver) = mpsc::channel(WAITING);
        // The channel was made just now and has room.
        let _ = lines.try_send(Line::Policy { hash: policy.hash(), policy: Box::new(policy.clone()) });
        let log = Self { sample: config.sample, lines, fleet: Mutex::new(None) };
        Ok((log, DecisionFile { file, lines: receiver }))
    }

    /// Writes the policy that decisions are made by from now on.
    pub(crate) fn law(&self, policy: &Policy) {
        let line = Line::Policy { hash: policy.hash(), policy: Box::new(policy.clone()) };
        if self.lines.try_send(line).is_err() {
            metrics::decision_left_out();
        }
    }

    /// Makes a decision and writes it, if it belongs to the sample.
    pub(crate) fn record(
        &self,
        view: &FleetView,
        request: &Request,
        policy: &Policy,
        at: (Timestamp, u64),
    ) -> Option<Decision> {
        if rand::random::<f32>() >= self.sample.get() {
            return None;
        }
        let fleet = self.fleet_of(view)?;
        let record = DecisionRecord::make(&fleet, view, request, policy, at);
        let decision = record.decision.clone();
        if self.lines.try_send(Line::Decision(Box::new(record))).is_err() {
            metrics::decision_left_out();
        }
        Some(decision)
    }

    /// Returns the record of a fleet, which is written when it was not; nothing when another was written just now.
    fn fleet_of(&self, view: &FleetView) -> Option<Arc<FleetSnapshot>> {
        let mut last = self.fleet.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((fleet, written_at)) = &*last {
            if fleet.version() == view.version() {
                return Some(Arc::clone(fleet));
            }
            if written_at.elapsed() < FLEET_EVERY {
                return None;
            }
        }
        let fleet = Arc::new(view.record());
        self.lines.try_send(Line::Fleet(Arc::clone(&fleet))).ok()?;
        *last = Some((Arc::clone(&fleet), Instant::now()));
        Some(fleet)
    }
}

fn append(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Writes lines until the drain begins, and then those that still wait.
pub(crate) async fn write(file: DecisionFile, shutdown: Shutdown) {
    let DecisionFile { file, mut lines } = file;
    let mut file = BufWriter::new(file);
    loop {
        let line = tokio::select! {
            biased;
            line = lines.recv() => line,
            () = shutdown.begun() => {
                // From now on nobody can add one, and the last is followed by nothing.
                lines.close();
                lines.recv().await
            }
        };
        let Some(line) = line else { return };
        let written = tokio::task::block_in_place(|| put(&mut file, &line));
        if let Err(error) = written {
            warn!(%error, "decisions are no longer written");
            return;
        }
    }
}

fn put(file: &mut BufWriter<File>, line: &Line) -> std::io::Result<()> {
    serde_json::to_writer(&mut *file, line)?;
    file.write_all(b"\n")?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn lines_that_wait_when_the_drain_begins_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let config = DecisionLogConfig { path: folder.path().join("decisions.jsonl"), sample: Ratio::clamped(1.0) };
        let (log, file) = DecisionLog::open(&config, &Policy::default()).unwrap();
        (1..WAITING).for_each(|_line| log.law(&Policy::default()));
        let shutdown = Shutdown::new();
        shutdown.begin();
        write(file, shutdown).await;
        assert_eq!(std::fs::read_to_string(&config.path).unwrap().lines().count(), WAITING);
    }
}
