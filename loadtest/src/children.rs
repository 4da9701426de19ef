//! Crosspoint's own processes as children of a test or a benchmark: each runs a role, says on standard output where it
//! listens, and ends when its standard input closes. What it logs goes to a file, whose end is shown if something fails.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::kernel::Process;

/// How long a child may take to say that it is ready.
const READY: Duration = Duration::from_secs(30);
/// The longest line a child may say, in bytes.
const LINE: u64 = 64 << 10;
/// How much of a log is shown, in bytes.
const TAIL: i64 = 2_000;

/// What a router says when it is ready.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RouterReady {
    /// Where proxies and agents call.
    pub grpc: String,
    /// Where people and the console ask.
    pub admin: String,
    /// Where `/metrics` is.
    pub metrics: String,
}

/// What a proxy says when it is ready.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ProxyReady {
    /// Where callers call.
    pub address: String,
    /// Where `/metrics` is.
    pub metrics: String,
}

/// What a node, which is an engine with its agent, says when it is ready.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NodeReady {
    /// The node's name.
    pub name: String,
    /// The pool it belongs to.
    pub pool: String,
    /// Where its engine listens.
    pub engine: String,
}

/// A child could not be started, or did not do as it should.
#[derive(Debug, Error)]
pub enum ChildError {
    /// A file of the children's folder cannot be written.
    #[error("cannot write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The program cannot be started.
    #[error("cannot start {binary} as {name}: {source}")]
    Start {
        /// The program.
        binary: PathBuf,
        /// The child.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// The child did not say where it listens.
    #[error("{name} is not ready: {why}{log}")]
    NotReady {
        /// The child.
        name: String,
        /// What it did instead.
        why: String,
        /// The end of its log, after a line break, or nothing.
        log: String,
    },
    /// The child cannot be waited for.
    #[error("cannot wait for {name}: {source}")]
    Wait {
        /// The child.
        name: String,
        /// Why not.
        source: io::Error,
    },
}

/// Starts children of one program and keeps their configuration and logs in a folder that goes when this does.
#[derive(Debug)]
pub struct Children {
    binary: PathBuf,
    folder: TempDir,
}

impl Children {
    /// Makes the folder for the children of `binary`.
    ///
    /// # Errors
    /// Fails when there is no room for temporary files.
    pub fn of(binary: impl Into<PathBuf>) -> Result<Self, ChildError> {
        let folder = tempfile::Builder::new().prefix("crosspoint-").tempdir();
        let folder = folder.map_err(|source| ChildError::File { path: std::env::temp_dir(), source })?;
        Ok(Self { binary: binary.into(), folder })
    }

    /// Writes a file, such as a configuration, that lives as long as the folder.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, ChildError> {
        let path = self.folder.path().join(name);
        match std::fs::write(&path, text) {
            Ok(()) => Ok(path),
            Err(source) => Err(ChildError::File { path, source }),
        }
    }

    /// Returns the folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a child and waits until it says that it is ready. `name` is for its log and for messages; a second child
    /// of the same name writes to the same log.
    ///
    /// # Errors
    /// Fails when the child cannot be started, ends at once, or says nothing sensible within 30 s.
    pub async fn start<R: DeserializeOwned>(&self, name: &str, arguments: &[&str]) -> Result<Child<R>, ChildError> {
        let log = self.folder.path().join(format!("{name}.log"));
        let stderr = File::options().append(true).create(true).open(&log);
        let stderr = stderr.map_err(|source| ChildError::File { path: log.clone(), source })?;
        let failed = |source| ChildError::Start { binary: self.binary.clone(), name: name.to_owned(), source };
        let mut process = Command::new(&self.binary)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let stdout = stdout.ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        let mut stdout = BufReader::new(stdout);
        match first_line(&mut stdout).await {
            Ok(ready) => Ok(Child { name: name.to_owned(), ready, process, stdin, log, _stdout: stdout }),
            Err(why) => Err(ChildError::NotReady { name: name.to_owned(), why, log: tail(&log) }),
        }
    }
}

