//! Shutdown in two steps: `drain` asks every task to finish, `abort` stops waiting. It stands apart because it is the
//! only place that spawns: what was not spawned here cannot be waited for.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// The handle of a process's life: clone it into every part that spawns tasks or must know when to stop.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    drain: CancellationToken,
    abort: CancellationToken,
    tasks: TaskTracker,
    since: OnceLock<Instant>,
}

/// A task's view of the shutdown: it can wait for it, but not cause it.
pub type ShutdownToken = CancellationToken;

impl Shutdown {
    /// Starts a life with no tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Spawns a named task that the drain waits for and the abort ends.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let abort = self.inner.abort.clone();
        self.inner.tasks.spawn(async move {
            tokio::select! {
                () = abort.cancelled() => tracing::debug!(task = name, "task cut"),
                () = task => {}
            }
        });
    }

    /// Tells every task to finish: nothing new is accepted from now on.
    pub fn begin(&self) {
        self.inner.since.get_or_init(Instant::now);
        self.inner.drain.cancel();
        self.inner.tasks.close();
    }

    /// Returns how long ago the drain began; zero before it.
    #[must_use]
    pub fn drained_for(&self) -> Duration {
        self.inner.since.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// Resolves once the drain has begun.
    pub async fn begun(&self) {
        self.inner.drain.cancelled().await;
    }

    /// Resolves once the drain has begun and every task has ended.
    pub async fn ended(&self) {
        self.inner.tasks.wait().await;
    }

    /// Returns a token that is cancelled when the drain begins.
    #[must_use]
    pub fn token(&self) -> ShutdownToken {
        self.inner.drain.clone()
    }

    /// Counts the tasks that have not ended.
    #[must_use]
    pub fn running(&self) -> usize {
        self.inner.tasks.len()
    }

    /// Begins the drain, waits for the tasks until `deadline` has passed, then cuts the rest. Returns how many were cut.
    pub async fn drain(&self, deadline: Duration) -> usize {
        self.begin();
        if tokio::time::timeout(deadline, self.inner.tasks.wait()).await.is_ok() {
            return 0;
        }
        warn!(deadline_s = deadline.as_secs_f64(), "drain deadline passed");
        self.cut().await
    }

    /// Ends every task now. Returns how many were cut.
    pub async fn cut(&self) -> usize {
        self.begin();
        let cut = self.inner.tasks.len();
        warn!(tasks = cut, "cutting what is still open");
        self.inner.abort.cancel();
        self.inner.tasks.wait().await;
        cut
    }

    /// Resolves at the first SIGTERM or SIGINT, or when the drain was begun by somebody else.
    pub async fn signalled(&self) {
        use tokio::signal::unix::{SignalKind, signal};
        let terminated = async {
            match signal(SignalKind::terminate()) {
                Ok(mut stream) => {
                    stream.recv().await;
                }
                Err(error) => {
                    warn!(%error, "cannot listen for SIGTERM");
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            () = terminated => info!("SIGTERM received, draining"),
            () = interrupted() => info!("interrupt received, draining; another one cuts what is still open"),
            () = self.begun() => {}
        }
    }

    /// Resolves at the next SIGINT: whoever interrupts a drain means now. A second SIGTERM means no more than the first,
    /// since supervisors send it to a process and to its group.
    pub async fn insisted() {
        interrupted().await;
    }
}

async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        warn!(%error, "cannot listen for SIGINT");
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_drain_waits_for_its_tasks() {
        let shutdown = Shutdown::new();
        let token = shutdown.token();
        shutdown.spawn("polite", async move { token.cancelled().await });
        assert_eq!(shutdown.drain(Duration::from_secs(5)).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_will_not_end_is_cut_and_counted() {
        let shutdown = Shutdown::new();
        shutdown.spawn("stubborn", std::future::pending());
        assert_eq!(shutdown.drain(Duration::from_secs(5)).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_does_not_wait() {
        let shutdown = Shutdown::new();
        shutdown.spawn("stubborn", std::future::pending());
        let began = Instant::now();
        assert_eq!(shutdown.cut().await, 1);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
