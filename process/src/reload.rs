//! Reload: a process reads its configuration again on SIGHUP and when the file changes. What cannot be understood leaves the
//! old one in force.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use crate::Shutdown;

const RELOADS: &str = "crosspoint_config_reloads_total";
const SUCCESS: &str = "crosspoint_config_last_reload_success";
const HASH: &str = "crosspoint_config_hash";

/// How often the file is looked at. A change counts when it was seen twice, for a file may be half written at first.
const LOOK: Duration = Duration::from_secs(1);
/// Whole numbers up to here are exact in a metric.
const EXACT: u64 = (1 << 48) - 1;

/// A number for what is in force: equal in processes that were configured alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigHash(pub u64);

impl ConfigHash {
    fn show(self) {
        gauge!(HASH).set((self.0 & EXACT) as f64);
    }
}

/// When and how large a file was.
type Stamp = Option<(i64, i64, u64, u64)>;

fn stamp(file: &Path) -> Stamp {
    let about = std::fs::metadata(file).ok()?;
    Some((about.mtime(), about.mtime_nsec(), about.size(), about.ino()))
}

/// Follows `file`, where there is one, and SIGHUP, until the drain begins. `read` reads the configuration, puts it in force and
/// returns its hash, or says what is wrong and where; `began` is the hash of what this process began with.
pub async fn follow<R>(file: Option<PathBuf>, began: ConfigHash, mut read: R, shutdown: Shutdown)
where
    R: FnMut() -> Result<ConfigHash, String> + Send,
{
    describe();
    began.show();
    let mut watch = Watch::new(file);
    loop {
        let cause = tokio::select! {
            () = shutdown.begun() => return,
            cause = watch.next() => cause,
        };
        match read() {
            Ok(hash) => {
                counter!(RELOADS, "outcome" => "applied").increment(1);
                gauge!(SUCCESS).set(1.0);
                hash.show();
                info!(cause, hash = format!("{:012x}", hash.0 & EXACT), "configuration read again");
            }
            Err(problem) => {
                counter!(RELOADS, "outcome" => "failed").increment(1);
                gauge!(SUCCESS).set(0.0);
                error!(cause, %problem, "configuration not changed: the new one cannot be used");
            }
        }
    }
}

fn describe() {
    describe_counter!(RELOADS, "times that the configuration was read again, by what became of it");
    describe_gauge!(SUCCESS, "1 when the configuration was last read without a mistake, 0 otherwise");
    describe_gauge!(
        HASH,
        "a number for the configuration in force, of the keys that may change while the process runs"
    );
    for outcome in ["applied", "failed"] {
        counter!(RELOADS, "outcome" => outcome).absolute(0);
    }
    gauge!(SUCCESS).set(1.0);
}

/// What may make a process read its configuration again.
struct Watch {
    file: Option<PathBuf>,
    read: Stamp,
    seen: Stamp,
    hangups: Option<Signal>,
    looks: tokio::time::Interval,
}

impl Watch {
    fn new(file: Option<PathBuf>) -> Self {
        let hangups = signal(SignalKind::hangup()).inspect_err(|error| warn!(%error, "cannot listen for SIGHUP")).ok();
        let read = file.as_deref().and_then(stamp);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { file, read, seen: read, hangups, looks }
    }

    /// Waits for the next cause, and names it.
    async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                () = hangup(&mut self.hangups) => {
                    self.read = self.file.as_deref().and_then(stamp);
                    return "SIGHUP";
                }
                _ = self.looks.tick() => if self.has_changed() {
                    return "file changed";
                }
            }
        }
    }

    /// A file that is not there may be about to be replaced.
    fn has_changed(&mut self) -> bool {
        let Some(file) = &self.file else { return false };
        let now = stamp(file);
        let settled = now.is_some() && now == self.seen;
        self.seen = now;
        if settled && now != self.read {
            self.read = now;
            return true;
        }
        false
    }
}

async fn hangup(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_counts_once_and_only_when_the_file_has_settled() {
        let path = std::env::temp_dir().join(format!("crosspoint-reload-{}", std::process::id()));
        std::fs::write(&path, "a").unwrap();
        let mut watch = Watch::new(Some(path.clone()));
        assert!(!watch.has_changed());
        std::fs::write(&path, "longer").unwrap();
        assert_eq!([watch.has_changed(), watch.has_changed(), watch.has_changed()], [false, true, false]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!([watch.has_changed(), watch.has_changed()], [false, false]);
        std::fs::write(&path, "back again").unwrap();
        assert_eq!([watch.has_changed(), watch.has_changed()], [false, true]);
        std::fs::remove_file(&path).unwrap();
    }
}
