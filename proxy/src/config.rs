//! The proxy's part of the configuration.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use process::Memory;
use scheduler::PoolName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Limits;

use crate::callers::Origin;
use crate::delivery::FileLimits;
use crate::edge;
use crate::facts::FactsConfig;
use crate::keys::JwtConfig;
use crate::parking::ResumeConfig;
use crate::pump::SpillLimits;

/// Where the proxy listens, whom it asks, and what it allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// HTTP and WebSocket for callers.
    pub listen: SocketAddr,
    /// The same over TLS; off unless set.
    pub tls: Option<edge::TlsConfig>,
    /// Tokens of other issuers that open it, beside keys; none unless set.
    pub jwt: Option<JwtConfig>,
    /// Origins whose web pages may call; pages of the proxy's own host always may.
    pub origins: Vec<Origin>,
    /// What rules may look at.
    pub facts: FactsConfig,
    /// `/metrics`, `/livez` and `/readyz`.
    pub metrics: SocketAddr,
    /// Routers: the one that answered last is asked first, the next when it does not answer within 100 ms.
    pub routers: Vec<String>,
    /// Proxies that share the limits: while the store is away each admits one and a half times its share.
    pub proxies: NonZeroU32,
    /// How much keys may use that set no limit of their own.
    pub limits: Limits,
    /// How long one router may take to place a session; while none does, all are asked again for a second.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub place_timeout: Duration,
    /// How long a node may take to open a leg.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub open_timeout: Duration,
    /// How long a node may take to answer a file that it was given as it is, once all of it is here.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub file_timeout: Duration,
    /// Files that hold the keys that engines of a pool want of those who call them.
    pub engine_keys: BTreeMap<PoolName, PathBuf>,
    /// Round trip plus chunk latency that a stream accepts.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub latency_limit: Duration,
    /// A Unix socket at which a proxy that starts beside this one is given its ports; this one drains then. None unless set:
    /// then two cannot listen on the same ports.
    pub handover: Option<PathBuf>,
    /// How long open sessions may go on after a SIGTERM or a handover.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub drain: Duration,
    /// How files are heard.
    pub files: FileLimits,
    /// How long a stream waits for what.
    pub stream: session::Limits,
    /// What is kept of streams whose callers may come back.
    pub resume: ResumeConfig,
    /// What streams that send faster than they are heard may leave on disk.
    pub spill: SpillLimits,
    /// Bytes that all streams together may keep for replays; a quarter of the memory that the process may have unless set.
    /// From 80 % of it on streams keep half as much, from 95 % on no new sessions are taken.
    pub rings_bytes: Option<NonZeroU64>,
    /// Deadlines and bounds of connections and requests.
    pub edge: edge::Limits,
}

impl Default for Config {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            listen: loopback(8080),
            tls: None,
            jwt: None,
            origins: Vec::new(),
            facts: FactsConfig::default(),
            metrics: loopback(7480),
            routers: vec!["http://127.0.0.1:7400".to_owned()],
            proxies: NonZeroU32::MIN,
            limits: Limits::default(),
            place_timeout: Duration::from_millis(300),
            open_timeout: Duration::from_secs(2),
            file_timeout: Duration::from_secs(600),
            engine_keys: BTreeMap::new(),
            latency_limit: Duration::from_millis(300),
            handover: None,
            drain: Duration::from_secs(900),
            files: FileLimits::default(),
            stream: session::Limits::default(),
            resume: ResumeConfig::default(),
            spill: SpillLimits::default(),
            rings_bytes: None,
            edge: edge::Limits::default(),
        }
    }
}

impl Config {
    /// Returns the bytes that all streams together may keep for replays.
    pub(crate) fn rings_limit(&self) -> u64 {
        let quarter = || Memory::find().map_or(u64::MAX, |memory| memory.limit_bytes() / 4);
        self.rings_bytes.map_or_else(quarter, NonZeroU64::get)
    }
}
