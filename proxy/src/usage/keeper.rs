//! The task that journals usage: what is live every 5 s, what was opened or closed at once. A journal that takes nothing is told
//! in the log and in metrics, and the records go to the router all the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use process::Shutdown;
use store::{Journal, JournalError, Kept, RecordNumber};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use super::meter::Part;
use super::{Meters, PartId, Spent, Told};
use crate::metrics;

/// How often a live part is journalled: what a crash may cost.
const EVERY: Duration = Duration::from_secs(5);

/// How long a part that was opened or closed may wait for others: a journal takes many records as fast as one.
const GATHER: Duration = Duration::from_millis(5);

/// What processes that are gone left: in this one's journal, and in theirs.
type Left = (Vec<Kept<Spent>>, Vec<(Journal<Spent>, Vec<Kept<Spent>>)>);

/// Journals until the drain has begun and nothing is live.
pub(crate) async fn keep(meters: Meters, (found, left): Left, shutdown: Shutdown) {
    let mut keeper = Keeper { meters, outcome: Outcome::Safe };
    keeper.take_over(found).await;
    for (journal, found) in left {
        keeper.adopt(&journal, found).await;
    }
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let parts = tokio::select! {
            _ = ticks.tick() => {
                keeper.remind();
                keeper.everything()
            }
            () = keeper.changed() => keeper.fresh(),
            () = shutdown.begun(), if keeper.has_nothing() => match keeper.fresh() {
                nothing if nothing.is_empty() => return,
                fresh => fresh,
            },
        };
        keeper.journal(parts.values().map(|part| part.spent()).collect()).await;
    }
}

/// Whether the journal took the last records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Safe,
    Failed,
}

struct Keeper {
    meters: Meters,
    outcome: Outcome,
}

impl Keeper {
    /// Goes on with what was not acknowledged; sessions that were live ended when their process did.
    async fn take_over(&mut self, found: Vec<Kept<Spent>>) {
        let (lost, told): (Vec<_>, Vec<_>) = found.into_iter().partition(|kept| kept.record.is_live());
        if !lost.is_empty() {
            info!(parts = lost.len(), "sessions of the process before this one are told as lost");
        }
        for Kept { number, record } in told {
            self.meters.desk().tell(record, Some(number));
        }
        let changes: Vec<_> = lost.into_iter().map(|kept| (vec![kept.number], kept.record.lost())).collect();
        self.write(changes).await;
    }

    /// Puts into this journal what another one holds whose process is gone; that forgets it then.
    async fn adopt(&mut self, journal: &Journal<Spent>, found: Vec<Kept<Spent>>) {
        info!(parts = found.len(), "what a proxy left that is gone is told by this one");
        let (numbers, spent): (Vec<_>, Vec<_>) = found.into_iter().map(|kept| (kept.number, kept.record)).unzip();
        let ended = |spent: Spent| if spent.is_live() { spent.lost() } else { spent };
        self.write(spent.into_iter().map(|spent| (Vec::new(), ended(spent))).collect()).await;
        if self.outcome == Outcome::Safe
            && let Err(error) = journal.acknowledge(numbers).await
        {
            tracing::debug!(%error, "adopted usage stays in the journal of its proxy as well");
        }
    }

    fn everything(&self) -> HashMap<PartId, Arc<Part>> {
        let mut desk = self.meters.desk();
        let mut parts = desk.live.clone();
        parts.extend(desk.fresh.drain(..).map(|part| (part.id(), part)));
        parts
    }

    /// Waits until parts were opened or closed, and a little longer. What is there is found at the next tick where this is cut
    /// short.
    async fn changed(&self) {
        self.meters.inner.changed.notified().await;
        sleep(GATHER).await;
    }

    fn fresh(&self) -> HashMap<PartId, Arc<Part>> {
        self.meters.desk().fresh.drain(..).map(|part| (part.id(), part)).collect()
    }

    fn has_nothing(&self) -> bool {
        self.meters.desk().is_idle()
    }

    /// What was sent and not acknowledged for as long is sent again: the router may have had nowhere to keep it.
    fn remind(&self) {
        self.meters.desk().send_again(|waiting| waiting.state == Told::Sent && !waiting.spent.is_live());
        self.meters.inner.news.notify_one();
    }

    async fn journal(&mut self, spent: Vec<Spent>) {
        let number = |spent: &Spent| {
            let desk = self.meters.desk();
            desk.waiting.get(&(spent.session, spent.part)).and_then(|waiting| waiting.number)
        };
        let changes = spent.into_iter().map(|spent| (number(&spent).into_iter().collect(), spent)).collect();
        self.write(changes).await;
    }

    async fn write(&mut self, changes: Vec<(Vec<RecordNumber>, Spent)>) {
        if changes.is_empty() {
            return;
        }
        let written = self.meters.inner.journal.supersede(&changes).await;
        self.note(changes.len(), written.as_ref().err());
        let mut numbers = written.unwrap_or_default().into_iter();
        let mut desk = self.meters.desk();
        for (old, spent) in changes {
            // What the journal did not take leaves the record before it there.
            let number = numbers.next().or_else(|| old.first().copied());
            desk.tell(spent, number);
        }
        drop(desk);
        self.meters.inner.news.notify_one();
    }

    fn note(&mut self, records: usize, failed: Option<&JournalError>) {
        metrics::usage_journalled(records, failed);
        let outcome = if failed.is_some() { Outcome::Failed } else { Outcome::Safe };
        match (self.outcome, failed) {
            (Outcome::Safe, Some(error)) => {
                warn!(%error, "usage is not journalled: what no router has heard of is lost if this process dies");
            }
            (Outcome::Failed, None) => info!("usage is journalled again"),
            (Outcome::Safe, None) | (Outcome::Failed, Some(_)) => {}
        }
        self.outcome = outcome;
    }
}
