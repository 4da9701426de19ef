//! Who is measured: each peer as a child process between the callers and the same engine.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::engine::Engine;
use super::{PeerError, Product};
use crate::children::{Child, Children, ProxyReady, RouterReady};
use crate::kernel::Process;

/// The key that callers show; only our proxy asks for one.
pub(crate) const KEY: &str = "bench";
/// Where programs are that are not on everybody's path.
const SYSTEM: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];
/// How long a peer may take to accept connections, and how often that is tried.
const READY: Duration = Duration::from_secs(10);
const TRY: Duration = Duration::from_millis(20);

/// Something that stands between callers and engine, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// Crosspoint's proxy, with session, lease and metering.
    Proxy,
    /// nginx, which relays bytes once the upgrade is answered.
    Nginx,
    /// HAProxy, which does the same.
    Haproxy,
    /// A relay of bytes that does nothing else.
    Bare,
    /// Nothing: callers call the engine.
    Direct,
}

impl Peer {
    /// Everybody.
    pub const ALL: [Self; 5] = [Self::Proxy, Self::Nginx, Self::Haproxy, Self::Bare, Self::Direct];
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Proxy => "proxy",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Bare => "bare relay",
            Self::Direct => "direct",
        })
    }
}

/// What a bare relay says when it is ready.
#[derive(Clone, Debug, Deserialize)]
struct BareReady {
    address: String,
}

/// What an agent says when it is ready.
#[derive(Clone, Debug, Deserialize)]
struct AgentReady {}

/// What all peers share: the engine behind them, and for our proxy a router that knows it.
pub(crate) struct Surroundings {
    pub(crate) engine: Engine,
    router: Child<RouterReady>,
    _agent: Child<AgentReady>,
    programs: Programs,
    proxies: Children,
    /// Last, so that the processes are gone before their folder is.
    children: Children,
}

/// Where the products are that are not ours.
struct Programs {
    nginx: Option<PathBuf>,
    haproxy: Option<PathBuf>,
}

/// A running peer. Dropping it kills it.
pub(crate) struct Running {
    /// Where it takes callers.
    pub(crate) address: String,
    process: Option<Process>,
    _guard: Guard,
}

/// What ends when a peer is no longer needed. It is only kept.
enum Guard {
    None,
    Proxy { _child: Child<ProxyReady> },
    Bare { _child: Child<BareReady> },
    Foreign { _child: tokio::process::Child },
}

impl Running {
    /// Returns the processor time that the peer has used so far.
    pub(crate) fn work(&self) -> Result<Duration, PeerError> {
        let family = self.process.map(Process::family).unwrap_or_default();
        let times: Result<Vec<_>, _> = family.into_iter().map(Process::threads_time).collect();
        Ok(times?.into_iter().sum())
    }

    /// Returns the bytes of memory that the peer holds.
    pub(crate) fn resident(&self) -> Result<u64, PeerError> {
        let family = self.process.map(Process::family).unwrap_or_default();
        let sizes: Result<Vec<_>, _> = family.into_iter().map(Process::resident_bytes).collect();
        Ok(sizes?.into_iter().sum())
    }
}

impl Surroundings {
    /// Starts the engine, and the router and agent of our proxy.
    pub(crate) async fn start(binary: &Path, proxy: &Path) -> Result<Self, PeerError> {
        let engine = Engine::start().await.map_err(PeerError::Engine)?;
        let children = Children::of(binary)?;
        let config = children.write("router.yaml", &config("http://127.0.0.1:0"))?.display().to_string();
        let router: Child<RouterReady> =
            children.start("router", &["router", "--config", &config, "--json", "--child"]).await?;
        let url = format!("http://{}", router.ready().grpc);
        let config = children.write("crosspoint.yaml", &self::config(&url))?.display().to_string();
        let heard = format!("http://{}", engine.address);
        let who = ["--pool", "on-prem", "--name", "bench-1", "--gpus", "none", "--router", &url, "--engine", &heard];
        let agent = [&["agent", "--config", &config, "--json", "--child"], &who[..]].concat();
        let agent = children.start("agent", &agent).await?;
        Ok(Self { engine, router, _agent: agent, programs: Programs::find(), proxies: Children::of(proxy)?, children })
    }

