//! Shares what agents say with the other routers: what this one heard goes to the store in batches, what others heard comes
//! back with its age. While the store is away each router goes on with the agents that report to it and with what it knew of others.

mod drains;
mod others;
mod peers;
mod verdicts;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use process::Shutdown;
use scheduler::{NodeId, Report, Timestamp};
use store::{Aged, Cursor, REPORT_LIFE, Reports, Rest, StoreAway};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::debug;

use crate::core::Core;
use crate::metrics;
use others::Others;

pub(crate) use drains::{Changed, Drains, share_drains};
pub(crate) use peers::count;
pub(crate) use verdicts::{Heard, share};

/// How often what was heard goes to the store.
const PUT: Duration = Duration::from_millis(250);
/// How often the store is asked for what others heard.
const READ: Duration = Duration::from_millis(500);

/// Reports on their way to the other routers: each node's last one.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<Waiting>);

type Waiting = BTreeMap<NodeId, (Report, Timestamp)>;

impl Outbox {
    /// Keeps a report that an agent made to this router.
    pub(crate) fn push(&self, report: Report, now: Timestamp) {
        self.heard().insert(report.node.clone(), (report, now));
    }

    fn take(&self, now: Timestamp) -> Vec<Aged> {
        let heard = std::mem::take(&mut *self.heard());
        heard.into_values().map(|(report, at)| Aged { report, age: now.since(at) }).collect()
    }

    /// Keeps what the store did not take, where nothing newer was heard meanwhile.
    fn put_back(&self, reports: Vec<Aged>, now: Timestamp) {
        let mut heard = self.heard();
        for Aged { report, age } in reports.into_iter().filter(|aged| aged.age < REPORT_LIFE) {
            heard.entry(report.node.clone()).or_insert((report, now - age));
        }
    }

    fn heard(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts what was heard until the drain begins.
pub(crate) async fn put(core: Arc<Core>, reports: Arc<dyn Reports>, shutdown: Shutdown) {
    let mut ticks = ticks(PUT);
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            _ = ticks.tick() => {}
        }
        let now = core.now();
        let heard = core.outbox().take(now);
        if heard.is_empty() {
            continue;
        }
        if let Err(away) = reports.put(&heard, now).await {
            metrics::store_failed("put");
            debug!(%away, reports = heard.len(), "reports not shared");
            core.outbox().put_back(heard, now);
        }
    }
}

/// Reads what others heard until the drain begins.
pub(crate) async fn read(core: Arc<Core>, reports: Arc<dyn Reports>, shutdown: Shutdown) {
    let mut ticks = ticks(READ);
    let mut reader = Reader { core, reports, cursor: Cursor::default(), others: Others::default(), begun: Begun::No };
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            _ = ticks.tick() => reader.look().await,
        }
    }
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

struct Reader {
    core: Arc<Core>,
    reports: Arc<dyn Reports>,
    cursor: Cursor,
    others: Others,
    begun: Begun,
}

/// Whether everything in the store was read once.
enum Begun {
    No,
    Yes,
}

impl Reader {
    async fn look(&mut self) {
        let read = self.catch_up().await;
        let now = self.core.now();
        match read {
            Ok(()) => self.others.came_through(&mut self.core.fleet_mut(), now),
            Err(away) => {
                metrics::store_failed("read");
                debug!(%away, "reports of other routers not read");
                self.others.stayed_away(&mut self.core.fleet_mut(), now);
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), StoreAway> {
        let mut found = Vec::new();
        loop {
            let changes = self.reports.changed_since(self.cursor, self.core.now()).await?;
            self.cursor = changes.next;
            if changes.ignored > 0 {
                debug!(ignored = changes.ignored, "values in the store that are no reports");
            }
            found.extend(changes.reports);
            match changes.rest {
                Rest::More => {}
                Rest::Nothing => break,
            }
        }
        let (fleet, now) = (&mut *self.core.fleet_mut(), self.core.now());
        match self.begun {
            Begun::No => self.others.begin(fleet, found, now),
            Begun::Yes => self.others.merge(fleet, found, now),
        }
        self.begun = Begun::Yes;
        Ok(())
    }
}
