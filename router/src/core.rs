//! What every door of the router shares: the fleet, the leases and the ledger; and the placing of one session.

mod batch;
mod fleet;
mod slots;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use scheduler::{
    Class, Decision, Dice, FleetView, Models, NodeId, Placement, Policy, Priority, Refusal, Report, Request, Seat,
    SessionId, Timestamp, UnknownPool, decide, explain,
};
use store::{Claim, Leases, REPORT_LIFE};
use tokio::time::Instant;
use tracing::debug;

use crate::config;
use crate::decisions::DecisionLog;
use crate::ledger::Ledger;
use crate::metrics;
use crate::sharing::Outbox;

use batch::BatchChunks;
pub(crate) use batch::Orders;
pub(crate) use fleet::FleetGuard;
use fleet::SharedFleet;
use slots::Slots;

/// In a larger fleet the explanation of a decision that found a node is left out: it looks at every node.
const EXPLAINED_NODES: usize = 512;

/// The state behind the router's doors.
pub(crate) struct Core {
    fleet: SharedFleet,
    ledger: Mutex<Ledger>,
    outbox: Outbox,
    leases: Arc<dyn Leases>,
    policy: Policy,
    models: Models,
    slots: Slots,
    batch: BatchChunks,
    decisions: Option<DecisionLog>,
    started: Instant,
}

impl Core {
    pub(crate) fn new(policy: config::Policy, leases: Arc<dyn Leases>, decisions: Option<DecisionLog>) -> Self {
        Self {
            fleet: SharedFleet::new(policy.pools),
            ledger: Mutex::new(Ledger::default()),
            outbox: Outbox::default(),
            leases,
            slots: Slots::new(&policy.choice.limits),
            batch: BatchChunks::default(),
            policy: policy.choice,
            models: policy.models,
            decisions,
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

    /// Returns the fleet as it was published last; nobody waits for it.
    pub(crate) fn view(&self) -> Arc<FleetView> {
        self.fleet.view()
    }

    /// Changes the fleet; the change is published when the guard is dropped, or a little later when changes are many.
    pub(crate) fn fleet_mut(&self) -> FleetGuard<'_> {
        self.fleet.change()
    }

    /// Publishes what was changed and not yet published.
    pub(crate) fn publish(&self) {
        self.fleet.publish();
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn models(&self) -> &Models {
        &self.models
    }

    pub(crate) fn batch(&self) -> &BatchChunks {
        &self.batch
    }

    /// Works out the open set, the nodes that rest and what there is; once a second.
    pub(crate) fn tick(&self) {
        let now = self.now();
        let waiting = self.slots.waiting();
        let arrivals = self.slots.arrivals(self.policy.limits.open.arrivals, now);
        let mut fleet = self.fleet_mut();
        let streams = fleet.streams() + waiting;
        let ticked = fleet.tick(scheduler::Demand { streams, arrivals }, &self.policy, now);
        drop(fleet);
        metrics::ticked(&ticked, waiting);
    }

    /// Lets those who wait for a slot look again, as many as there are slots; several times a second.
    pub(crate) fn let_in(&self) {
        self.slots.let_in(self.view().free_slots(), self.now());
    }

    /// Decides without promising anything, and says why other nodes were passed over.
    pub(crate) fn consider(&self, request: &Request) -> Decision {
        let (view, now) = (self.view(), self.now());
        let mut decision = self.decide(&view, request, now);
        decision.rejected = explain(&view, request, &self.policy, now);
        decision
    }

    fn decide(&self, view: &FleetView, request: &Request, now: Timestamp) -> Decision {
        let seed = rand::random();
        if let Some(decision) =
            self.decisions.as_ref().and_then(|log| log.record(view, request, &self.policy, (now, seed)))
        {
            return decision;
        }
        let began = std::time::Instant::now();
        let choice = decide(view, request, &self.policy, now, &mut Dice::new(seed));
        metrics::decided(began.elapsed());
        let decision = view.decision(&choice, request, Vec::new());
        if view.nodes().nth(EXPLAINED_NODES).is_some() && decision.refusal.is_none() {
            return decision;
        }
        Decision { rejected: explain(view, request, &self.policy, now), ..decision }
    }

    /// Places a session: at once if it can, after a wait if it may.
    pub(crate) async fn place(&self, request: &Request, patience: Duration) -> Decision {
        let (asked_at, patience) = (self.now(), patience.min(self.policy.limits.queue.patience));
        self.slots.asked(request, asked_at);
        let mut decision = self.admit(request).await;
        while decision.refusal == Some(Refusal::Full) && request.priority != Priority::Batch {
            if !self.slots.wait(request, asked_at + patience, self.now()).await {
                break;
            }
            decision = self.admit(request).await;
        }
        decision
    }

    /// Tries once, unless fairness speaks against it: then every slot counts as taken.
    async fn admit(&self, request: &Request) -> Decision {
        let view = self.view();
        let own = || self.ledger().open_of(&request.tenant);
        if request.class == Class::New && !self.slots.admits(request, &view, own, self.now()) {
            let decision = view.decision(&scheduler::Choice::refused(Refusal::Full), request, Vec::new());
            return decision;
        }
        self.try_once(&view, request).await
    }

    /// Decides, claims a lease on the best placement that still has room, and puts that one first.
    async fn try_once(&self, view: &FleetView, request: &Request) -> Decision {
        let mut decision = self.decide(view, request, self.now());
        let mut held = None;
        for (rank, placement) in decision.placements.iter().enumerate() {
            if self.claim(view, placement, request.session).await == Claim::Held {
                held = Some(rank);
                break;
            }
        }
        match held {
            Some(rank) => {
                decision.placements.drain(..rank);
                self.promise(view, &decision, request);
            }
            None if decision.refusal.is_none() => {
                decision.placements.clear();
                decision.refusal = Some(Refusal::Full);
            }
            None => {}
        }
        decision
    }

    /// Counts the slot, and makes a batch chunk yield it where one has it.
    fn promise(&self, view: &FleetView, decision: &Decision, request: &Request) {
        let node = &decision.placements[0].node;
        let now = self.now();
        if let Some(index) = view.index_of(node) {
            view.reserve(index, now);
        }
        if request.priority == Priority::Batch {
            let slots = self.batch.placed(request, node, now);
            self.fleet_mut().set_batch_slots(node, slots);
        } else if decision.seat == Some(Seat::Yielded) {
            self.batch.revoke(node, 1);
        }
    }

    /// Without the store the node's own refusal holds the line, so a claim that cannot be made counts as held.
    async fn claim(&self, view: &FleetView, placement: &Placement, session: SessionId) -> Claim {
        let Some(slots) = view.node(&placement.node).map(|node| node.report.hard_slots) else {
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
        if let Some(slots) = self.batch.left(session) {
            self.fleet_mut().set_batch_slots(node, slots);
        }
    }

    /// Notes that a session gave its slot back, and lets one in who waits for it.
    pub(crate) fn freed(&self) {
        self.slots.freed(self.now());
    }

    pub(crate) async fn leases_on(&self, node: &NodeId) -> u32 {
        self.leases.count(node, self.now()).await.unwrap_or(0)
    }

    /// Returns when a refused caller should ask again.
    pub(crate) fn retry_after(&self) -> Duration {
        self.slots.retry_after(self.now())
    }
}