/// Reads the one line that a child says.
async fn first_line<R: DeserializeOwned>(stdout: &mut BufReader<ChildStdout>) -> Result<R, String> {
    let mut line = String::new();
    match timeout(READY, stdout.take(LINE).read_line(&mut line)).await {
        Err(_elapsed) => Err(format!("it said nothing for {} s", READY.as_secs())),
        Ok(Err(error)) => Err(format!("its output cannot be read: {error}")),
        Ok(Ok(0)) => Err("it ended without a word".to_owned()),
        Ok(Ok(_)) => serde_json::from_str(&line).map_err(|error| format!("it said {:?}: {error}", line.trim_end())),
    }
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Child<R> {
    name: String,
    ready: R,
    process: tokio::process::Child,
    stdin: Option<ChildStdin>,
    log: PathBuf,
    /// Kept so that the child can go on writing.
    _stdout: BufReader<ChildStdout>,
}

impl<R> Child<R> {
    /// Returns what the child said when it was ready.
    pub const fn ready(&self) -> &R {
        &self.ready
    }

    /// Returns the process, while it has not been waited for.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        self.process.id().map(Process::new)
    }

    /// Returns the end of what the child logged.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// Asks the child to end and waits for it; kills it once `patience` is over.
    ///
    /// # Errors
    /// Fails when the child cannot be waited for.
    pub async fn stop(mut self, patience: Duration) -> Result<ExitStatus, ChildError> {
        drop(self.stdin.take());
        match timeout(patience, self.process.wait()).await {
            Ok(ended) => ended.map_err(|source| ChildError::Wait { name: self.name, source }),
            Err(_elapsed) => self.kill().await,
        }
    }

    /// Kills the child, as a crash or the kernel would, and waits until it is gone.
    ///
    /// # Errors
    /// Fails when the child cannot be waited for.
    pub async fn kill(mut self) -> Result<ExitStatus, ChildError> {
        let killed = match self.process.start_kill() {
            Ok(()) => self.process.wait().await,
            Err(source) => Err(source),
        };
        killed.map_err(|source| ChildError::Wait { name: self.name, source })
    }
}

/// Reads the end of a log; it is for people, so what cannot be read is left out.
fn tail(log: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
        file.seek(SeekFrom::End(-length.min(TAIL)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    };
    match read() {
        Ok(text) if !text.is_empty() => format!("\n{text}"),
        Ok(_) | Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = r#"echo '{"role":"node","pid":1,"name":"a","pool":"b","engine":"c"}'"#;

    async fn start(script: &str) -> Result<Child<NodeReady>, ChildError> {
        Children::of("/bin/sh")?.start("shell", &["-c", script]).await
    }

    #[tokio::test]
    async fn a_child_says_where_it_listens_and_ends_when_its_input_closes() {
        let child = start(&format!("{NODE}; cat; exit 3")).await.unwrap();
        assert_eq!(child.ready().engine, "c");
        assert!(child.process().unwrap().resident_bytes().unwrap() > 0);
        assert_eq!(child.stop(Duration::from_secs(20)).await.unwrap().code(), Some(3));
    }

    #[tokio::test]
    async fn a_child_that_will_not_end_is_killed() {
        let child = start(&format!("{NODE}; exec sleep 600")).await.unwrap();
        assert_eq!(child.stop(Duration::from_millis(1)).await.unwrap().code(), None);
    }

    #[tokio::test]
    async fn a_child_that_fails_shows_the_end_of_its_log() {
        let error = start("echo 'port 7400 is taken' >&2; exit 1").await.unwrap_err();
        assert_eq!(error.to_string(), "shell is not ready: it ended without a word\nport 7400 is taken");
        let error = start("echo hello").await.unwrap_err();
        assert!(error.to_string().starts_with("shell is not ready: it said \"hello\": expected"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let error = Children::of("/no/such/program").unwrap().start::<NodeReady>("node", &[]).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot start /no/such/program as node: "), "{error}");
    }
}
