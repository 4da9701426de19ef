//! One process of ours: it says where it listens, ends when its standard input closes, and dies with the test.

use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child as Process, Command};
use tokio::time::timeout;

use super::{until, within};

/// The configuration file in a process's own folder.
const CONFIG: &str = "crosspoint.yaml";

/// How a process is started: arguments, a configuration of its own, variables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start {
    arguments: Vec<String>,
    config: Option<String>,
    variables: Vec<(String, String)>,
}

impl Start {
    /// Runs a subcommand.
    pub(crate) fn of(arguments: &[&str]) -> Self {
        Self::default().with(arguments)
    }

    /// Adds arguments.
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Adds a configuration file of these lines.
    pub(crate) fn config(self, yaml: impl Into<String>) -> Self {
        Self { config: Some(yaml.into()), ..self }
    }

    /// Adds a variable.
    pub(crate) fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Starts it and waits for the line in which it says that it is ready.
    pub(crate) async fn child<R: DeserializeOwned>(self) -> anyhow::Result<(Child, R)> {
        let (mut command, folder) = self.with(&["--json", "--child"]).command()?;
        let log = folder.path().join("log");
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log)?)
            .kill_on_drop(true)
            .spawn()?;
        let mut stdout = BufReader::new(process.stdout.take().context("a standard output")?);
        let child = Child { process, log, folder };
        let mut line = String::new();
        within("word of a child", stdout.read_line(&mut line)).await??;
        let ready = serde_json::from_str(&line);
        let ready = ready.with_context(|| format!("the child said {line:?} and logged: {}", child.log()))?;
        Ok((child, ready))
    }

    /// Runs it to its end.
    pub(crate) async fn output(self) -> anyhow::Result<Output> {
        within("end of a command", self.output_within(Duration::MAX)).await?
    }

    /// Runs it to its end, which may take this long.
    pub(crate) async fn output_within(self, patience: Duration) -> anyhow::Result<Output> {
        let (mut command, _folder) = self.command()?;
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        Ok(timeout(patience, output).await.context("a command that ends")??)
    }

    fn command(&self) -> anyhow::Result<(Command, TempDir)> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_crosspoint"));
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value))).args(&self.arguments);
        if let Some(yaml) = &self.config {
            let file = folder.path().join(CONFIG);
            std::fs::write(&file, yaml)?;
            command.arg("--config").arg(file);
        }
        Ok((command, folder))
    }
}

/// A running process; dropping it kills it, and then its own children find their standard inputs closed.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    log: PathBuf,
    folder: TempDir,
}

impl Child {
    /// Returns what it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Replaces its configuration file.
    pub(crate) fn rewrite(&self, yaml: &str) -> anyhow::Result<()> {
        Ok(std::fs::write(self.folder.path().join(CONFIG), yaml)?)
    }

    /// Tells whether it is still there.
    pub(crate) fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.process.try_wait()?.is_none())
    }

    /// Closes its standard input and waits for its end.
    pub(crate) async fn close(mut self) -> anyhow::Result<ExitStatus> {
        drop(self.process.stdin.take());
        Ok(within("end of a child", self.process.wait()).await??)
    }
}

/// Kills a process as the kernel would, and waits until it is gone.
pub(crate) async fn kill(pid: u32) -> anyhow::Result<()> {
    let killed = Command::new("/bin/sh").args(["-c", &format!("kill -9 {pid}")]).status().await?;
    anyhow::ensure!(killed.success(), "cannot kill {pid}");
    until("end of a killed process", async || Ok(is_gone(pid).then_some(()))).await
}

/// Sends a signal: `STOP` and `CONT`, as an overloaded host does.
pub(crate) async fn signal(pid: u32, name: &str) -> anyhow::Result<()> {
    let sent = Command::new("/bin/sh").args(["-c", &format!("kill -{name} {pid}")]).status().await?;
    anyhow::ensure!(sent.success(), "cannot send {name} to {pid}");
    Ok(())
}

/// A process whose parent has not asked for its exit status yet, a zombie, is gone too.
pub(crate) fn is_gone(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.trim_start().starts_with('Z'))
}
