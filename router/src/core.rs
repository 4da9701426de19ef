//! What every door of the router shares: the fleet, the leases and the ledger; and the placing of one session.

mod batch;
mod fleet;
mod law;
mod leases;
mod moves;
mod slots;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use scheduler::{
    Allowed, Class, Decision, Dice, FleetView, Priority, Refusal, Report, Request, Timestamp, UnknownPool, decide,
    explain,
};
use store::{Affinity, Claim, Leases, REPORT_LIFE};
use tokio::time::Instant;

use crate::config;
use crate::decisions::DecisionLog;
use crate::endpoints;
use crate::ledger::Ledger;
use crate::metrics;
use crate::outcomes::Outcomes;
use crate::owed::Owed;
use crate::planning::{Board, Starts};
use crate::sharing::{Drains, Heard, Outbox};

use batch::BatchChunks;
pub(crate) use batch::Orders;
pub(crate) use fleet::FleetGuard;
use fleet::SharedFleet;
pub(crate) use law::Law;
use moves::Held;
use slots::Slots;

/// In a larger fleet the explanation of a decision that found a node is left out: it looks at every node.
const EXPLAINED_NODES: usize = 512;

/// The state behind the router's doors.
pub(crate) struct Core {
    fleet: SharedFleet,
    ledger: Mutex<Ledger>,
    outbox: Outbox,
    board: Board,
    starts: Starts,
    pub(crate) heard: Heard,
    owed: Owed,
    pub(crate) leases: Arc<dyn Leases>,
    pub(crate) affinity: Arc<dyn Affinity>,
    pub(crate) drains: Drains,
    pub(crate) outcomes: Outcomes,
    held: Held,
    law: ArcSwap<Law>,
    slots: Slots,
    batch: BatchChunks,
    decisions: Option<DecisionLog>,
    started: Instant,
}

impl Core {
    pub(crate) fn new<S>(policy: &config::Policy, store: &Arc<S>, decisions: Option<DecisionLog>) -> Self
    where
        S: Affinity + Leases + 'static,
    {
        let fleet = SharedFleet::new(policy.pools.clone());
        endpoints::guard(&mut fleet.change(), &policy.choice);
        let law = Law::new(policy, fleet.view().shared_pools());
        Self {
            fleet,
            ledger: Mutex::new(Ledger::default()),
            outbox: Outbox::default(),
            heard: Heard::default(),
            owed: Owed::default(),
            board: Board::default(),
            starts: Starts::default(),
            leases: store.clone(),
            affinity: store.clone(),
            drains: Drains::default(),
            outcomes: Outcomes::default(),
            held: Held::default(),
            slots: Slots::new(&policy.choice.limits),
            batch: BatchChunks::default(),
            law: ArcSwap::from_pointee(law),
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

    pub(crate) fn board(&self) -> &Board {
        &self.board
    }

    pub(crate) fn starts(&self) -> &Starts {
        &self.starts
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

    /// Works out the open set, the nodes that rest and what there is; once a second.
    pub(crate) fn tick(&self) {
        let now = self.now();
        let waiting = self.slots.waiting();
        let law = self.law();
        let arrivals = self.slots.arrivals(law.policy.limits.open.arrivals, now);
        let mut fleet = self.fleet_mut();
        let streams = fleet.streams() + waiting;
        let ticked = fleet.tick(scheduler::Demand { streams, arrivals }, &law.policy, now);
        drop(fleet);
        metrics::ticked(&ticked, waiting);
        self.clear_leaving(now);
    }

    /// Lets those who wait for a slot look again, as many as there are slots; several times a second.
    pub(crate) fn let_in(&self) {
        self.slots.let_in(self.view().free_slots(), self.now());
    }

    /// Decides without promising anything, and says why other nodes were passed over.
    pub(crate) fn consider(&self, request: &Request) -> Decision {
        let (view, now) = (self.view(), self.now());
        let mut decision = self.decide(&view, request, now);
        decision.rejected = explain(&view, request, &self.law_on(&view).policy, now);
        decision
    }

    fn decide(&self, view: &FleetView, request: &Request, now: Timestamp) -> Decision {
        let law = self.law_on(view);
        let mut decision = self.decide_in_silence(view, request, &law, now);
        if decision.refusal == Some(Refusal::NotAllowed) {
            let refused = Allowed::of(view, request, &law.policy.rules).err();
            decision.refused_by = refused.map(|refusal| refusal.to_string());
        }
        decision
    }

    fn decide_in_silence(&self, view: &FleetView, request: &Request, law: &Law, now: Timestamp) -> Decision {
        let policy = &law.policy;
        let seed = rand::random();
        if let Some(decision) = self.decisions.as_ref().and_then(|log| log.record(view, request, policy, (now, seed))) {
            return decision;
        }
        let began = std::time::Instant::now();
        let choice = decide(view, request, policy, now, &mut Dice::new(seed));
        metrics::decided(began.elapsed());
        let decision = view.decision(&choice, request, Vec::new());
        if view.nodes().nth(EXPLAINED_NODES).is_some() && decision.refusal.is_none() {
            return decision;
        }
        Decision { rejected: explain(view, request, policy, now), ..decision }
    }

    /// Places a session: at once if it can, after a wait if it may.
    pub(crate) async fn place(&self, request: &Request, patience: Duration) -> Decision {
        let (asked_at, patience) = (self.now(), patience.min(self.law().policy.limits.queue.patience));
        let near = self.near(request).await;
        let request = near.as_ref().unwrap_or(request);
        // Who has patience was asked before, and was counted then.
        if patience.is_zero() {
            self.slots.asked(request, asked_at);
        }
        let mut decision = self.admit(request).await;
        if patience.is_zero() {
            self.count(request, &decision);
        }
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
            if self.claim(view, &placement.node, request.session).await != Claim::Full {
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
                self.make_way(&decision);
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
        } else {
            self.make_way(decision);
        }
    }

    /// Counts how a session began, for the planner. Sessions that move began before, and nothing can be ordered for those that
    /// no pool may serve.
    fn count(&self, request: &Request, decision: &Decision) {
        let counts = request.class == Class::New && request.priority != Priority::Batch;
        if !counts || decision.refusal == Some(Refusal::NotAllowed) {
            return;
        }
        let view = self.view();
        let law = self.law_on(&view);
        let Ok(allowed) = Allowed::of(&view, request, &law.policy.rules) else { return };
        let allowed = allowed.fallback().pools().map(|pool| pool.name.clone()).collect();
        match decision.refusal {
            None => self.starts.placed(Some(allowed), self.now()),
            Some(_) => self.starts.refused(Some(allowed), self.now()),
        }
    }

    /// Counts the sessions that wait for a slot.
    pub(crate) fn waiting(&self) -> u32 {
        self.slots.waiting()
    }

    /// Returns how long this router has been there.
    pub(crate) fn up(&self) -> Duration {
        self.started.elapsed()
    }

    /// Notes that a session gave its slot back, and lets one in who waits for it.
    pub(crate) fn freed(&self) {
        self.slots.freed(self.now());
    }

    /// Returns when a refused caller should ask again.
    pub(crate) fn retry_after(&self) -> Duration {
        self.slots.retry_after(self.now())
    }
}
