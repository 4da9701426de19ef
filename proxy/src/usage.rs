//! What sessions use: metered as they go, journalled every 5 s and at the end, told to a router until it is safe there.
//!
//! * [`Meter`]: one part of a session, a leg of a stream or a try of a file; an audio chunk costs it three stores into memory.
//! * `spent`: what a part has used so far, as the journal and the wire have it. `keeper`: the task that journals.
//! * [`Meters`]: all of them, and what no router has acknowledged yet.
//!
//! A record says everything that its part has used so far, so the last one that is safe is enough, and hearing one twice is free.
//! A part that is live when the process dies is told as lost by the process that opens its journal next.

mod keeper;
mod meter;
mod spent;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::v1::{Usage, UsageId};
use scheduler::{Placement, Request, SessionId};
use store::{Journal, JournalError, Kept, RecordNumber, StoreConfig};
use tokio::sync::Notify;

use crate::metrics;

pub(crate) use keeper::keep;
pub(crate) use meter::Meter;
use meter::Part;
pub(crate) use spent::Spent;

/// Records in one message to the router.
const BATCH: usize = 200;
/// Parts whose last record may wait for an acknowledgement; those beyond are in the journal alone.
const WAITING: usize = 200_000;

/// The name of a journal.
const NAME: &str = "proxy-usage";
/// Journals in one directory, at most: one for the proxy that serves, the others for those that drain beside it.
const JOURNALS: u32 = 64;

/// The journal of what sessions used, and what the process before this one left in it.
#[derive(Debug)]
pub struct UsageJournal {
    pub(crate) journal: Journal<Spent>,
    pub(crate) found: Vec<Kept<Spent>>,
    /// Journals of processes that are gone, with what is left in them.
    pub(crate) left: Vec<(Journal<Spent>, Vec<Kept<Spent>>)>,
}

impl UsageJournal {
    /// Opens the journal `proxy-usage` where the configuration says. Blocks.
    ///
    /// # Errors
    /// Fails when the file cannot be used, or when another process does.
    pub fn open(config: &StoreConfig) -> Result<Self, JournalError> {
        let (journal, found) = config.journal(NAME)?;
        Ok(Self { journal, found, left: Vec::new() })
    }

    /// Opens the first journal that no other proxy has, for one that starts beside others and takes over from them, and what
    /// is left in those of proxies that are gone. Blocks.
    ///
    /// # Errors
    /// Fails when a file cannot be used, or when other processes have all 64.
    pub fn open_beside_others(config: &StoreConfig) -> Result<Self, JournalError> {
        let (mut own, mut locked): (Option<Self>, _) = (None, None);
        let others = (2..=JOURNALS).map(|number| format!("{NAME}-{number}"));
        for name in std::iter::once(NAME.to_owned()).chain(others) {
            if own.is_some() && !config.has_journal(&name) {
                continue;
            }
            match (config.journal(&name), &mut own) {
                (Ok((journal, found)), None) => own = Some(Self { journal, found, left: Vec::new() }),
                (Ok((_empty, found)), Some(_)) if found.is_empty() => {}
                (Ok(left), Some(own)) => own.left.push(left),
                // Whoever has it tells what is in it.
                (Err(error @ JournalError::Locked(_)), _) => locked = Some(error),
                (Err(error), _) => return Err(error),
            }
        }
        own.ok_or_else(|| locked.unwrap_or_else(|| JournalError::Locked(NAME.into())))
    }
}

/// A part, by the session that pays and its number.
type PartId = (SessionId, u32);

/// Every meter of this proxy, and what was not acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Meters {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    desk: Mutex<Desk>,
    /// Numbers parts; a session does not outlive its process, so it never sees a number twice.
    next: AtomicU32,
    journal: Journal<Spent>,
    /// Parts opened or closed.
    changed: Notify,
    /// Something to send.
    news: Arc<Notify>,
}

/// A session that may use something yet: a drain waits for what it will have used.
#[derive(Debug)]
pub(crate) struct Open(Meters);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.desk().open -= 1;
        self.0.inner.changed.notify_one();
        self.0.inner.news.notify_one();
    }
}

#[derive(Debug, Default)]
struct Desk {
    /// Sessions that may use something yet.
    open: usize,
    live: HashMap<PartId, Arc<Part>>,
    /// Opened or closed, and not yet journalled.
    fresh: Vec<Arc<Part>>,
    waiting: HashMap<PartId, Waiting>,
    unsent: VecDeque<PartId>,
}

/// A part's last record.
#[derive(Debug)]
struct Waiting {
    spent: Spent,
    /// Where it is in the journal, if the journal took it.
    number: Option<RecordNumber>,
    state: Told,
}

