//! `crosspoint keys`.

mod create;
mod list;
mod revoke;

use clap::Subcommand;

const EXAMPLES: &str = "\
Examples:
  crosspoint keys create --tenant acme --label \"web shop\"
  crosspoint keys create --tenant acme --scope listen --residency eu --streams 20 --expires 90d
  crosspoint keys list
  crosspoint keys revoke 7Hq2mXc04TbZ
A key is replaced without a gap: create the new one, use it everywhere, then revoke the old one.";

/// The arguments of `crosspoint keys`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key; it is shown once
    Create(create::Args),
    /// List the keys: whose they are and what they grant
    List(list::Args),
    /// Revoke a key: nothing new within 5 s, and no open stream within 30 s
    Revoke(revoke::Args),
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Create(args) => args.run().await,
            Command::List(args) => args.run().await,
            Command::Revoke(args) => args.run().await,
        }
    }
}
