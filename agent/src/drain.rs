//! The end of a node's work: told to end, it takes no more sessions and waits until those that it has are over, for a while.

use std::time::Duration;

use process::ShutdownToken;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::engine::Engine;

/// Sessions that were placed before the routers heard of the drain may still come: so long nothing is taken for the end.
const STRAGGLERS: Duration = Duration::from_secs(2);

/// Resolves when the agent may end: after the drain began, and its engine has no streams, does not answer, or does not tell; or
/// when the engine's streams have had `patience`.
pub(crate) async fn over(drain: ShutdownToken, mut engine: watch::Receiver<Engine>, patience: Duration) {
    drain.cancelled().await;
    let began = Instant::now();
    info!(streams = engine.borrow().figures.used, "draining: no more sessions, waiting for those there are");
    let idle = async {
        loop {
            let Some(earliest) = idle_from(&engine.borrow_and_update(), began) else { return };
            tokio::select! {
                () = sleep_until(earliest) => return,
                changed = engine.changed() => if changed.is_err() { return },
            }
        }
    };
    if tokio::time::timeout(patience, idle).await.is_err() {
        warn!(
            streams = engine.borrow().figures.used,
            "drain deadline passed, leaving the engine's streams to themselves"
        );
    }
}

/// Returns when an engine that stays as it is has no streams left; never is far away, and at once is nothing.
fn idle_from(engine: &Engine, began: Instant) -> Option<Instant> {
    match (&engine.problem, engine.figures.used) {
        (Some(_), _) | (None, None) => None,
        (None, Some(0)) => Some(began + STRAGGLERS),
        (None, Some(_)) => Some(began + Duration::from_secs(365 * 24 * 3600)),
    }
}

#[cfg(test)]
mod tests {
    use scheduler::NodeState;

    use super::*;
    use crate::engine::Figures;

    fn engine(used: Option<u32>) -> Engine {
        Engine { state: NodeState::Serving, figures: Figures { used, ..Figures::default() }, problem: None }
    }

    async fn took(first: Engine, then: Option<(Duration, Engine)>) -> Duration {
        let (engine, seen) = watch::channel(first);
        let drain = ShutdownToken::new();
        drain.cancel();
        let began = Instant::now();
        let changes = async {
            if let Some((after, next)) = then {
                tokio::time::sleep(after).await;
                engine.send_replace(next);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = over(drain, seen, Duration::from_secs(60)) => {}
            () = changes => {}
        }
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_engine_is_given_time_for_stragglers() {
        assert_eq!(took(engine(Some(0)), None).await, STRAGGLERS);
    }

    #[tokio::test(start_paused = true)]
    async fn streams_are_waited_for() {
        let late = Duration::from_secs(20);
        assert_eq!(took(engine(Some(3)), Some((late, engine(Some(0))))).await, late);
        let straggler = Some((Duration::from_secs(1), engine(Some(1))));
        assert_eq!(took(engine(Some(0)), straggler).await, Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn streams_that_do_not_end_are_left() {
        assert_eq!(took(engine(Some(3)), None).await, Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_is_gone_or_tells_nothing_is_not_waited_for() {
        assert_eq!(took(Engine::default(), None).await, Duration::ZERO);
        assert_eq!(took(engine(None), None).await, Duration::ZERO);
    }
}
