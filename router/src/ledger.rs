//! The ledger: what each session was, why it was placed where it was, and what it cost. The last 10,000 are kept.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use scheduler::{
    Decision, MicroDollars, ModelName, NodeId, Placement, PoolName, Refusal, Rejected, Request, SessionId, TenantId,
    Timestamp, Work,
};
use serde::Serialize;
use store::Amounts;

/// Sessions kept for `explain`; the oldest goes first.
const KEPT: usize = 10_000;
/// Attempts kept per session.
const ATTEMPTS: usize = 32;
/// Parts kept per session: a file of 16 hours has as many chunks.
const PARTS: usize = 2_000;

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
    Moved,
}

/// What a session cost, by what it was spent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Cost {
    pub(crate) gpu: MicroDollars,
    pub(crate) egress: MicroDollars,
    pub(crate) total: MicroDollars,
}

impl Cost {
    /// Splits what was charged.
    pub(crate) fn of(amounts: Amounts) -> Self {
        Self { gpu: amounts.gpu, egress: amounts.egress, total: amounts.cost() }
    }
}

/// What a proxy says a part of a session has used so far, and what that costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) session: SessionId,
    pub(crate) part: u32,
    pub(crate) tenant: TenantId,
    pub(crate) model: ModelName,
    pub(crate) work: Work,
    pub(crate) node: NodeId,
    pub(crate) pool: PoolName,
    pub(crate) amounts: Amounts,
    /// Why the session ended, on its last part.
    pub(crate) ended: Option<String>,
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
    /// How well the stream would have survived its node, as the proxy names it.
    pub(crate) failover: Option<String>,
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
    parts: BTreeMap<u32, Amounts>,
    /// Where it was served, where that was decided by another router or before this one began.
    served_in: Option<PoolName>,
}

impl Entry {
    /// Returns the pool that serves, or served, the session.
    pub(crate) fn pool(&self) -> Option<&PoolName> {
        let node = self.node.as_ref()?;
        let placement = self.placements.iter().find(|placement| placement.node == *node);
        placement.map(|placement| &placement.pool).or(self.served_in.as_ref())
    }

    /// Returns what its parts have used so far.
    pub(crate) fn spent(&self) -> Amounts {
        self.parts.values().fold(Amounts::default(), |all, part| all + *part)
    }

    fn unknown(used: &Used, now: Timestamp) -> Self {
        Self {
            session: used.session,
            tenant: used.tenant.clone(),
            model: used.model.clone(),
            work: used.work,
            life: Life::Live,
            placed_at: now,
            heard_at: now,
            epoch: 0,
            node: Some(used.node.clone()),
            placements: Vec::new(),
            refusal: None,
            rejected: Vec::new(),
            attempts: Vec::new(),
            ending: None,
            parts: BTreeMap::new(),
            served_in: Some(used.pool.clone()),
        }
    }

