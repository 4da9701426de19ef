//! What every door of the router shares: the fleet, the leases and the ledger.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use scheduler::{
    AllowedSet, Class, Decision, Fleet, Models, NodeId, Placement, Priority, Refusal, Report, Request, Scoring,
    SessionId, Timestamp, UnknownPool, decide,
};
use store::{Affinity, Claim, Lease, Leases, REPORT_LIFE, Resource};
use tokio::time::Instant;
use tracing::debug;

use crate::config::Policy;
use crate::ledger::Ledger;
use crate::metrics;
use crate::owed::{Debt, Owed};
use crate::planning::{Board, Starts};
use crate::sharing::{Heard, Outbox};

/// The state behind the router's doors.
pub(crate) struct Core {
    fleet: RwLock<Fleet>,
    ledger: Mutex<Ledger>,
    outbox: Outbox,
    board: Board,
    starts: Starts,
    pub(crate) heard: Heard,
    owed: Owed,
    pub(crate) leases: Arc<dyn Leases>,
    pub(crate) affinity: Arc<dyn Affinity>,
    scoring: Scoring,
    models: Models,
    started: Instant,
}

impl Core {
    pub(crate) fn new(policy: Policy, leases: Arc<dyn Leases>, affinity: Arc<dyn Affinity>) -> Self {
        Self {
            fleet: RwLock::new(Fleet::new(policy.pools)),
            ledger: Mutex::new(Ledger::default()),
            outbox: Outbox::default(),
            heard: Heard::default(),
            owed: Owed::default(),
            board: Board::default(),
            starts: Starts::default(),
            leases,
            affinity,
            scoring: policy.scoring,
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

    pub(crate) fn board(&self) -> &Board {
        &self.board
    }

    pub(crate) fn starts(&self) -> &Starts {
        &self.starts
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
        let decision = decide(&self.fleet(), request, &self.scoring, self.now(), &mut rand::rng());
        metrics::decided(began.elapsed());
        decision
    }

    /// Decides, claims a lease on the best placement that still has room, and puts that one first.
    pub(crate) async fn place(&self, request: &Request) -> Decision {
        let mut decision = self.consider_near(request).await;
        let mut held = None;
        for (rank, placement) in decision.placements.iter().enumerate() {
            if self.claim(placement, request.session).await != Claim::Full {
                held = Some(rank);
                break;
            }
        }
        match held {
            Some(rank) => {
                decision.placements.drain(..rank);
                self.fleet_mut().reserve(&decision.placements[0], self.now());
            }
            None if decision.refusal.is_none() => {
                decision.placements.clear();
                decision.refusal = Some(Refusal::Full);
            }
            None => {}
        }
        self.count(request, &decision);
        decision
    }

    /// Counts how a session began, for the planner. Sessions that move began before, and nothing can be ordered for those that
    /// no pool may serve.
    fn count(&self, request: &Request, decision: &Decision) {
        let counts = request.class == Class::New && request.priority != Priority::Batch;
        if !counts || decision.refusal == Some(Refusal::NotAllowed) {
            return;
        }
        let fleet = self.fleet();
        let allowed = AllowedSet::of(&fleet, request, &mut Vec::new()).pools().map(|pool| pool.name.clone()).collect();
        match decision.refusal {
            None => self.starts.placed(Some(allowed), self.now()),
            Some(_) => self.starts.refused(Some(allowed), self.now()),
        }
    }

    /// Without the store the node's own refusal holds the line, so a claim that cannot be made counts as held.
    async fn claim(&self, placement: &Placement, session: SessionId) -> Claim {
        let Some(slots) = self.fleet().node(&placement.node).map(|node| node.report.hard_slots) else {
            return Claim::Full;
        };
        let lease = Lease::slot(&placement.node, session);
        self.leases.claim(&lease, slots, self.now()).await.unwrap_or_else(|away| {
            metrics::store_failed("claim");
            debug!(%away, "placing without a lease");
            Claim::Held
        })
    }

    /// Renews leases, in one trip for all of them.
    pub(crate) async fn renew(&self, leases: &[Lease]) {
        if let Err(away) = self.leases.renew(leases, self.now()).await {
            metrics::store_failed("renew");
            debug!(%away, leases = leases.len(), "leases not renewed");
        }
    }

    /// Gives a lease back; later where the store does not take it now.
    pub(crate) async fn release(&self, lease: Lease) {
        let debt = Debt { lease, since: self.now() };
        if let Err(debt) = self.try_release(debt).await {
            self.owed.add(debt);
        }
    }

    /// Gives back the leases that the store did not take before, until it does not take one again.
    pub(crate) async fn pay(&self) {
        while let Some(debt) = self.owed.take(self.now()) {
            if let Err(debt) = self.try_release(debt).await {
                return self.owed.add(debt);
            }
        }
    }

    async fn try_release(&self, debt: Debt) -> Result<(), Debt> {
        match self.leases.release(&debt.lease).await {
            Ok(was_held) => {
                if let (true, Resource::Slots(node)) = (was_held, &debt.lease.resource) {
                    self.fleet_mut().note_left(node);
                }
                Ok(())
            }
            Err(away) => {
                metrics::store_failed("release");
                debug!(%away, "lease not given back, it will be tried again");
                Err(debt)
            }
        }
    }

    pub(crate) async fn leases_on(&self, node: &NodeId) -> u32 {
        self.leases.count(&Resource::Slots(node.clone()), self.now()).await.unwrap_or(0)
    }

    /// Returns when a refused caller should ask again.
    pub(crate) fn retry_after(&self) -> Duration {
        Duration::from_secs(2)
    }
}
