//! `crosspoint node`: an engine and its agent in one process, as `crosspoint up` starts them.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;

use process::Shutdown;
use scheduler::{NodeId, PoolName};
use serde_json::json;

use crate::commands::engine::Voice;
use crate::roles::RoleArgs;

/// How long streams may go on after a SIGTERM.
const DRAIN: Duration = Duration::from_secs(10);

/// The arguments of `crosspoint node`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    role: RoleArgs,
    /// The pool it belongs to
    #[arg(long)]
    pool: PoolName,
    /// Its name
    #[arg(long)]
    name: NodeId,
    /// The routers that may hear its reports, one at a time
    #[arg(long, value_name = "URL", required = true)]
    router: Vec<String>,
    /// Which voice answers
    #[arg(long, value_enum)]
    engine: Option<Voice>,
    /// Streams and files heard at the same time
    #[arg(long)]
    slots: Option<NonZeroU16>,
    /// How far away it seems
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    link_round_trip: Option<Duration>,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = self.role.start()?;
        let mut engine = config.engine;
        engine.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        engine.voice = self.engine.map_or(engine.voice, Into::into);
        engine.slots = self.slots.unwrap_or(engine.slots);
        engine.link_round_trip = self.link_round_trip.unwrap_or(engine.link_round_trip);
        let engine = engine.build().await?;
        let address = engine.local_addr();

        let mut agent = config.agent;
        agent.node = Some(self.name.clone());
        agent.pool = Some(self.pool.clone());
        agent.routers.clone_from(&self.router);
        agent.engine.url = format!("http://{address}");
        agent.advertise = Some(address.to_string());
        agent.gpus = agent::GpuSource::Simulated;
        agent.metrics = None;
        let agent = agent.build()?;

        let shutdown = Shutdown::new();
        shutdown.spawn("engine", engine.run(shutdown.clone()));
        shutdown.spawn("agent", agent.run(shutdown.clone()));
        let pid = std::process::id();
        let addresses = json!({
            "role": "node", "pid": pid, "name": self.name, "pool": self.pool, "engine": address,
        });
        let words = format!("node {} of {}: engine http://{address}, pid {pid}", self.name, self.pool);
        self.role.announce(&addresses, &words)?;
        self.role.until_done(&shutdown, DRAIN).await;
        Ok(())
    }
}