    /// A file has many chunks and few nodes: of each node its first placement is kept.
    fn add_placements(&mut self, placements: &[Placement]) {
        for placement in placements {
            if !self.placements.iter().any(|known| known.node == placement.node) {
                self.placements.push(placement.clone());
            }
        }
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
    /// Records a decision. A second one for the same session, or for another chunk of the same file, adds its placements
    /// to the first.
    pub(crate) fn decided(&mut self, request: &Request, decision: &Decision, now: Timestamp) {
        let session = request.file.unwrap_or(request.session);
        if let Some(entry) = self.entries.get_mut(&session) {
            entry.add_placements(&decision.placements);
            entry.refusal = decision.refusal;
            entry.rejected.clone_from(&decision.rejected);
            entry.heard_at = now;
            return;
        }
        self.make_room();
        self.order.push_back(session);
        let over = decision.refusal.is_some() && request.file.is_none();
        self.entries.insert(
            session,
            Entry {
                session,
                tenant: request.tenant.clone(),
                model: request.model.clone(),
                work: request.work,
                life: if over { Life::Ended } else { Life::Placed },
                placed_at: now,
                heard_at: now,
                epoch: 0,
                node: None,
                placements: decision.placements.clone(),
                refusal: decision.refusal,
                rejected: decision.rejected.clone(),
                attempts: Vec::new(),
                ending: None,
                parts: BTreeMap::new(),
                served_in: None,
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

    /// Records that a stream left a node that goes away.
    pub(crate) fn moved(&mut self, session: SessionId, node: NodeId) {
        if let Some(entry) = self.entries.get_mut(&session) {
            entry.attempt(node, AttemptOutcome::Moved);
        }
    }

    /// Records the end of a session. A repeated end changes nothing.
    pub(crate) fn ended(&mut self, session: SessionId, ending: Ending) {
        let Some(entry) = self.entries.get_mut(&session) else { return };
        if entry.ending.is_some() {
            return;
        }
        entry.node = ending.node.clone().or_else(|| entry.node.take());
        entry.life = Life::Ended;
        entry.ending = Some(ending);
    }

    /// Records what a session has used so far. One that was placed before this router began is known from now on.
    pub(crate) fn used(&mut self, used: Used, now: Timestamp) {
        if !self.entries.contains_key(&used.session) {
            self.make_room();
            self.order.push_back(used.session);
        }
        let entry = self.entries.entry(used.session).or_insert_with(|| Entry::unknown(&used, now));
        if entry.parts.len() < PARTS || entry.parts.contains_key(&used.part) {
            let part = entry.parts.entry(used.part).or_default();
            *part = part.merge(used.amounts);
        }
        let Some(reason) = used.ended else { return };
        let Amounts { audio, slot, bytes_in, bytes_out, .. } = entry.spent();
        self.ended(
            used.session,
            Ending { node: Some(used.node), reason, audio, slot, bytes_in, bytes_out, failover: None },
        );
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

#[cfg(test)]
mod tests {
    use scheduler::ScoreTerms;

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
            facts: scheduler::rules::Facts::default(),
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
        Decision {
            placements: vec![placement],
            refusal: None,
            rejected: Vec::new(),
            fleet_version: 1,
            seat: None,
            refused_by: None,
        }
    }

    fn ending() -> Ending {
        Ending {
            node: Some("aws-1".parse().unwrap()),
            reason: "completed".to_owned(),
            audio: Duration::from_secs(90),
            slot: Duration::from_secs(100),
            bytes_in: 1_000_000_000,
            bytes_out: 10,
            failover: None,
        }
    }

    fn used(part: u32, bytes_in: u64, ended: Option<&str>) -> Used {
        Used {
            session: request(1).session,
            part,
            tenant: "dev".parse().unwrap(),
            model: "sphinx-en-us".parse().unwrap(),
            work: Work::Stream,
            node: "gcp-1".parse().unwrap(),
            pool: "gcp".parse().unwrap(),
            amounts: Amounts { bytes_in, egress: MicroDollars(7), ..Amounts::default() },
            ended: ended.map(str::to_owned),
        }
    }

    #[test]
    fn a_session_has_used_what_its_parts_have_each_counted_once() {
        let mut ledger = Ledger::default();
        ledger.decided(&request(1), &decision(), Timestamp::ZERO);
        for used in [used(1, 5, None), used(1, 9, None), used(2, 4, None), used(1, 5, None)] {
            ledger.used(used, Timestamp::ZERO);
        }
        let spent = ledger.get(request(1).session).unwrap().spent();
        assert_eq!((spent.bytes_in, Cost::of(spent).total), (13, MicroDollars(14)));
    }

    #[test]
    fn a_session_that_another_router_placed_is_known_by_what_it_uses_and_ends_once() {
        let mut ledger = Ledger::default();
        ledger.used(used(1, 5, None), Timestamp::ZERO);
        let session = request(1).session;
        let entry = ledger.get(session).unwrap();
        assert_eq!((entry.life, entry.pool().map(PoolName::as_str)), (Life::Live, Some("gcp")));
        ledger.used(used(1, 6, Some("proxy_lost")), Timestamp::ZERO);
        ledger.ended(session, ending());
        let entry = ledger.get(session).unwrap();
        let ending = entry.ending.as_ref().map(|ending| (ending.reason.as_str(), ending.bytes_in));
        assert_eq!((entry.life, ending), (Life::Ended, Some(("proxy_lost", 6))));
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
        ledger.ended(session, ending());
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
        ledger.ended(session, Ending { node: None, ..ending() });
        assert_eq!(ledger.nodes(session), ["aws-1".parse().unwrap()]);
    }

    #[test]
    fn the_chunks_of_a_file_are_entered_under_the_file() {
        let mut ledger = Ledger::default();
        let file = request(1).session;
        let chunk = |number| Request { file: Some(file), ..request(number) };
        let full = Decision { placements: Vec::new(), refusal: Some(Refusal::Full), ..decision() };
        ledger.decided(&chunk(2), &full, Timestamp::ZERO);
        assert_eq!(ledger.get(file).unwrap().life, Life::Placed, "a chunk that is refused comes again");
        ledger.decided(&chunk(2), &decision(), Timestamp::ZERO);
        ledger.decided(&chunk(3), &decision(), Timestamp::ZERO);
        ledger.opened(file, "aws-1".parse().unwrap(), 1);
        assert_eq!((ledger.newest().count(), ledger.nodes(file).len()), (1, 1));
        for part in [1, 2] {
            ledger.used(used(part, 5, None), Timestamp::ZERO);
        }
        assert_eq!(ledger.get(file).unwrap().life, Life::Live, "a chunk that is heard is not the end of its file");
        ledger.ended(file, ending());
        let entry = ledger.get(file).unwrap();
        assert_eq!((entry.life, Cost::of(entry.spent()).total), (Life::Ended, MicroDollars(14)));
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
