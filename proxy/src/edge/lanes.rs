//! Lanes: where connections are served. Each lane is a thread with a runtime of its own, and what one connection needs, its
//! caller's socket, its legs and its timers, is on one lane: a message that is relayed wakes no second thread, which would cost
//! more than relaying it does. What takes long must not be computed on a lane: others' messages wait behind it.
//!
//! Streams are put together, since a thread that relays many of them wakes once for what several of them say; what brings files
//! is spread, since it takes all the time that there is.

use std::io;
use std::sync::Arc;
use std::thread;

use axum::Router;
use process::Shutdown;
use tokio::runtime::{Builder, EnterGuard, Handle};
use tracing::warn;

/// A lane with so many connections is filled only when all are. Streams in real time, 50 messages a second each, take it a quarter
/// of its time.
const FULL: usize = 512;
/// A lane that awaits or serves so many requests of HTTP is busy with what may be files.
const BUSY: usize = 2;

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
    /// Those of them for which no WebSocket was asked.
    plain: Arc<()>,
}

/// A connection's place on a lane; it counts there until this is dropped.
#[derive(Debug)]
pub(super) struct Berth {
    /// What answers there.
    pub(super) app: Router,
    _counts: Arc<()>,
    plain: Option<Arc<()>>,
}

impl Berth {
    /// Notes that a request for a WebSocket came: no file will.
    pub(super) fn streams(&mut self) {
        self.plain = None;
    }
}

impl From<Router> for Lanes {
    /// Serves connections where they are accepted.
    fn from(app: Router) -> Self {
        Self { first: Lane::new(None, app), others: Vec::new() }
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
            Lane::new(Some(handle), app)
        });
        match lanes.next() {
            Some(first) => Self { first, others: lanes.collect() },
            None => app().into(),
        }
    }

    /// Returns the lane for the next connection: the first that is neither full nor busy, or the freest.
    pub(super) fn next(&self) -> &Lane {
        let mut all = std::iter::once(&self.first).chain(&self.others);
        let open = all.find(|lane| lane.load().0 < BUSY && lane.count() < FULL);
        open.unwrap_or_else(|| {
            self.others.iter().fold(&self.first, |freest, lane| if lane.load() < freest.load() { lane } else { freest })
        })
    }
}

impl Lane {
    fn new(runtime: Option<Handle>, app: Router) -> Self {
        Self { runtime, app, connections: Arc::default(), plain: Arc::default() }
    }

    /// Takes a place, and lets what is begun while the guard lives be begun there.
    pub(super) fn enter(&self) -> (Berth, Option<EnterGuard<'_>>) {
        let plain = Some(Arc::clone(&self.plain));
        let berth = Berth { app: self.app.clone(), _counts: Arc::clone(&self.connections), plain };
        (berth, self.runtime.as_ref().map(Handle::enter))
    }

    fn count(&self) -> usize {
        Arc::strong_count(&self.connections) - 1
    }

    /// Connections that may bring files, then all of them.
    fn load(&self) -> (usize, usize) {
        (Arc::strong_count(&self.plain) - 1, self.count())
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

    fn three() -> Lanes {
        let lane = || Lane::new(None, Router::new());
        Lanes { first: lane(), others: vec![lane(), lane()] }
    }

    fn counts(lanes: &Lanes) -> [usize; 3] {
        [lanes.first.count(), lanes.others[0].count(), lanes.others[1].count()]
    }

    #[test]
    fn what_may_bring_files_is_spread_and_leaves_with_its_berth() {
        let lanes = three();
        let mut berths: Vec<_> = (0..9).map(|_connection| lanes.next().enter().0).collect();
        assert_eq!(counts(&lanes), [3, 3, 3]);
        berths.clear();
        assert_eq!(counts(&lanes), [0, 0, 0]);
    }

    #[test]
    fn streams_are_put_together_until_a_lane_is_full() {
        let lanes = three();
        let stream = |_stream| {
            let mut berth = lanes.next().enter().0;
            berth.streams();
            berth
        };
        let mut streams: Vec<_> = (0..FULL + 100).map(stream).collect();
        assert_eq!(counts(&lanes), [FULL, 100, 0]);
        streams.extend((0..2 * FULL + 200).map(stream));
        assert_eq!(counts(&lanes), [FULL + 100; 3], "then they are spread too");
    }

    #[tokio::test]
    async fn a_lane_serves_on_a_thread_of_its_own_until_the_last_task_has_ended() {
        let shutdown = Shutdown::new();
        let lanes = Lanes::start(Router::new, &shutdown);
        let (tell, told) = tokio::sync::oneshot::channel();
        let (berth, entered) = lanes.next().enter();
        shutdown.spawn("connection", async move {
            let _berth = berth;
            let _nobody_waits = tell.send(thread::current().name().map(str::to_owned));
        });
        drop(entered);
        assert_eq!(told.await.unwrap().as_deref(), Some("lane-0"));
        assert_eq!(shutdown.drain(std::time::Duration::from_secs(5)).await, 0);
    }
}
