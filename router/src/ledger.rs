//! The ledger: what each session was, why it was placed where it was, and what it cost. The last 10,000 are kept.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use scheduler::{
    Decision, MicroDollars, ModelName, NodeId, Placement, PoolName, Price, Refusal, Rejected, Request, ScoreTerms,
    SessionId, TenantId, Timestamp, Work,
};
use serde::Serialize;

/// Sessions kept for `explain`; the oldest goes first.
const KEPT: usize = 10_000;
/// Attempts kept per session.
const ATTEMPTS: usize = 32;

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Life {
    /// Decided, not yet open.
    Placed,
    /// Open on a node.
    Live,
    /// Over.
    Ended,
    /// Its proxy has said nothing of it for as long as a lease lives, and may be gone.
    Lost,
}

/// One try to open a session on a node, or its loss there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Attempt {
    pub(crate) node: NodeId,
    #[serde(flatten)]
    pub(crate) outcome: AttemptOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(crate) enum AttemptOutcome {
    Opened,
    Failed { cause: String },
}

/// What a session cost, by what it was spent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Cost {
    pub(crate) gpu: MicroDollars,
    pub(crate) egress: MicroDollars,
    pub(crate) total: MicroDollars,
}

/// What a proxy says of a session at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) node: Option<NodeId>,
    pub(crate) reason: String,
    pub(crate) audio: Duration,
    pub(crate) slot: Duration,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// One session.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) session: SessionId,
    pub(crate) tenant: TenantId,
    pub(crate) model: ModelName,
    pub(crate) work: Work,
    pub(crate) life: Life,
    pub(crate) placed_at: Timestamp,
    pub(crate) heard_at: Timestamp,
    pub(crate) epoch: u32,
    pub(crate) node: Option<NodeId>,
    pub(crate) placements: Vec<Placement>,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) ending: Option<Ending>,
    pub(crate) cost: Cost,
}

impl Entry {
    /// Returns the pool that serves, or served, the session.
    pub(crate) fn pool(&self) -> Option<&PoolName> {
        let node = self.node.as_ref()?;
        self.placements.iter().find(|placement| placement.node == *node).map(|placement| &placement.pool)
    }

    fn terms(&self, node: &NodeId) -> ScoreTerms {
        let placement = self.placements.iter().find(|placement| placement.node == *node);
        placement.map(|placement| placement.terms).unwrap_or_default()
    }

    fn attempt(&mut self, node: NodeId, outcome: AttemptOutcome) {
        if self.attempts.len() < ATTEMPTS {
            self.attempts.push(Attempt { node, outcome });
        }
    }
}

/// The sessions, newest last.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: HashMap<SessionId, Entry>,
    order: VecDeque<SessionId>,
}

impl Ledger {
    /// Records a decision. A second one for the same session adds its placements to the first.
    pub(crate) fn decided(&mut self, request: &Request, decision: &Decision, now: Timestamp) {
        if let Some(entry) = self.entries.get_mut(&request.session) {
            entry.placements.extend(decision.placements.iter().cloned());
            entry.refusal = decision.refusal;
            entry.rejected.clone_from(&decision.rejected);
            entry.heard_at = now;
            return;
        }
        self.make_room();
        self.order.push_back(request.session);
        self.entries.insert(
            request.session,
            Entry {
                session: request.session,
                tenant: request.tenant.clone(),
                model: request.model.clone(),
                work: request.work,
                life: if decision.refusal.is_some() { Life::Ended } else { Life::Placed },
                placed_at: now,
                heard_at: now,
                epoch: 0,
                node: None,
                placements: decision.placements.clone(),
                refusal: decision.refusal,
                rejected: decision.rejected.clone(),
                attempts: Vec::new(),
                ending: None,
                cost: Cost::default(),
            },
        );
    }

    /// Records that a leg was opened. Returns the node that the session leaves for it.
    pub(crate) fn opened(&mut self, session: SessionId, node: NodeId, epoch: u32) -> Option<NodeId> {
        let entry = self.entries.get_mut(&session)?;
        if entry.life != Life::Ended {
            entry.life = Life::Live;
        }
        entry.epoch = epoch;
        entry.attempt(node.clone(), AttemptOutcome::Opened);
        entry.node.replace(node)
    }

