//! The embedded ledger: totals in memory, and in a journal where a directory is configured. Sessions are remembered one by one
//! while their charges may come again; the oldest are folded into totals of which nobody can tell them apart any more.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use scheduler::SessionId;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::Embedded;
use crate::StoreAway;
use crate::journal::{Journal, Kept, RecordNumber};
use crate::usage::{Amounts, Cell, Charge, DAYS_KEPT, Day, Ledger, Period, Total, totals};

/// Sessions remembered one by one; those that were charged longest ago are folded.
const REMEMBERED: usize = 100_000;
/// Sessions folded at one time.
const FOLDED: usize = 1_000;
/// Totals in one record of the journal, which may not be longer than a line.
const TOTALS: usize = 800;

/// What the ledger's journal holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Page {
    /// A part of a session, and what it added to which day.
    Posted {
        /// The greatest charge so far.
        charge: Charge,
        /// What it came to, day by day.
        days: BTreeMap<Day, Amounts>,
    },
    /// Totals of sessions that are remembered no longer.
    Folded(Vec<Total>),
}

/// A part of a session.
#[derive(Debug)]
struct Posted {
    charge: Charge,
    days: BTreeMap<Day, Amounts>,
    number: RecordNumber,
}

#[derive(Debug)]
struct Session {
    /// When it was charged last, in charges.
    touched: u64,
    parts: BTreeMap<u32, Posted>,
}

/// Everything that was charged.
#[derive(Debug)]
pub(super) struct Books {
    journal: Journal<Page>,
    cells: BTreeMap<Cell, Amounts>,
    sessions: HashMap<SessionId, Session>,
    order: BTreeMap<u64, SessionId>,
    touches: u64,
    folded: Vec<(RecordNumber, Vec<Total>)>,
    today: Option<Day>,
}

impl Books {
    pub(super) fn open(journal: Journal<Page>, pages: Vec<Kept<Page>>) -> Self {
        let mut books = Self {
            journal,
            cells: BTreeMap::new(),
            sessions: HashMap::new(),
            order: BTreeMap::new(),
            touches: 0,
            folded: Vec::new(),
            today: None,
        };
        for Kept { number, record } in pages {
            match record {
                Page::Posted { charge, days } => books.post(Posted { charge, days, number }),
                Page::Folded(totals) => {
                    totals.iter().for_each(|total| books.add(cell(total), total.amounts));
                    books.folded.push((number, totals));
                }
            }
        }
        books
    }

    fn add(&mut self, cell: Cell, amounts: Amounts) {
        let sum = self.cells.entry(cell).or_default();
        *sum = *sum + amounts;
    }

    /// Puts a part in the place of what it was before.
    fn post(&mut self, posted: Posted) {
        let Charge { session, part, key, pool, model, .. } = posted.charge.clone();
        let before = self.sessions.get(&session).and_then(|known| known.parts.get(&part));
        let before = before.map_or_else(BTreeMap::new, |known| known.days.clone());
        for (day, amounts) in &posted.days {
            let known = before.get(day).copied().unwrap_or_default();
            self.add((*day, key.clone(), pool.clone(), model.clone()), amounts.beyond(known));
        }
        self.touches += 1;
        let known = self.sessions.entry(session).or_insert(Session { touched: 0, parts: BTreeMap::new() });
        self.order.remove(&known.touched);
        self.order.insert(self.touches, session);
        known.touched = self.touches;
        known.parts.insert(part, posted);
    }

    /// Says what a charge adds, and what the part comes to with it.
    fn judge(&self, charge: &Charge) -> (Amounts, Option<RecordNumber>, Page) {
        let session = self.sessions.get(&charge.session);
        let known = session.and_then(|known| known.parts.get(&charge.part));
        let mut merged = known
            .map_or_else(|| Charge { amounts: Amounts::default(), ..charge.clone() }, |known| known.charge.clone());
        let mut days = known.map_or_else(BTreeMap::new, |known| known.days.clone());
        let mut added = charge.amounts.beyond(merged.amounts);
        added.sessions = u64::from(session.is_none());
        merged.amounts = merged.amounts.merge(charge.amounts);
        let day = days.entry(charge.day).or_default();
        *day = *day + added;
        (added, known.map(|known| known.number), Page::Posted { charge: merged, days })
    }

