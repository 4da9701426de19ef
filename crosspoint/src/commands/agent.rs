//! `crosspoint agent`.

use process::Shutdown;
use serde_json::json;

use crate::roles::{QUICK_DRAIN, RoleArgs};

const EXAMPLES: &str = "\
Examples:
  crosspoint agent --pool aws-us-west-2 --router http://10.0.0.5:7400 --engine http://127.0.0.1:8090
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
    /// A router that hears the reports
    #[arg(long, value_name = "URL")]
    router: Option<String>,
    /// The engine on this host
    #[arg(long, value_name = "URL")]
    engine: Option<String>,
    /// Where GPU readings come from
    #[arg(long, value_enum)]
    gpus: Option<Gpus>,
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
        let mut config = self.role.start()?.agent;
        config.pool = self.pool.or(config.pool);
        config.node = self.name.or(config.node);
        config.routers = self.router.map_or(config.routers, |router| vec![router]);
        config.engine.url = self.engine.unwrap_or(config.engine.url);
        config.gpus = self.gpus.map_or(config.gpus, Into::into);
        let app = config.build()?;
        let addresses = json!({ "role": "agent", "pid": std::process::id(), "metrics": app.metrics_address() });
        let words = format!("agent: reports for the engine at {}", config.engine.url);
        let shutdown = Shutdown::new();
        shutdown.spawn("agent", app.run(shutdown.clone()));
        self.role.announce(&addresses, &words)?;
        self.role.until_done(&shutdown, QUICK_DRAIN).await;
        Ok(())
    }
}
