//! What every door of the router shares: the fleet, the leases and the ledger.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use scheduler::{
    Decision, Dice, Fleet, Models, NodeId, Placement, Policy, Refusal, Report, Request, SessionId, Timestamp,
    UnknownPool, decide, explain,
};
use store::{Claim, Leases, REPORT_LIFE};
use tokio::time::Instant;
use tracing::debug;

use crate::config;
use crate::ledger::Ledger;
use crate::metrics;
use crate::sharing::Outbox;

/// The state behind the router's doors.
pub(crate) struct Core {
    fleet: RwLock<Fleet>,
    ledger: Mutex<Ledger>,
    outbox: Outbox,
    leases: Arc<dyn Leases>,
    policy: Policy,
    models: Models,
    started: Instant,
}

impl Core {
    pub(crate) fn new(policy: config::Policy, leases: Arc<dyn Leases>) -> Self {
        Self {
            fleet: RwLock::new(Fleet::new(policy.pools)),
            ledger: Mutex::new(Ledger::default()),
            outbox: Outbox::default(),
            leases,
            policy: policy.choice,
            models: policy.models,
            started: Instant::now(),
        }
    }

    /// The clock starts late enough for reports that others heard before this router began.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::at(REPORT_LIFE + self.started.elapsed())
    }

    /// Takes a report that an agent made to this router, for its own fleet and for the other routers.
    pub(crate) fn take(&self, report: Report) -> Result<(), UnknownPool> {
        let now = self.now();
        self.fleet_mut().report(report.clone(), now)?;
        self.outbox.push(report, now);
        Ok(())
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub(crate) fn fleet(&self) -> RwLockReadGuard<'_, Fleet> {
        self.fleet.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fleet_mut(&self) -> RwLockWriteGuard<'_, Fleet> {
        self.fleet.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn models(&self) -> &Models {
        &self.models
    }

    /// Decides without promising anything.
    pub(crate) fn consider(&self, request: &Request) -> Decision {
        let began = std::time::Instant::now();
        let (fleet, now) = (self.fleet(), self.now());
        let choice = decide(fleet.view(), request, &self.policy, now, &mut Dice::new(rand::random()));
        metrics::decided(began.elapsed());
        fleet.view().decision(&choice, request, explain(fleet.view(), request, &self.policy, now))
    }

    /// Decides, claims a lease on the best placement that still has room, and puts that one first.
    pub(crate) async fn place(&self, request: &Request) -> Decision {
        let mut decision = self.consider(request);
        let mut held = None;
        for (rank, placement) in decision.placements.iter().enumerate() {
            if self.claim(placement, request.session).await == Claim::Held {
                held = Some(rank);
                break;
            }
        }
        match held {
            Some(rank) => {
                decision.placements.drain(..rank);
                self.reserve(&decision.placements[0].node);
            }
            None if decision.refusal.is_none() => {
                decision.placements.clear();
                decision.refusal = Some(Refusal::Full);
            }
            None => {}
        }
        decision
    }

    fn reserve(&self, node: &NodeId) {
        let fleet = self.fleet();
        if let Some(node) = fleet.view().index_of(node) {
            fleet.view().reserve(node, self.now());
        }
    }

    /// Without the store the node's own refusal holds the line, so a claim that cannot be made counts as held.
    async fn claim(&self, placement: &Placement, session: SessionId) -> Claim {
        let Some(slots) = self.fleet().view().node(&placement.node).map(|node| node.report.hard_slots) else {
            return Claim::Full;
        };
        self.leases.claim(&placement.node, session, slots, self.now()).await.unwrap_or_else(|away| {
            metrics::store_failed("claim");
            debug!(%away, "placing without a lease");
            Claim::Held
        })
    }

    pub(crate) async fn renew(&self, node: &NodeId, session: SessionId) {
        if let Err(away) = self.leases.renew(node, session, self.now()).await {
            metrics::store_failed("renew");
            debug!(%away, "lease not renewed");
        }
    }

    pub(crate) async fn release(&self, node: &NodeId, session: SessionId) {
        if let Err(away) = self.leases.release(node, session).await {
            metrics::store_failed("release");
            debug!(%away, "lease not given back, it will expire");
        }
    }

    pub(crate) async fn leases_on(&self, node: &NodeId) -> u32 {
        self.leases.count(node, self.now()).await.unwrap_or(0)
    }

    /// Returns when a refused caller should ask again.
    pub(crate) fn retry_after(&self) -> Duration {
        Duration::from_secs(2)
    }
}
