//! The subcommands: one module each, with its arguments and what it does.

mod config;
mod explain;
mod nodes;
mod pools;
mod sessions;
mod transcribe;

use clap::Subcommand;

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Turn audio files into text
    Transcribe(transcribe::Args),
    /// List the nodes: what each serves, how full and how fast it is
    Nodes(nodes::Args),
    /// List the pools: where they are, what they cost, how full they are
    Pools(pools::Args),
    /// List the sessions: who served them, and what they cost
    Sessions(sessions::Args),
    /// Show why a session went where it went, or where one would go
    Explain(explain::Args),
    /// Print, check or describe the configuration
    Config(config::Args),
}

impl Command {
    /// Runs the command to its end.
    ///
    /// # Errors
    /// Fails as the command does; the message is for people.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Transcribe(args) => Box::pin(args.run()).await,
            Self::Nodes(args) => args.run().await,
            Self::Pools(args) => args.run().await,
            Self::Sessions(args) => args.run().await,
            Self::Explain(args) => args.run().await,
            Self::Config(args) => args.run(),
        }
    }
}