    /// Returns who can be measured here, and what is missing for the others.
    pub(crate) fn peers(&self) -> (Vec<Peer>, Vec<String>) {
        let missing = |program: &Option<PathBuf>, peer, package| {
            let text = format!("{peer} is left out: it is not installed (apt-get install {package})");
            program.is_none().then_some((peer, text))
        };
        let nginx = missing(&self.programs.nginx, Peer::Nginx, "nginx-light");
        let haproxy = missing(&self.programs.haproxy, Peer::Haproxy, "haproxy");
        let absent: Vec<_> = nginx.into_iter().chain(haproxy).collect();
        let here = |peer: &Peer| !absent.iter().any(|(missing, _text)| missing == peer);
        (Peer::ALL.into_iter().filter(here).collect(), absent.iter().map(|(_peer, text)| text.clone()).collect())
    }

    /// Starts a peer.
    pub(crate) async fn run(&self, peer: Peer) -> Result<Running, PeerError> {
        match peer {
            Peer::Direct => Ok(Running { address: self.engine.address.clone(), process: None, _guard: Guard::None }),
            Peer::Proxy => self.proxy().await,
            Peer::Bare => self.bare().await,
            Peer::Nginx => self.nginx().await,
            Peer::Haproxy => self.haproxy().await,
        }
    }

    async fn proxy(&self) -> Result<Running, PeerError> {
        let url = format!("http://{}", self.router.ready().grpc);
        let config = self.proxies.write("proxy.yaml", &config(&url))?.display().to_string();
        let arguments = ["proxy", "--config", &config, "--dev-key", KEY, "--json", "--child"];
        let child: Child<ProxyReady> = self.proxies.start("proxy", &arguments).await?;
        let (address, process) = (child.ready().address.clone(), child.process());
        Ok(Running { address, process, _guard: Guard::Proxy { _child: child } })
    }

    async fn bare(&self) -> Result<Running, PeerError> {
        let arguments = ["bench", "bare-relay", "--to", &self.engine.address];
        let child: Child<BareReady> = self.children.start("bare-relay", &arguments).await?;
        let (address, process) = (child.ready().address.clone(), child.process());
        Ok(Running { address, process, _guard: Guard::Bare { _child: child } })
    }

    async fn nginx(&self) -> Result<Running, PeerError> {
        let address = free_address(Peer::Nginx)?;
        let file = self.children.write("nginx.conf", &self.product(&address).nginx())?;
        let folder = self.children.folder();
        let arguments = [OsStr::new("-p"), folder.as_ref(), "-c".as_ref(), file.as_ref()];
        foreign(Peer::Nginx, self.programs.nginx.as_deref(), &arguments, address).await
    }

    async fn haproxy(&self) -> Result<Running, PeerError> {
        let address = free_address(Peer::Haproxy)?;
        let file = self.children.write("haproxy.cfg", &self.product(&address).haproxy())?;
        let arguments = [OsStr::new("-db"), "-f".as_ref(), file.as_ref()];
        foreign(Peer::Haproxy, self.programs.haproxy.as_deref(), &arguments, address).await
    }

    fn product<'a>(&'a self, address: &'a str) -> Product<'a> {
        Product { address, engine: &self.engine.address, folder: self.children.folder() }
    }
}

/// Starts a product that is not ours and waits until it takes callers.
async fn foreign(
    peer: Peer,
    program: Option<&Path>,
    arguments: &[&OsStr],
    address: String,
) -> Result<Running, PeerError> {
    let failed = |source| PeerError::Start { peer, source };
    let mut command = Command::new(program.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?);
    let quiet = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = quiet.kill_on_drop(true).spawn().map_err(failed)?;
    let process = child.id().map(Process::new);
    await_listener(&address).await.map_err(failed)?;
    Ok(Running { address, process, _guard: Guard::Foreign { _child: child } })
}

impl Programs {
    fn find() -> Self {
        Self { nginx: find("nginx"), haproxy: find("haproxy") }
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM.map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Finds a port that was free a moment ago: these products cannot say which one they were given.
fn free_address(peer: Peer) -> Result<String, PeerError> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    free.map(|address| address.to_string()).map_err(|source| PeerError::Start { peer, source })
}

async fn await_listener(address: &str) -> io::Result<()> {
    let deadline = Instant::now() + READY;
    loop {
        match TcpStream::connect(address).await {
            Ok(_connected) => return Ok(()),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_not_yet) => sleep(TRY).await,
        }
    }
}

/// The configuration of all roles: free ports, and patience with streams that say nothing.
fn config(router: &str) -> String {
    format!(
        "router: {{ listen: 127.0.0.1:0, admin: 127.0.0.1:0, metrics: 127.0.0.1:0 }}\n\
         proxy: {{ listen: 127.0.0.1:0, metrics: 127.0.0.1:0, routers: [{router}], \
         stream: {{ first_audio: 120s, silence: 120s }} }}\n\
         agent: {{ metrics: null }}\n\
         logs: {{ filter: warn }}\n"
    )
}
