//! The command: one binary for every role and every question about them.
//!
//! * [`commands`]: one module per subcommand.
//! * [`roles`]: what makes a library's app a process.
//! * [`config`]: the configuration file and the environment over it. [`reload`]: what of it changes while a process runs.
//! * [`admin`]: what the router answers. [`terminal`] and [`table`]: how answers look.

mod admin;
mod commands;
mod config;
mod explanation;
mod http;
mod reload;
mod roles;
mod table;
mod terminal;
mod words;

use std::process::ExitCode;

use clap::Parser;

use commands::Command;
use config::ConfigError;

/// The exit code for bad configuration, as `sysexits.h` has it.
const BAD_CONFIGURATION: u8 = 78;

/// One front door to GPU pools for speech.
#[derive(Debug, Parser)]
#[command(name = "crosspoint", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(Cli::parse().command.run()).await {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough: `crosspoint sessions | head`.
        Err(error) if terminal::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain(&error);
            let bad_configuration = error.chain().any(|cause| cause.is::<ConfigError>());
            if bad_configuration { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::FAILURE }
        }
    }
}
