//! What the tests stand on.
//!
//! * [`child`]: one process of ours. [`up`]: everything at once, and what its router says.
//! * [`redis`]: a Redis to kill. [`router`]: one of several routers, asked as a proxy would. [`proxy`]: a proxy of its own.
//! * [`prometheus`]: a real one, with the rules that are shipped.
//! * [`stub`]: servers of other makers, as faithful as their sources.
//! * [`keys`]: keys, and a proxy that reads them.
//! * [`http`]: answers, and refusals with everything that SDKs read. [`stream`]: a caller of `/v1/listen`.
//! * [`service`]: all of it under load, and what a fault costs.
//! * [`speech`]: coded audio to send, and transcripts to check.

pub(crate) mod child;
pub(crate) mod http;
pub(crate) mod keys;
pub(crate) mod prometheus;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod router;
pub(crate) mod service;
pub(crate) mod speech;
pub(crate) mod stream;
pub(crate) mod stub;
pub(crate) mod up;

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Nothing here takes longer than a few seconds; but machines that build beside it may stand still for some.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often a state that has no event is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Waits for something that must happen.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> anyhow::Result<T> {
    timeout(DEADLINE, future).await.with_context(|| format!("no {what} within {} s", DEADLINE.as_secs()))
}

/// Looks again and again until there is something to see.
pub(crate) async fn until<T>(
    what: &str,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let end = Instant::now() + DEADLINE;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        anyhow::ensure!(Instant::now() < end, "no {what} within {} s", DEADLINE.as_secs());
    }
}
