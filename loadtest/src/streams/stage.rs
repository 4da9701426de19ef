//! The processes that are measured: a router, a proxy, and a node whose synthetic engine answers without delay.

use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use audio::coded::Script;
use tokio::time::{Instant, sleep};

use super::{BenchError, Way};
use crate::caller::{CallError, Caller, Metronome, Pace, Speech, StreamOutcome};
use crate::children::{Child, Children, NodeReady, ProxyReady, RouterReady};
use crate::kernel::{KernelError, Process, busy_time};

/// The key that the callers show the proxy.
const KEY: &str = "bench";
/// The pool of the default configuration that the node joins.
const POOL: &str = "on-prem";
/// The fewest slots the node is given.
const SLOTS: u16 = 1_000;
/// How long the node may take to become known to the proxy, and how often that is tried.
const KNOWN: Duration = Duration::from_secs(15);
const TRY: Duration = Duration::from_millis(100);
/// How long a process may take to end.
const FAREWELL: Duration = Duration::from_secs(10);
/// What the first stream says, so much faster than people speak.
const REHEARSAL: Script = Script { session: u16::MAX, words: 5 };
const HURRY: Pace = Pace::Times(4.0);

/// The running processes.
pub(super) struct Stage {
    router: Child<RouterReady>,
    proxy: Child<ProxyReady>,
    node: Child<NodeReady>,
    metronome: Arc<Metronome>,
    /// Last, so that the processes are gone before their folder is.
    _children: Children,
}

/// The processes, as the kernel knows them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meters {
    router: Process,
    proxy: Process,
    engine: Process,
}

/// Processor time used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Work {
    pub(super) callers: Duration,
    pub(super) proxy: Duration,
    pub(super) engine: Duration,
    pub(super) router: Duration,
    pub(super) machine: Duration,
}

impl Work {
    /// Returns what programs that have nothing to do with the benchmark have worked.
    pub(super) fn others(&self) -> Duration {
        self.machine.saturating_sub(self.callers + self.proxy + self.engine + self.router)
    }

    /// Returns what was worked from here to `after`.
    pub(super) fn until(&self, after: &Self) -> Self {
        Self {
            callers: after.callers.saturating_sub(self.callers),
            proxy: after.proxy.saturating_sub(self.proxy),
            engine: after.engine.saturating_sub(self.engine),
            router: after.router.saturating_sub(self.router),
            machine: after.machine.saturating_sub(self.machine),
        }
    }
}

impl Stage {
    /// Starts all processes and waits until each is ready.
    pub(super) async fn start(binary: &Path, streams: NonZeroU16) -> Result<Self, BenchError> {
        let metronome = Arc::new(Metronome::start().map_err(BenchError::Threads)?);
        let children = Children::of(binary)?;
        let config = write_config(&children, "router.yaml", "http://127.0.0.1:0")?;
        let router: Child<RouterReady> =
            children.start("router", &["router", "--config", &config, "--json", "--child"]).await?;
        let url = format!("http://{}", router.ready().grpc);
        let config = write_config(&children, "crosspoint.yaml", &url)?;
        let proxy = ["proxy", "--config", &config, "--dev-key", KEY, "--json", "--child"];
        let proxy = children.start("proxy", &proxy).await?;
        let slots = streams.get().saturating_add(streams.get() / 4).max(SLOTS).to_string();
        let node = [
            ["node", "--json", "--config", &config],
            ["--router", &url, "--engine", "synthetic"],
            ["--pool", POOL, "--name", "bench-1"],
        ];
        let node = [node.as_flattened(), &["--slots", &slots, "--child"]].concat();
        let node = children.start("node", &node).await?;
        Ok(Self { router, proxy, node, metronome, _children: children })
    }

    /// Returns a caller who goes that way.
    pub(super) fn caller(&self, way: Way) -> Caller {
        let caller = match way {
            Way::Proxied => Caller::new(&self.proxy.ready().address).with_key(KEY),
            Way::Direct => Caller::new(&self.node.ready().engine),
        };
        caller.with_metronome(Arc::clone(&self.metronome))
    }

    /// Returns the processes to be measured.
    pub(super) fn meters(&self) -> Result<Meters, BenchError> {
        let gone = |name, log| move || BenchError::Gone(name, log);
        Ok(Meters {
            router: self.router.process().ok_or_else(gone("the router", self.router.log_tail()))?,
            proxy: self.proxy.process().ok_or_else(gone("the proxy", self.proxy.log_tail()))?,
            engine: self.node.process().ok_or_else(gone("the node", self.node.log_tail()))?,
        })
    }

    /// Sends one stream all the way, so that a mistake is seen before the long work begins.
    pub(super) async fn rehearse(&self, way: Way) -> Result<(), BenchError> {
        let caller = self.caller(way);
        let deadline = Instant::now() + KNOWN;
        let outcome = loop {
            match caller.stream(Speech::new(REHEARSAL).at(HURRY), |_sent| {}).await {
                Ok(outcome) => break outcome,
                // The node's first report has not reached the router yet.
                Err(CallError::Refused { status: 503, .. }) if Instant::now() < deadline => sleep(TRY).await,
                Err(source) => return Err(BenchError::Unserved { way, source, log: self.proxy.log_tail() }),
            }
        };
        match fault(&outcome) {
            None => Ok(()),
            Some(what) => Err(BenchError::Spoiled { way, what, log: self.proxy.log_tail() }),
        }
    }

    /// Ends the processes, callers' side first.
    pub(super) async fn stop(self) -> Result<(), BenchError> {
        self.proxy.stop(FAREWELL).await?;
        self.node.stop(FAREWELL).await?;
        self.router.stop(FAREWELL).await?;
        Ok(())
    }
}

/// Says what is wrong with a stream, if anything is.
fn fault(outcome: &StreamOutcome) -> Option<String> {
    match (outcome.completed(), outcome.tally.is_clean()) {
        (true, true) => None,
        (true, false) => Some(format!("{:?} in {:?}", outcome.tally, outcome.text())),
        (false, _) => Some(format!("it ended with {:?}", outcome.ending)),
    }
}

/// Writes the configuration of all roles: free ports, and an engine that is as fast as it can be.
fn write_config(children: &Children, name: &str, router: &str) -> Result<String, BenchError> {
    let text = format!(
        "router: {{ listen: 127.0.0.1:0, admin: 127.0.0.1:0, metrics: 127.0.0.1:0 }}\n\
         proxy: {{ listen: 127.0.0.1:0, metrics: 127.0.0.1:0, routers: [{router}] }}\n\
         engine: {{ synthetic: {{ latency: 0s, jitter: 0s }} }}\n\
         placement: {{ slow_start: 1ms }} # the one node is measured with all its slots\n\
         logs: {{ filter: warn }}\n"
    );
    Ok(children.write(name, &text)?.display().to_string())
}

impl Meters {
    /// Returns the bytes of memory that the proxy holds.
    pub(super) fn proxy_resident(&self) -> Result<u64, KernelError> {
        self.proxy.resident_bytes()
    }

    /// Reads what everybody has worked so far.
    pub(super) fn work(&self) -> Result<Work, KernelError> {
        Ok(Work {
            callers: Process::this().processor_time()?,
            proxy: self.proxy.processor_time()?,
            engine: self.engine.processor_time()?,
            router: self.router.processor_time()?,
            machine: busy_time()?,
        })
    }
}
