//! Roles: what makes a library's `Config → App → run` a process: logs, a word when it is ready, a drain with a deadline.

use std::path::PathBuf;
use std::time::Duration;

use process::Shutdown;
use serde::Serialize;

use crate::config::Config;
use crate::terminal;

/// How long a role without open sessions may take to end.
pub(crate) const QUICK_DRAIN: Duration = Duration::from_secs(5);

/// What every role's command takes.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line, independent of each other")]
pub(crate) struct RoleArgs {
    /// Configuration file; without it, the default (`crosspoint config print`)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Say where it listens as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// End when standard input closes: for processes that belong to another one
    #[arg(long, hide = true)]
    pub(crate) child: bool,
}

impl RoleArgs {
    /// Reads the configuration and starts the logs.
    pub(crate) fn start(&self) -> anyhow::Result<Config> {
        let config = Config::load(self.config.as_deref())?;
        process::logs::start(&config.logs)?;
        Ok(config)
    }

    /// Says that the role is ready and where.
    pub(crate) fn announce<A: Serialize>(&self, addresses: &A, words: &str) -> anyhow::Result<()> {
        let line = if self.json { serde_json::to_string(addresses)? } else { words.to_owned() };
        Ok(terminal::print(&line)?)
    }

    /// Waits for a reason to end, then drains until the deadline or until somebody insists.
    pub(crate) async fn until_done(&self, shutdown: &Shutdown, deadline: Duration) {
        tokio::select! {
            () = shutdown.signalled() => {}
            () = parent_gone(), if self.child => {}
        }
        tokio::select! {
            _cut = shutdown.drain(deadline) => {}
            () = Shutdown::insisted() => {
                shutdown.cut().await;
            }
        }
    }
}

/// Resolves when standard input closes, as it does when the parent dies, however it dies. A thread of its own reads:
/// the runtime would not end before a read of its own did.
pub(crate) async fn parent_gone() {
    let (open, gone) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _open = open;
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    });
    let _ = gone.await;
}

/// Makes a key for development: accepted from this machine only.
pub(crate) fn new_dev_key() -> store::Secret {
    let random: u128 = rand::random();
    store::Secret::new(format!("cp_dev_{random:032x}"))
}