/// Whether a router knows a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Unsent,
    Sent,
    Acknowledged,
}

impl Meters {
    /// Meters into a journal, which says through `news` that there is something to send.
    pub(crate) fn new(journal: Journal<Spent>, news: Arc<Notify>) -> Self {
        let inner = Inner { desk: Mutex::default(), next: AtomicU32::new(1), journal, changed: Notify::new(), news };
        Self { inner: Arc::new(inner) }
    }

    /// Opens a session, which uses nothing yet.
    pub(crate) fn open(&self) -> Open {
        self.desk().open += 1;
        Open(self.clone())
    }

    /// Tells whether no session is open.
    pub(crate) fn nobody_is_open(&self) -> bool {
        self.desk().open == 0
    }

    /// Begins to meter what `request` uses at `placement`. A chunk of a file is the file's.
    pub(crate) fn begin(&self, request: &Request, placement: &Placement) -> Option<Meter> {
        let number = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let part = Arc::new(Part::new(Spent::begin(request, placement, number)?));
        let mut desk = self.desk();
        desk.live.insert(part.id(), Arc::clone(&part));
        desk.fresh.push(Arc::clone(&part));
        drop(desk);
        self.inner.changed.notify_one();
        Some(Meter::new(part, self.clone()))
    }

    fn closed(&self, part: Arc<Part>) {
        let mut desk = self.desk();
        desk.live.remove(&part.id());
        desk.fresh.push(part);
        drop(desk);
        self.inner.changed.notify_one();
    }

    /// Takes the next records to send.
    pub(crate) fn next(&self) -> Option<Usage> {
        let mut desk = self.desk();
        let mut records = Vec::new();
        while let Some(id) = (records.len() < BATCH).then(|| desk.unsent.pop_front()).flatten() {
            if let Some(waiting) = desk.waiting.get_mut(&id).filter(|waiting| waiting.state == Told::Unsent) {
                waiting.state = Told::Sent;
                records.push(waiting.spent.to_wire());
            }
        }
        (!records.is_empty()).then_some(Usage { records })
    }

    /// Notes that records are safe. Returns where they are in the journal, when nothing follows them.
    pub(crate) fn acknowledged(&self, ids: &[UsageId]) -> Vec<RecordNumber> {
        let mut desk = self.desk();
        let mut safe = Vec::new();
        for id in ids {
            let Ok(session) = id.session.parse() else { continue };
            let part = (session, id.part);
            let Some(waiting) = desk.waiting.get_mut(&part) else { continue };
            if waiting.spent.sequence != id.sequence {
                continue;
            }
            waiting.state = Told::Acknowledged;
            // The record of a live part says that it was live, should this process die.
            if !waiting.spent.is_live() {
                safe.extend(waiting.number);
                desk.waiting.remove(&part);
            }
        }
        metrics::usage_waiting(desk.waiting.len());
        safe
    }

    /// Lets records go that are safe elsewhere. A crash before that replays them, which costs nothing.
    pub(crate) async fn forget(&self, numbers: Vec<RecordNumber>) {
        if let Err(error) = self.inner.journal.acknowledge(numbers).await {
            tracing::debug!(%error, "acknowledged usage stays in the journal");
        }
    }

    /// Everything that was not acknowledged is to be sent again.
    pub(crate) fn send_all_again(&self) {
        let mut desk = self.desk();
        desk.send_again(|waiting| waiting.state != Told::Acknowledged);
    }

    /// Tells whether everything that was used is safe.
    pub(crate) fn is_settled(&self) -> bool {
        let desk = self.desk();
        desk.is_idle() && desk.waiting.is_empty()
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.inner.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Tells whether nothing is used now or will be, and all that was used is journalled.
    fn is_idle(&self) -> bool {
        self.open == 0 && self.live.is_empty() && self.fresh.is_empty()
    }

    fn send_again(&mut self, which: impl Fn(&Waiting) -> bool) {
        for (id, waiting) in &mut self.waiting {
            if which(waiting) {
                if waiting.state != Told::Unsent {
                    self.unsent.push_back(*id);
                }
                waiting.state = Told::Unsent;
            }
        }
    }

    /// Keeps a part's last record until it is acknowledged.
    fn tell(&mut self, spent: Spent, number: Option<RecordNumber>) {
        let id = (spent.session, spent.part);
        if self.waiting.len() >= WAITING && !self.waiting.contains_key(&id) {
            metrics::update_dropped();
            return;
        }
        let before = self.waiting.insert(id, Waiting { spent, number, state: Told::Unsent });
        if before.is_none_or(|before| before.state != Told::Unsent) {
            self.unsent.push_back(id);
        }
        metrics::usage_waiting(self.waiting.len());
    }
}

#[cfg(test)]
mod tests;