    /// Records that a proxy still holds a session.
    pub(crate) fn renewed(&mut self, session: SessionId, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(&session) else { return };
        entry.heard_at = now;
        if entry.life == Life::Lost {
            entry.life = Life::Live;
        }
    }

    /// Calls lost what no proxy has spoken of for `patience`.
    pub(crate) fn lose_silent(&mut self, patience: Duration, now: Timestamp) {
        for entry in self.entries.values_mut() {
            let open = matches!(entry.life, Life::Placed | Life::Live);
            if open && now.since(entry.heard_at) > patience {
                entry.life = Life::Lost;
            }
        }
    }

    /// Records that a node refused or lost a session.
    pub(crate) fn failed(&mut self, session: SessionId, node: NodeId, cause: String) {
        if let Some(entry) = self.entries.get_mut(&session) {
            entry.attempt(node, AttemptOutcome::Failed { cause });
        }
    }

    /// Records the end of a session and what it cost at `price_of` its pool. A repeated end changes nothing.
    pub(crate) fn ended(&mut self, session: SessionId, ending: Ending, price_of: impl Fn(&PoolName) -> Option<Price>) {
        let Some(entry) = self.entries.get_mut(&session) else { return };
        if entry.ending.is_some() {
            return;
        }
        entry.node = ending.node.clone().or_else(|| entry.node.take());
        if let (Some(price), Some(node)) = (entry.pool().and_then(price_of), &entry.node) {
            entry.cost = cost(entry.terms(node).gpu, price, &ending);
        }
        entry.life = Life::Ended;
        entry.ending = Some(ending);
    }

    /// Finds one session.
    pub(crate) fn get(&self, session: SessionId) -> Option<&Entry> {
        self.entries.get(&session)
    }

    /// Returns the nodes that may still hold a slot for a session: those it was placed on, tried or not.
    pub(crate) fn nodes(&self, session: SessionId) -> Vec<NodeId> {
        let placements = self.get(session).map_or(&[][..], |entry| &entry.placements);
        placements.iter().map(|placement| placement.node.clone()).collect()
    }

    /// Returns the sessions, newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Entry> {
        self.order.iter().rev().filter_map(|session| self.entries.get(session))
    }

    /// Counts the sessions that a tenant has open.
    pub(crate) fn open_of(&self, tenant: &TenantId) -> u32 {
        let open = |entry: &&Entry| entry.tenant == *tenant && matches!(entry.life, Life::Placed | Life::Live);
        u32::try_from(self.entries.values().filter(open).count()).unwrap_or(u32::MAX)
    }

    /// Counts the live sessions.
    pub(crate) fn live(&self) -> usize {
        self.entries.values().filter(|entry| entry.life == Life::Live).count()
    }

    fn make_room(&mut self) {
        while self.order.len() >= KEPT {
            if let Some(oldest) = self.order.pop_front() {
                self.entries.remove(&oldest);
            }
        }
    }
}

