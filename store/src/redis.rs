//! The Redis backend: leases, reports and locks that several routers share.
//!
//! * `leases` and `lock`: one script per claim, on Redis' own clock. `reports`: what was written since, in one trip.
//! * `breaker`: who waits for a Redis that does not answer, and who does not.
//!
//! Every call is bounded in time. Whatever goes wrong is [`StoreAway`]: no answer, an answer that makes no sense, a server that
//! loads, is read-only, out of memory or short of replicas. Values found under our keys are judged, never trusted.

mod breaker;
mod leases;
mod lock;
mod reports;

use std::fmt;
use std::time::Duration;

use deadpool_redis::redis::{AsyncConnectionConfig, FromRedisValue, RedisError, ScriptInvocation};
use deadpool_redis::{Manager, Pool, PoolError, Runtime};
use tokio::time::{Instant, timeout};

use crate::{BadRedisUrl, RedisUrl, StoreAway};
use breaker::{Breaker, Verdict};

/// Connections of one process, made when they are needed.
const CONNECTIONS: usize = 16;

/// A Redis 7 or later, one server, that keeps leases, reports and locks.
pub struct Redis {
    pool: Pool,
    timeout: Duration,
    breaker: Breaker,
    leases: leases::Scripts,
    locks: lock::Scripts,
    reports: reports::Scripts,
}

/// Why one call came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no answer within {} ms", .0.as_millis())]
    Late(Duration),
    #[error(transparent)]
    Connection(#[from] PoolError),
    #[error(transparent)]
    Answer(#[from] RedisError),
}

impl Redis {
    /// Prepares to speak to the Redis at `url`; `timeout` bounds each call, connecting included. Nothing is sent yet: a
    /// Redis that is away now may come later.
    ///
    /// # Errors
    /// Fails on an address that is none.
    pub fn new(url: &RedisUrl, timeout: Duration) -> Result<Self, BadRedisUrl> {
        let bounds =
            AsyncConnectionConfig::new().set_connection_timeout(Some(timeout)).set_response_timeout(Some(timeout));
        let manager = Manager::new_with_config(url.expose(), bounds).map_err(|_| BadRedisUrl)?;
        let pool = Pool::builder(manager).max_size(CONNECTIONS).runtime(Runtime::Tokio1).build();
        Ok(Self {
            pool: pool.map_err(|_| BadRedisUrl)?,
            timeout,
            breaker: Breaker::default(),
            leases: leases::Scripts::new(),
            locks: lock::Scripts::new(),
            reports: reports::Scripts::new(),
        })
    }

    /// Runs a script, unless Redis has been away lately.
    async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, StoreAway> {
        match self.breaker.ask(Instant::now()) {
            Verdict::Skip => return Err(StoreAway("redis did not answer lately".to_owned())),
            Verdict::Try => {}
        }
        let answer = timeout(self.timeout, self.ask(script)).await;
        answer.unwrap_or(Err(Failure::Late(self.timeout))).inspect(|_| self.breaker.succeeded()).map_err(|failure| {
            let cause = failure.to_string();
            self.breaker.failed(&cause, Instant::now());
            StoreAway(cause)
        })
    }

    async fn ask<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, Failure> {
        let mut connection = self.pool.get().await?;
        Ok(script.invoke_async(&mut connection).await?)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("timeout", &self.timeout).field("breaker", &self.breaker).finish_non_exhaustive()
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
