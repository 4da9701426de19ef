//! Lanes: where connections are served. Each lane is a thread with a runtime of its own, and what one connection needs, its
//! caller's socket, its legs and its timers, is on one lane: a message that is relayed wakes no second thread, which would cost
//! more than relaying it does. What takes long must not be computed on a lane: others' messages wait behind it.

use std::io;
use std::sync::Arc;
use std::thread;

use axum::Router;
use process::Shutdown;
use tokio::runtime::{Builder, EnterGuard, Handle};
use tracing::warn;

/// The lanes of an accept loop: at least one.
pub struct Lanes {
    first: Lane,
    others: Vec<Lane>,
}

/// A lane, with the routes that answer there.
#[derive(Clone)]
pub(crate) struct Lane {
    /// Without one, its connections are served by whoever accepts them.
    runtime: Option<Handle>,
    app: Router,
    connections: Arc<()>,
}

/// A connection's place on a lane; it counts there until this is dropped.
#[derive(Debug)]
pub(super) struct Berth {
    /// What answers there.
    pub(super) app: Router,
    _counts: Arc<()>,
}

impl From<Router> for Lanes {
    /// Serves connections where they are accepted.
    fn from(app: Router) -> Self {
        Self { first: Lane { runtime: None, app, connections: Arc::default() }, others: Vec::new() }
    }
}

impl Lanes {
    /// Starts a lane for every processor, whose routes are those that `app` makes on it; they end with `shutdown`. Where no
    /// thread is to be had, connections are served where they are accepted.
    pub(crate) fn start(app: impl Fn() -> Router, shutdown: &Shutdown) -> Self {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let handles = (0..count).map(|number| runtime(number, shutdown.clone()));
        let started = handles.map_while(|handle| handle.inspect_err(complain).ok());
        let mut lanes = started.map(|handle| {
            let app = {
                let _entered = handle.enter();
                app()
            };
            Lane { runtime: Some(handle), app, connections: Arc::default() }
        });
        match lanes.next() {
            Some(first) => Self { first, others: lanes.collect() },
            None => app().into(),
        }
    }

    /// Returns the lane with the fewest connections.
    pub(super) fn freest(&self) -> &Lane {
        self.others.iter().fold(&self.first, |freest, lane| if lane.count() < freest.count() { lane } else { freest })
    }
}

impl Lane {
    /// Takes a place, and lets what is begun while the guard lives be begun there.
    pub(super) fn enter(&self) -> (Berth, Option<EnterGuard<'_>>) {
        let berth = Berth { app: self.app.clone(), _counts: Arc::clone(&self.connections) };
        (berth, self.runtime.as_ref().map(Handle::enter))
    }

    fn count(&self) -> usize {
        Arc::strong_count(&self.connections)
    }
}

fn complain(error: &io::Error) {
    warn!(%error, "cannot start another thread for connections");
}

/// Starts a thread with a runtime that lives until `shutdown` has ended.
fn runtime(number: usize, shutdown: Shutdown) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let lane = thread::Builder::new().name(format!("lane-{number}"));
    lane.spawn(move || runtime.block_on(shutdown.ended()))?;
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane() -> Lane {
        Lane { runtime: None, app: Router::new(), connections: Arc::default() }
    }

    #[test]
    fn connections_go_where_the_fewest_are_and_leave_with_their_berths() {
        let lanes = Lanes { first: lane(), others: vec![lane(), lane()] };
        let take = || lanes.freest().enter().0;
        let berths: Vec<_> = (0..6).map(|_connection| take()).collect();
        assert!([&lanes.first, &lanes.others[0], &lanes.others[1]].iter().all(|lane| lane.count() == 3));
        drop(berths);
        let _alone = take();
        assert_eq!(lanes.first.count() + lanes.others[0].count() + lanes.others[1].count(), 4);
    }

    #[tokio::test]
    async fn a_lane_serves_on_a_thread_of_its_own_until_the_last_task_has_ended() {
        let shutdown = Shutdown::new();
        let lanes = Lanes::start(Router::new, &shutdown);
        let (tell, told) = tokio::sync::oneshot::channel();
        let (berth, entered) = lanes.freest().enter();
        shutdown.spawn("connection", async move {
            let _berth = berth;
            let _nobody_waits = tell.send(thread::current().name().map(str::to_owned));
        });
        drop(entered);
        assert_eq!(told.await.unwrap().as_deref(), Some("lane-0"));
        assert_eq!(shutdown.drain(std::time::Duration::from_secs(5)).await, 0);
    }
}