    async fn charge(&mut self, charges: &[Charge]) -> Result<Vec<Amounts>, StoreAway> {
        let mut added = Vec::with_capacity(charges.len());
        // A batch may hold a session twice; each of its charges must be judged by the one before.
        let mut rest = charges;
        while !rest.is_empty() {
            let distinct = distinct(rest);
            let (now, later) = rest.split_at(distinct);
            added.extend(self.charge_distinct(now).await?);
            rest = later;
        }
        self.fold().await?;
        Ok(added)
    }

    async fn charge_distinct(&mut self, charges: &[Charge]) -> Result<Vec<Amounts>, StoreAway> {
        let (mut added, mut pages) = (Vec::new(), Vec::new());
        for charge in charges {
            let (more, number, page) = self.judge(charge);
            added.push(more);
            if more != Amounts::default() {
                pages.push((number.into_iter().collect(), page));
            }
        }
        let numbers = self.journal.supersede(&pages).await.map_err(|error| StoreAway(error.to_string()))?;
        for ((_, page), number) in pages.into_iter().zip(numbers) {
            if let Page::Posted { charge, days } = page {
                self.post(Posted { charge, days, number });
            }
        }
        Ok(added)
    }

    /// Forgets who the sessions were that were charged longest ago, and keeps what they come to.
    async fn fold(&mut self) -> Result<(), StoreAway> {
        if self.sessions.len() < REMEMBERED + FOLDED {
            return Ok(());
        }
        let oldest: Vec<_> = self.order.iter().take(FOLDED).map(|(touched, session)| (*touched, *session)).collect();
        let (mut sums, mut old) = (BTreeMap::<Cell, Amounts>::new(), Vec::new());
        let open = self.folded.last().filter(|(_, totals)| totals.len() < TOTALS);
        if let Some((number, totals)) = open {
            old.push(*number);
            sums.extend(totals.iter().map(|total| (cell(total), total.amounts)));
        }
        let is_open = !old.is_empty();
        let parts =
            oldest.iter().filter_map(|(_, session)| self.sessions.get(session)).flat_map(|known| known.parts.values());
        for Posted { charge, days, number } in parts {
            old.push(*number);
            for (day, amounts) in days {
                let sum =
                    sums.entry((*day, charge.key.clone(), charge.pool.clone(), charge.model.clone())).or_default();
                *sum = *sum + *amounts;
            }
        }
        let totals = totals(sums);
        let number = self.journal.replace(old, &Page::Folded(totals.clone())).await;
        let number = number.map_err(|error| StoreAway(error.to_string()))?;
        if is_open {
            self.folded.pop();
        }
        self.folded.push((number, totals));
        for (touched, session) in oldest {
            self.order.remove(&touched);
            self.sessions.remove(&session);
        }
        Ok(())
    }

    /// Lets days go that are kept no longer.
    async fn turn(&mut self, today: Day) {
        if self.today.is_some_and(|day| day >= today) {
            return;
        }
        self.today = Some(today);
        let first = today.before(DAYS_KEPT - 1);
        self.cells.retain(|(day, ..), _| *day >= first);
        let is_old = |totals: &[Total]| totals.iter().all(|total| total.day < first);
        let old = self.folded.extract_if(.., |(_, totals)| is_old(totals)).map(|(number, _)| number).collect();
        if let Err(error) = self.journal.acknowledge(old).await {
            tracing::debug!(%error, "old days stay in the journal");
        }
    }
}

fn cell(total: &Total) -> Cell {
    (total.day, total.key.clone(), total.pool.clone(), total.model.clone())
}

/// Counts charges up to the first whose session came before.
fn distinct(charges: &[Charge]) -> usize {
    let mut seen = std::collections::HashSet::new();
    charges.iter().take_while(|charge| seen.insert(charge.session)).count()
}

/// One owner at a time, its journal included: a charge is judged by those before it.
pub(super) type Shared = Mutex<Books>;

#[async_trait]
impl Ledger for Embedded {
    async fn charge(&self, charges: &[Charge], today: Day) -> Result<Vec<Amounts>, StoreAway> {
        let mut books = self.books.lock().await;
        books.turn(today).await;
        books.charge(charges).await
    }

    async fn totals(&self, period: &Period) -> Result<Vec<Total>, StoreAway> {
        let books = self.books.lock().await;
        let days: std::collections::BTreeSet<Day> = period.days().collect();
        let asked =
            |(day, key, ..): &Cell| days.contains(day) && period.key.as_ref().is_none_or(|wanted| wanted == key);
        Ok(totals(books.cells.iter().filter(|(cell, _)| asked(cell)).map(|(cell, sum)| (cell.clone(), *sum)).collect()))
    }
}