/// A slot costs its share of the node for as long as it was held; every byte sent to the node costs egress.
fn cost(slot_hour: MicroDollars, price: Price, ending: &Ending) -> Cost {
    let gpu = MicroDollars::from_dollars(slot_hour.dollars() * ending.slot.as_secs_f64() / 3600.0);
    let egress = MicroDollars::from_dollars(price.egress_gb.dollars() * ending.bytes_in as f64 / 1e9);
    Cost { gpu, egress, total: gpu + egress }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(session: u128) -> Request {
        Request {
            session: SessionId::from_random(session),
            tenant: "dev".parse().unwrap(),
            model: "sphinx-en-us".parse().unwrap(),
            work: Work::Stream,
            key: None,
            file: None,
            class: scheduler::Class::New,
            priority: scheduler::Priority::Live,
            pools: None,
            residency: None,
            compliance: [].into(),
            max_cost: None,
            latency_limit: Duration::from_millis(300),
            audio_bytes_per_second: 32_000,
            exclude: [].into(),
            prefer: None,
        }
    }

    fn decision() -> Decision {
        let terms = ScoreTerms { gpu: MicroDollars(36_000), ..ScoreTerms::default() };
        let placement = Placement {
            node: "aws-1".parse().unwrap(),
            pool: "aws".parse().unwrap(),
            address: "127.0.0.1:1".to_owned(),
            terms,
            api: scheduler::EngineApi::Listen,
            engine_model: None,
        };
        Decision { placements: vec![placement], refusal: None, rejected: Vec::new(), fleet_version: 1, seat: None }
    }

    fn ending() -> Ending {
        Ending {
            node: Some("aws-1".parse().unwrap()),
            reason: "completed".to_owned(),
            audio: Duration::from_secs(90),
            slot: Duration::from_secs(100),
            bytes_in: 1_000_000_000,
            bytes_out: 10,
        }
    }

    fn price(_: &PoolName) -> Option<Price> {
        Some(Price { node_hour: MicroDollars(360_000), egress_gb: MicroDollars(90_000) })
    }

    #[test]
    fn a_session_pays_for_its_slot_and_its_bytes_once() {
        let mut ledger = Ledger::default();
        let session = request(1).session;
        ledger.decided(&request(1), &decision(), Timestamp::ZERO);
        ledger.ended(session, ending(), price);
        let longer = Ending { slot: Duration::from_secs(1000), ..ending() };
        ledger.ended(session, longer, price);
        let cost = ledger.get(session).unwrap().cost;
        assert_eq!(
            (cost.gpu, cost.egress, cost.total),
            (MicroDollars(1_000), MicroDollars(90_000), MicroDollars(91_000))
        );
    }

    #[test]
    fn a_session_whose_proxy_says_nothing_is_lost_until_it_speaks_again() {
        let mut ledger = Ledger::default();
        let (session, patience) = (request(1).session, Duration::from_secs(15));
        let at = |seconds| Timestamp::at(Duration::from_secs(seconds));
        ledger.decided(&request(1), &decision(), at(0));
        ledger.opened(session, "aws-1".parse().unwrap(), 1);
        ledger.renewed(session, at(5));
        ledger.lose_silent(patience, at(20));
        assert_eq!((ledger.get(session).unwrap().life, ledger.live()), (Life::Live, 1));
        ledger.lose_silent(patience, at(21));
        assert_eq!((ledger.get(session).unwrap().life, ledger.live()), (Life::Lost, 0));
        ledger.renewed(session, at(22));
        assert_eq!(ledger.get(session).unwrap().life, Life::Live);
        ledger.ended(session, ending(), price);
        ledger.renewed(session, at(23));
        ledger.lose_silent(patience, at(90));
        assert_eq!(ledger.get(session).unwrap().life, Life::Ended);
    }

    #[test]
    fn the_oldest_session_makes_room() {
        let mut ledger = Ledger::default();
        for number in 0..=KEPT as u128 {
            ledger.decided(&request(number), &decision(), Timestamp::ZERO);
        }
        assert!(ledger.get(request(0).session).is_none());
        assert_eq!(ledger.newest().count(), KEPT);
        assert_eq!(ledger.newest().next().unwrap().session, request(KEPT as u128).session);
    }

    #[test]
    fn a_session_that_ended_before_a_leg_opened_still_names_the_node_that_was_promised() {
        let mut ledger = Ledger::default();
        let session = request(1).session;
        assert!(ledger.nodes(session).is_empty());
        ledger.decided(&request(1), &decision(), Timestamp::ZERO);
        ledger.ended(session, Ending { node: None, ..ending() }, price);
        assert_eq!(ledger.nodes(session), ["aws-1".parse().unwrap()]);
    }

    #[test]
    fn a_session_that_moves_names_the_node_it_left() {
        let mut ledger = Ledger::default();
        let session = request(1).session;
        ledger.decided(&request(1), &decision(), Timestamp::ZERO);
        assert_eq!(ledger.opened(session, "aws-1".parse().unwrap(), 1), None);
        assert_eq!(ledger.opened(session, "gcp-1".parse().unwrap(), 2), Some("aws-1".parse().unwrap()));
    }
}
