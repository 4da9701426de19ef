//! The Redis backend: what several routers and proxies share.
//!
//! * `line`: the one connection to a server, to the master that sentinels name, or to a cluster.
//! * `leases`, `lock` and `quotas`: one script each, on Redis' own clock. `reports`: what was written since, in one trip. `keys`: the
//!   index of keys, in one hash, so that it is there as a whole or not at all.
//! * `drains`: what operators said of nodes, merged in one script.
//! * `ledger`: charges that may be heard twice, and totals by day.
//! * `breaker`: who waits for a Redis that does not answer, and who does not.
//!
//! Every call is bounded in time. Whatever goes wrong is [`StoreAway`]: no answer, an answer that makes no sense, a server that
//! loads, is read-only, out of memory or short of replicas. Values found under our keys are judged, never trusted.

mod affinity;
mod breaker;
mod drains;
mod keys;
mod leases;
mod ledger;
mod line;
mod lock;
mod quotas;
mod reports;
mod verdicts;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use redis::{FromRedisValue, RedisError, ScriptInvocation, TlsCertificates};
use tokio::time::{Instant, timeout_at};

use crate::{RedisServers, StoreAway};
use breaker::{Breaker, Verdict};
use line::Line;

/// A Redis 7 or later: one server, one behind sentinels, or a cluster.
pub struct Redis {
    line: Line,
    timeout: Duration,
    breaker: Breaker,
    affinity: affinity::Scripts,
    drains: drains::Scripts,
    keys: keys::Scripts,
    leases: leases::Scripts,
    ledger: ledger::Scripts,
    quotas: quotas::Scripts,
    locks: lock::Scripts,
    reports: reports::Scripts,
    verdicts: verdicts::Scripts,
}

/// Says why a Redis cannot be spoken to, whether it is there or not. No address is shown, for it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum BadRedis {
    /// The file of certificates cannot be read.
    #[error("store.redis.ca: cannot read {}: {cause}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// The addresses or certificates make no sense together.
    #[error("store.redis makes no sense: {0}")]
    Servers(String),
}

/// Why one call came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no answer within {} ms", .0.as_millis())]
    Late(Duration),
    #[error(transparent)]
    Answer(#[from] RedisError),
}

/// A call that found its connection broken is made once more, on a new one.
const TRIES: usize = 2;

impl Redis {
    /// Prepares to speak to a Redis; `timeout` bounds each call, connecting included. Nothing is sent yet: a Redis that is
    /// away now may come later.
    ///
    /// # Errors
    /// Fails on a file of certificates that cannot be read, and on servers that make no sense.
    pub fn new(servers: &RedisServers, timeout: Duration) -> Result<Self, BadRedis> {
        // Fails where a provider was installed before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let line = Line::new(servers, certificates(servers)?, timeout);
        Ok(Self {
            line: line.map_err(|error| BadRedis::Servers(error.to_string()))?,
            timeout,
            breaker: Breaker::default(),
            affinity: affinity::Scripts::new(),
            drains: drains::Scripts::new(),
            keys: keys::Scripts::new(),
            leases: leases::Scripts::new(),
            ledger: ledger::Scripts::new(),
            quotas: quotas::Scripts::new(),
            locks: lock::Scripts::new(),
            reports: reports::Scripts::new(),
            verdicts: verdicts::Scripts::new(),
        })
    }

    /// Runs a script, unless Redis has been away lately.
    async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, StoreAway> {
        match self.breaker.ask(Instant::now()) {
            Verdict::Skip => return Err(StoreAway("redis did not answer lately".to_owned())),
            Verdict::Try => {}
        }
        self.ask(script).await.inspect(|_| self.breaker.succeeded()).map_err(|failure| {
            let cause = failure.to_string();
            self.breaker.failed(&cause, Instant::now());
            StoreAway(cause)
        })
    }

    async fn ask<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, Failure> {
        let deadline = Instant::now() + self.timeout;
        let mut tries = 0;
        loop {
            tries += 1;
            let line = timeout_at(deadline, self.line.get()).await;
            let (number, mut connection) = line.map_err(|_| Failure::Late(self.timeout))??;
            let answer = match timeout_at(deadline, script.invoke_async(&mut connection)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if error.is_connection_dropped() && tries < TRIES => None,
                Ok(Err(error)) => Some(error.into()),
                Err(_late) => Some(Failure::Late(self.timeout)),
            };
            // A master that was deposed, a server that is gone without a word: the next connection may lead elsewhere.
            self.line.give_up(number).await;
            if let Some(failure) = answer {
                return Err(failure);
            }
        }
    }
}

fn certificates(servers: &RedisServers) -> Result<Option<TlsCertificates>, BadRedis> {
    let read = |path: &PathBuf| match std::fs::read(path) {
        Ok(root) => Ok(TlsCertificates { client_tls: None, root_cert: Some(root) }),
        Err(cause) => Err(BadRedis::Ca { path: path.clone(), cause }),
    };
    servers.ca.as_ref().map(read).transpose()
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("timeout", &self.timeout).field("breaker", &self.breaker).finish_non_exhaustive()
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
