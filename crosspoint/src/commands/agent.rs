//! `crosspoint agent`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use process::Shutdown;
use serde_json::json;

use crate::roles::RoleArgs;
use crate::terminal;

/// How long the last report may take after the drain is over.
const FAREWELL: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  crosspoint agent --pool aws-us-west-2 --router http://10.0.0.5:7400 --engine http://127.0.0.1:8090
  crosspoint agent --pool on-prem --router http://10.0.0.5:7400 --router http://10.0.0.6:7400 --token-file /etc/crosspoint/token
  crosspoint agent --config crosspoint.yaml --check          what is there and what is missing; exit code 1 if anything is
  crosspoint agent --config crosspoint.yaml --gpus simulated";

/// The arguments of `crosspoint agent`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    role: RoleArgs,
    /// The pool this node belongs to
    #[arg(long)]
    pool: Option<scheduler::PoolName>,
    /// The node's name; without it, the host's
    #[arg(long)]
    name: Option<scheduler::NodeId>,
    /// A router that may hear the reports; may be given again: the next one does when one goes away
    #[arg(long, value_name = "URL")]
    router: Vec<String>,
    /// File with the token that the routers want from agents
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The engine on this host
    #[arg(long, value_name = "URL")]
    engine: Option<String>,
    /// Where proxies reach the engine; without it, the host and port of its URL
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Where GPU readings come from
    #[arg(long, value_enum)]
    gpus: Option<Gpus>,
    /// Look at everything once, say what is there and what is missing, and end
    #[arg(long)]
    check: bool,
}

/// Where GPU readings come from.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Gpus {
    /// NVIDIA's management library
    Nvml,
    /// One invented card
    Simulated,
    /// No GPUs
    None,
}

impl From<Gpus> for agent::GpuSource {
    fn from(gpus: Gpus) -> Self {
        match gpus {
            Gpus::Nvml => Self::Nvml,
            Gpus::Simulated => Self::Simulated,
            Gpus::None => Self::None,
        }
    }
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = self.over(self.role.start()?.agent);
        if self.check {
            return self.say(&config.check().await?);
        }
        let app = config.build()?;
        let addresses = json!({ "role": "agent", "pid": std::process::id(), "metrics": app.metrics_address() });
        let words = format!("agent: reports for the engine at {}", config.engine.url);
        let shutdown = Shutdown::new();
        shutdown.spawn("agent", app.run(shutdown.clone()));
        self.role.announce(&addresses, &words)?;
        self.role.until_done(&shutdown, config.drain.saturating_add(FAREWELL)).await;
        Ok(())
    }

    /// Lays what the command line says over the configuration.
    fn over(&self, mut config: agent::Config) -> agent::Config {
        config.pool = self.pool.clone().or(config.pool);
        config.node = self.name.clone().or(config.node);
        if !self.router.is_empty() {
            config.routers.clone_from(&self.router);
        }
        config.token_file = self.token_file.clone().or(config.token_file);
        config.engine.url = self.engine.clone().unwrap_or(config.engine.url);
        config.advertise = self.advertise.clone().or(config.advertise);
        config.gpus = self.gpus.map_or(config.gpus, Into::into);
        config
    }

    fn say(&self, check: &agent::SelfCheck) -> anyhow::Result<()> {
        let text = if self.role.json { serde_json::to_string_pretty(check)? } else { check.to_string() };
        terminal::print(&text)?;
        if !check.is_complete() {
            bail!("the agent misses something");
        }
        Ok(())
    }
}
