//! `crosspoint config`: print, check, describe.

use std::path::PathBuf;

use crate::config::{Config, DEFAULT_FILE, markdown};
use crate::terminal::{print, print_json};

const EXAMPLES: &str = "\
Examples:
  crosspoint config print > crosspoint.yaml     begin with the commented default
  crosspoint config check crosspoint.yaml       exits with 78 if something is wrong
  crosspoint config schema                      for editors: JSON Schema
  CROSSPOINT__LOGS__FILTER=debug crosspoint config print crosspoint.yaml";

/// The arguments of `crosspoint config`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print the default file with its comments; with FILE, what is in force: FILE with the environment over it
    #[command(after_help = EXAMPLES)]
    Print {
        /// The file to print
        file: Option<PathBuf>,
    },
    /// Check a file, and the environment over it
    #[command(after_help = EXAMPLES)]
    Check {
        /// The file to check; without it, the default
        file: Option<PathBuf>,
    },
    /// Print the JSON Schema of the file
    #[command(after_help = EXAMPLES)]
    Schema,
    /// Print the page of documentation that the default file makes
    #[command(hide = true)]
    Reference,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Print { file: None } => print(DEFAULT_FILE)?,
            Action::Print { file: Some(file) } => {
                let config = Config::load(Some(&file))?;
                let shown = Config { store: config.store.without_passwords(), ..config };
                print(&serde_saphyr::to_string(&shown)?)?;
            }
            Action::Check { file } => {
                Config::load(file.as_deref())?;
                let name = file.map_or_else(|| "default configuration".to_owned(), |file| file.display().to_string());
                print(&format!("{name}: ok"))?;
            }
            Action::Reference => print(&markdown())?,
            Action::Schema => print_json(&serde_json::to_value(schemars::schema_for!(Config))?)?,
        }
        Ok(())
    }
}
