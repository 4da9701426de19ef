//! The subcommands: one module each, with its arguments and what it does.

mod agent;
mod bench;
mod chaos;
mod config;
mod costs;
mod drain;
mod engine;
mod explain;
mod keys;
mod node;
mod nodes;
mod plan;
mod pools;
mod proxy;
mod router;
mod sessions;
mod simulate;
mod top;
mod transcribe;
mod up;

use clap::Subcommand;

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start everything on this machine: proxy, router, and four pools of nodes to try and to kill
    Up(up::Args),
    /// Run a proxy: the door for callers
    Proxy(proxy::Args),
    /// Run a router: agents report to it, proxies ask it
    Router(router::Args),
    /// Run an agent on a GPU host: it reports what the host can do
    Agent(agent::Args),
    /// Run an engine: a speech server on the CPU, or a synthetic one
    Engine(engine::Args),
    /// Run an engine and its agent in one process
    #[command(hide = true)]
    Node(node::Args),
    /// Turn audio files into text
    Transcribe(transcribe::Args),
    /// Watch pools, nodes and streams, what they cost and how fast they are
    Top(top::Args),
    /// Close a node to new sessions, and wait until it has none
    Drain(drain::Args),
    /// Let a drained node take sessions again
    Undrain(drain::UndrainArgs),
    /// List the nodes: what each serves, how full and how fast it is
    Nodes(nodes::Args),
    /// List the pools: where they are, what they cost, how full they are
    Pools(pools::Args),
    /// Show how many nodes each pool should have, and why
    Plan(plan::Args),
    /// List the sessions: who served them, and what they cost
    Sessions(sessions::Args),
    /// Make, list and revoke the keys that open the proxies
    Keys(keys::Args),
    /// Show what was used and what it cost, by pool, key, day or model
    Costs(costs::Args),
    /// Show why a session went where it went, or where one would go
    Explain(explain::Args),
    /// Run the scheduler over recorded or drawn days, beside baselines and under bounds
    Simulate(simulate::Args),
    /// Measure what it costs on this machine
    Bench(bench::Args),
    /// Break everything on this machine under load, and tell what callers noticed
    Chaos(chaos::Args),
    /// Print, check or describe the configuration
    Config(config::Args),
}

impl Command {
    /// Runs the command to its end.
    ///
    /// # Errors
    /// Fails as the command does; the message is for people.
    #[expect(clippy::cognitive_complexity, reason = "one line for each command, and no more")]
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Transcribe(args) => Box::pin(args.run()).await,
            Self::Up(args) => Box::pin(args.run()).await,
            Self::Proxy(args) => Box::pin(args.run()).await,
            Self::Router(args) => Box::pin(args.run()).await,
            Self::Agent(args) => Box::pin(args.run()).await,
            Self::Engine(args) => Box::pin(args.run()).await,
            Self::Node(args) => Box::pin(args.run()).await,
            Self::Top(args) => Box::pin(args.run()).await,
            Self::Drain(args) => args.run().await,
            Self::Undrain(args) => args.run().await,
            Self::Nodes(args) => args.run().await,
            Self::Pools(args) => args.run().await,
            Self::Plan(args) => args.run().await,
            Self::Sessions(args) => args.run().await,
            Self::Keys(args) => args.run().await,
            Self::Costs(args) => args.run().await,
            Self::Explain(args) => args.run().await,
            Self::Simulate(args) => Box::pin(args.run()).await,
            Self::Bench(args) => Box::pin(args.run()).await,
            Self::Chaos(args) => Box::pin(args.run()).await,
            Self::Config(args) => args.run(),
        }
    }
}
