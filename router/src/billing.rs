//! Billing: what proxies say was used is priced, charged once, and acknowledged when it is safe: in the store, or in this router's
//! own journal while the store is away. No router need have placed the session: a record says everything itself.
//!
//! * `price`: what a record costs.

mod price;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use process::Shutdown;
use proto::v1::{UsageId, UsageRecord};
use scheduler::{PoolName, SessionId};
use store::{Amounts, CHARGE_BATCH, Charge, Day, Journal, Kept, Ledger, Period, RecordNumber, StoreAway, Total};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use crate::app::Charges;
use crate::core::Core;
use crate::ledger::Used;
use crate::metrics;
use price::priced;

/// How often charges that are held are offered to the store.
const FORWARD: Duration = Duration::from_secs(1);
/// Charges that may be held; a proxy keeps what comes then, and says it again.
const HELD: usize = 100_000;

/// The way of charges to the ledger.
pub(crate) struct Billing {
    ledger: Arc<dyn Ledger>,
    journal: Journal<Charge>,
    held: Mutex<HashMap<PartId, Held>>,
    charged: Mutex<HashMap<Option<PoolName>, Amounts>>,
}

type PartId = (SessionId, u32);

/// A charge that the store has not taken.
struct Held {
    charge: Charge,
    number: RecordNumber,
}

impl Billing {
    /// Charges to `ledger`, beginning with what the journal holds.
    pub(crate) fn new(ledger: Arc<dyn Ledger>, (journal, found): Charges) -> Self {
        let held = found.into_iter().map(|Kept { number, record: charge }| {
            let id = (charge.session, charge.part);
            (id, Held { charge, number })
        });
        let held: HashMap<_, _> = held.collect();
        metrics::charges_held(held.len());
        Self { ledger, journal, held: held.into(), charged: Mutex::default() }
    }

    /// Bills records and returns those that are safe now. One that makes no sense is safe in the log alone: it would never become
    /// better.
    pub(crate) async fn bill(&self, core: &Core, records: Vec<UsageRecord>) -> Vec<UsageId> {
        let ids: Vec<_> = records.iter().map(id).collect();
        let mut used = Vec::with_capacity(records.len());
        for record in records {
            match priced(record, |pool| core.view().pool(pool).map(|pool| pool.price)) {
                Ok(priced) => used.push(priced),
                Err(bad) => {
                    metrics::usage_records("refused", 1);
                    warn!(%bad, "a record of usage makes no sense, it is not charged");
                }
            }
        }
        let today = Day::of(SystemTime::now());
        let charges: Vec<_> = used.iter().map(|(charge, _)| charge.clone().sane(today)).collect();
        let now = core.now();
        for (charge, (_, used)) in charges.iter().zip(used) {
            core.ledger().used(Used { amounts: charge.amounts, ..used }, now);
        }
        if self.keep(core, charges, today).await { ids } else { Vec::new() }
    }

    /// Writes charges where they are safe, and tells whether they are.
    async fn keep(&self, core: &Core, charges: Vec<Charge>, today: Day) -> bool {
        let number = charges.len();
        match self.charge(core, &charges, today).await {
            Ok(()) => {
                metrics::usage_records("charged", number);
                true
            }
            Err(away) => {
                metrics::store_failed("charge");
                debug!(%away, charges = number, "charges not written to the store");
                let is_safe = self.hold(charges).await;
                metrics::usage_records(if is_safe { "held" } else { "unsafe" }, number);
                is_safe
            }
        }
    }

    async fn charge(&self, core: &Core, charges: &[Charge], today: Day) -> Result<(), StoreAway> {
        let added = self.ledger.charge(charges, today).await?;
        for (charge, more) in charges.iter().zip(added) {
            let pool = core.view().pool(&charge.pool).map(|pool| pool.name.clone());
            let mut charged = self.charged.lock().unwrap_or_else(PoisonError::into_inner);
            let sum = charged.entry(pool.clone()).or_default();
            *sum = *sum + more;
            metrics::charged(pool.as_ref(), *sum);
        }
        Ok(())
    }

    /// Journals charges until the store is back, where there is a journal.
    async fn hold(&self, charges: Vec<Charge>) -> bool {
        if !self.journal.is_on_disk() || self.held().len() + charges.len() > HELD {
            return false;
        }
        let old = |charge: &Charge| self.held().get(&(charge.session, charge.part)).map(|held| held.number);
        let merged = |charge: Charge| {
            let known = self.held().get(&(charge.session, charge.part)).map(|held| held.charge.amounts);
            Charge { amounts: charge.amounts.merge(known.unwrap_or_default()), ..charge }
        };
        let changes: Vec<_> =
            charges.into_iter().map(|charge| (old(&charge).into_iter().collect(), merged(charge))).collect();
        match self.journal.supersede(&changes).await {
            Ok(numbers) => {
                let mut held = self.held();
                for ((_, charge), number) in changes.into_iter().zip(numbers) {
                    held.insert((charge.session, charge.part), Held { charge, number });
                }
                metrics::charges_held(held.len());
                true
            }
            Err(error) => {
                warn!(%error, "charges are not journalled, their proxies keep them");
                false
            }
        }
    }

    /// Offers the store a few of the charges that are held.
    async fn forward(&self, core: &Core) -> Result<(), StoreAway> {
        let today = Day::of(SystemTime::now());
        loop {
            let some: Vec<_> =
                self.held().values().take(CHARGE_BATCH).map(|held| (held.charge.clone(), held.number)).collect();
            if some.is_empty() {
                return Ok(());
            }
            let charges: Vec<_> = some.iter().map(|(charge, _)| charge.clone()).collect();
            self.charge(core, &charges, today).await?;
            let numbers = self.forwarded(&some);
            if let Err(error) = self.journal.acknowledge(numbers).await {
                debug!(%error, "forwarded charges stay in the journal");
            }
        }
    }

    fn forwarded(&self, charges: &[(Charge, RecordNumber)]) -> Vec<RecordNumber> {
        let mut held = self.held();
        for (charge, number) in charges {
            let id = (charge.session, charge.part);
            // One that grew meanwhile is offered again.
            if held.get(&id).is_some_and(|held| held.number == *number) {
                held.remove(&id);
            }
        }
        metrics::charges_held(held.len());
        charges.iter().map(|(_, number)| *number).collect()
    }

    /// Reads what was charged.
    pub(crate) async fn totals(&self, period: &Period) -> Result<Vec<Total>, StoreAway> {
        self.ledger.totals(period).await
    }

    fn held(&self) -> MutexGuard<'_, HashMap<PartId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn id(record: &UsageRecord) -> UsageId {
    UsageId { session: record.session.clone(), part: record.part, sequence: record.sequence }
}

/// Forwards what is held until the drain begins.
pub(crate) async fn forward(billing: Arc<Billing>, core: Arc<Core>, shutdown: Shutdown) {
    let mut ticks = interval(FORWARD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            _ = ticks.tick() => {}
        }
        let held = billing.held().len();
        if held == 0 {
            continue;
        }
        match billing.forward(&core).await {
            Ok(()) => info!(charges = held, "charges that were held are in the store"),
            Err(away) => debug!(%away, held, "charges are held until the store is back"),
        }
    }
}
