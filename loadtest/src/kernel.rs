//! What the kernel says of processes and of the machine, read from `/proc`: processor time and memory; and what it tells
//! processes for us. Linux only.

use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal as Number, kill_process};
use thiserror::Error;

/// The kernel's tick in `/proc`: a hundredth of a second on every architecture. Sums of ticks are exact to one tick,
/// because Linux scales them to the scheduler's own nanoseconds.
const TICK: Duration = Duration::from_millis(10);
/// Fields of `/proc/PID/stat` between the command's closing bracket and `utime`.
const BEFORE_UTIME: usize = 11;

/// A process, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(u32);

/// What a process can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `SIGSTOP`: it does nothing at all until it may go on.
    Stop,
    /// `SIGCONT`: it may go on.
    GoOn,
}

/// The kernel did not answer, or not as expected.
#[derive(Debug, Error)]
pub enum KernelError {
    /// The process is gone, or this is not Linux.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// What was to be read.
        path: PathBuf,
        /// Why it could not be.
        source: io::Error,
    },
    /// The file does not look as Linux writes it.
    #[error("{path} holds no {wanted}")]
    Strange {
        /// What was read.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// The process cannot be told anything.
    #[error("cannot signal process {pid}: {source}")]
    Deaf {
        /// Its number.
        pid: u32,
        /// Why not.
        source: io::Error,
    },
}

impl Process {
    /// The process with a number.
    #[must_use]
    pub const fn new(pid: u32) -> Self {
        Self(pid)
    }

    /// The process that asks.
    #[must_use]
    pub fn this() -> Self {
        Self(std::process::id())
    }

    /// Returns the processor time that the process has used so far, its ended threads included.
    ///
    /// # Errors
    /// Fails when the process is gone.
    pub fn processor_time(self) -> Result<Duration, KernelError> {
        let (path, text) = self.read("stat")?;
        process_ticks(&text).map(ticks).ok_or(KernelError::Strange { path, wanted: "utime and stime" })
    }

    /// Returns the processor time that the process's living threads have used so far, to the scheduler's nanosecond.
    ///
    /// # Errors
    /// Fails when the process is gone, or where the kernel keeps no schedule statistics.
    pub fn threads_time(self) -> Result<Duration, KernelError> {
        let path = PathBuf::from(format!("/proc/{}/task", self.0));
        let threads = std::fs::read_dir(&path).map_err(|source| KernelError::Unreadable { path, source })?;
        // A thread may end while the others are read.
        let times = threads.flatten().filter_map(|thread| read(thread.path().join("schedstat")).ok());
        let nanos = times.filter_map(|(_path, text)| text.split_whitespace().next()?.parse::<u64>().ok());
        Ok(Duration::from_nanos(nanos.sum()))
    }

    /// Returns the process and all that descend from it, as far as they still live.
    #[must_use]
    pub fn family(self) -> Vec<Self> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.0)).into_iter().flatten().flatten();
        let named = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
        let pids = |text: String| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>();
        let children: Vec<Self> = named.flat_map(pids).map(Self).collect();
        std::iter::once(self).chain(children.into_iter().flat_map(Self::family)).collect()
    }

    /// Returns the bytes of memory that are resident.
    ///
    /// # Errors
    /// Fails when the process is gone.
    pub fn resident_bytes(self) -> Result<u64, KernelError> {
        let (path, text) = self.read("smaps_rollup")?;
        resident(&text).ok_or(KernelError::Strange { path, wanted: "Rss" })
    }

    /// Tells it something.
    ///
    /// # Errors
    /// Fails when the process is gone, or is not ours.
    pub fn signal(self, signal: Signal) -> Result<(), KernelError> {
        let deaf = |source| KernelError::Deaf { pid: self.0, source };
        let pid = i32::try_from(self.0).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| deaf(io::ErrorKind::NotFound.into()))?;
        let number = match signal {
            Signal::Stop => Number::STOP,
            Signal::GoOn => Number::CONT,
        };
        kill_process(pid, number).map_err(|error| deaf(error.into()))
    }

    fn read(self, name: &str) -> Result<(PathBuf, String), KernelError> {
        read(format!("/proc/{}/{name}", self.0).into())
    }
}

/// Returns the processor time that all processors together have spent busy since the machine started. Most kernels only
/// sample this at their tick, so work in short bursts may be missed; the time of single processes is exact.
///
/// # Errors
/// Fails where there is no `/proc`.
pub fn busy_time() -> Result<Duration, KernelError> {
    let (path, text) = read("/proc/stat".into())?;
    busy_ticks(&text).map(ticks).ok_or(KernelError::Strange { path, wanted: "line of all processors" })
}

/// Counts the processors this process may use.
#[must_use]
pub fn processors() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Returns how many files this process may have open, if there is a limit.
#[must_use]
pub fn open_files_limit() -> Option<usize> {
    let (_path, text) = Process::this().read("limits").ok()?;
    let row = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    row.split_whitespace().next()?.parse().ok()
}

fn read(path: PathBuf) -> Result<(PathBuf, String), KernelError> {
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(source) => Err(KernelError::Unreadable { path, source }),
    }
}

fn ticks(count: u64) -> Duration {
    TICK.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The command's name may hold spaces and brackets, so fields are counted from the last bracket.
fn process_ticks(stat: &str) -> Option<u64> {
    let (_command, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(BEFORE_UTIME);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident(rollup: &str) -> Option<u64> {
    let row = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kibibytes: u64 = row.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Everything but `idle` and `iowait`; guests are counted in `user` already.
fn busy_ticks(stat: &str) -> Option<u64> {
    let row = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Option<Vec<u64>> = row.split_whitespace().take(8).map(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, interrupts, soft_interrupts, stolen] = fields?.try_into().ok()?;
    Some(user + nice + system + interrupts + soft_interrupts + stolen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_brackets_does_not_move_the_fields() {
        let stat = "7 (a) b (c)) S 1 2 3 0 -1 4194304 99 0 0 0 250 50 0 0 20 0 1 0 260625 3133440 388";
        assert_eq!(process_ticks(stat).map(ticks), Some(Duration::from_secs(3)));
        assert_eq!(process_ticks("7 (cut"), None);
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(resident("x [rollup]\nRss:                1752 kB\nPss: 226 kB\n"), Some(1752 * 1024));
        assert_eq!(resident(""), None);
    }

    #[test]
    fn idle_time_is_not_busy() {
        assert_eq!(busy_ticks("cpu  1 2 4 1000 2000 8 16 32 64 128\ncpu0 0 0"), Some(63));
        assert_eq!(busy_ticks("cpu  1 2"), None);
    }

    #[test]
    fn this_process_has_memory_and_has_worked() {
        assert!(Process::this().resident_bytes().unwrap() > 1 << 16);
        assert!(Process::this().processor_time().unwrap() <= busy_time().unwrap());
        assert!(open_files_limit().is_some());
    }

    #[test]
    fn a_process_is_of_its_own_family_and_so_are_its_children() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let family = Process::this().family();
        assert_eq!(family.first(), Some(&Process::this()));
        assert!(family.contains(&Process::new(child.id())));
        assert!(Process::this().threads_time().unwrap() > Duration::ZERO);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        let error = Process::new(u32::MAX).processor_time().unwrap_err();
        assert!(error.to_string().starts_with("cannot read /proc/4294967295/stat: "), "{error}");
    }
}
