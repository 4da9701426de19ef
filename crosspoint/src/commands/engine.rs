//! `crosspoint engine`.

use std::num::NonZeroU16;
use std::time::Duration;

use process::Shutdown;
use serde_json::json;

use crate::roles::RoleArgs;

/// How long streams may go on after a SIGTERM.
const DRAIN: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "\
Examples:
  crosspoint engine
  crosspoint engine --voice synthetic --slots 100
  CROSSPOINT__ENGINE__LISTEN=0.0.0.0:8090 crosspoint engine --json";

/// The arguments of `crosspoint engine`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    role: RoleArgs,
    /// Which voice answers
    #[arg(long, value_enum)]
    voice: Option<Voice>,
    /// Streams and files heard at the same time
    #[arg(long)]
    slots: Option<NonZeroU16>,
}

/// Which voice answers.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Voice {
    /// PocketSphinx: real speech, on the CPU
    Sphinx,
    /// The coded audio of tests and benchmarks
    Synthetic,
}

impl From<Voice> for engine::Voice {
    fn from(voice: Voice) -> Self {
        match voice {
            Voice::Sphinx => Self::Sphinx,
            Voice::Synthetic => Self::Synthetic,
        }
    }
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let mut config = self.role.start()?.engine;
        config.voice = self.voice.map_or(config.voice, Into::into);
        config.slots = self.slots.unwrap_or(config.slots);
        let app = config.build().await?;
        let addresses = json!({ "role": "engine", "pid": std::process::id(), "address": app.local_addr() });
        let words = format!("engine: http://{}", app.local_addr());
        let shutdown = Shutdown::new();
        shutdown.spawn("engine", app.run(shutdown.clone()));
        self.role.announce(&addresses, &words)?;
        self.role.until_done(&shutdown, DRAIN).await;
        Ok(())
    }
}
