//! What a report says: the node's identity, the engine's figures and the GPUs, put together when a report is due. It
//! also knows which changes cannot wait for that.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use scheduler::{EngineApi, ModelName, NodeId, NodeState, PoolName, Ratio, Report};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::engine::{Engine, Figures};
use crate::gauges::Gauges;
use crate::gpus::{Gpus, Host};
use crate::notices::{Heard, Notices, OnRebalance};

/// What does not change while the agent lives.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// This node.
    pub(crate) node: NodeId,
    /// Its pool.
    pub(crate) pool: PoolName,
    /// `host:port` where proxies reach the engine.
    pub(crate) address: String,
    /// Which API its engine speaks.
    pub(crate) api: EngineApi,
    /// Models it shall serve, and what its engine calls them.
    pub(crate) models: BTreeMap<ModelName, ModelName>,
    /// Soft slots, where the operator set them.
    pub(crate) soft_slots: Option<NonZeroU32>,
    /// What a recommendation to rebalance means here.
    pub(crate) on_rebalance: OnRebalance,
}

impl Identity {
    /// Models served, and what the engine calls them: what the engine says, else what the operator says.
    fn models<'a>(&'a self, figures: &'a Figures) -> &'a BTreeMap<ModelName, ModelName> {
        figures.models.as_ref().unwrap_or(&self.models)
    }

    /// Streams served well at once: what the operator says, else what the engine says, else its slots / 1.15, at least 1.
    fn soft_slots(&self, figures: &Figures) -> u32 {
        let derived = || (u64::from(figures.slots) * 100 / 115).max(1).try_into().unwrap_or(u32::MAX);
        let soft = self.soft_slots.map(NonZeroU32::get).or(figures.soft_slots).unwrap_or_else(derived);
        soft.min(figures.slots)
    }
}

/// The part of a report whose change cannot wait for the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Urgent {
    state: NodeState,
    slots: u32,
    soft_slots: u32,
    used: u32,
    pid: Option<u32>,
    models: Vec<ModelName>,
    reason: Option<String>,
}

impl From<&Report> for Urgent {
    fn from(report: &Report) -> Self {
        Self {
            state: report.state,
            slots: report.hard_slots,
            soft_slots: report.soft_slots,
            used: report.used_slots,
            pid: report.engine_pid,
            models: report.models.iter().cloned().collect(),
            reason: report.reason.clone(),
        }
    }
}

/// Whether the node takes sessions, as far as its agent has a say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Open,
    /// The agent was told to end.
    Closed,
}

/// Writes this node's reports.
#[derive(Debug)]
pub(crate) struct Reporter {
    identity: Identity,
    gpus: Gpus,
    notices: watch::Receiver<Notices>,
    gauges: Gauges,
    door: Door,
    sequence: u64,
    said: Option<Urgent>,
}

impl Reporter {
    /// Makes a reporter that has said nothing yet.
    pub(crate) fn new(identity: Identity, gpus: Gpus, notices: watch::Receiver<Notices>, gauges: Gauges) -> Self {
        Self { identity, gpus, notices, gauges, door: Door::Open, sequence: 0, said: None }
    }

    /// Writes the next report.
    pub(crate) fn report(&mut self, engine: &Engine) -> Report {
        let now = Instant::now();
        let host = self.gpus.read(load(&engine.figures), now);
        self.gauges.cards(&host.cards);
        self.sequence += 1;
        let heard = self.notices.borrow().gravest().cloned();
        let urgent = self.urgent(engine, &host, heard.as_ref());
        let models = self.identity.models(&engine.figures);
        Report {
            node: self.identity.node.clone(),
            pool: self.identity.pool.clone(),
            address: self.identity.address.clone(),
            state: urgent.state,
            models: models.keys().cloned().collect(),
            api: self.identity.api,
            engine_models: models
                .iter()
                .filter(|(ours, theirs)| ours != theirs)
                .map(|(ours, theirs)| (ours.clone(), theirs.clone()))
                .collect(),
            soft_slots: urgent.soft_slots,
            hard_slots: urgent.slots,
            used_slots: urgent.used,
            queue_depth: engine.figures.queue_depth,
            chunk_latency_p95: engine.figures.chunk_latency_p95,
            realtime_factor: engine.figures.realtime_factor,
            gpus: host.cards.into_iter().map(|card| card.gpu).collect(),
            sequence: self.sequence,
            engine_pid: engine.figures.pid,
            reason: urgent.reason,
            notice: heard.map(|heard| heard.notice(now)),
        }
    }

    /// Takes no more sessions from now on.
    pub(crate) fn drain(&mut self) {
        self.door = Door::Closed;
    }

    /// Tells whether sessions are taken.
    pub(crate) fn is_open(&self) -> bool {
        self.door == Door::Open
    }

    /// Resolves when the cloud has said something new.
    pub(crate) async fn noticed(&mut self) {
        if self.notices.changed().await.is_err() {
            // Nobody listens to a cloud.
            std::future::pending::<()>().await;
        }
    }

    /// Notes that a report is on its way to the router.
    pub(crate) fn note_sent(&mut self, report: &Report) {
        self.said = Some(Urgent::from(report));
    }

    /// Forgets what was said: a router that was just reached has heard nothing.
    pub(crate) fn forget(&mut self) {
        self.said = None;
    }

    /// Tells whether something has changed so that the router must hear of it at once.
    pub(crate) fn is_urgent(&self, engine: &Engine) -> bool {
        let now = self.urgent(engine, &self.gpus.last(), self.notices.borrow().gravest());
        self.said.as_ref() != Some(&now)
    }

    fn urgent(&self, engine: &Engine, host: &Host, heard: Option<&Heard>) -> Urgent {
        let figures = &engine.figures;
        Urgent {
            state: self.state(engine.state, host, heard),
            slots: host.slots_in_service(figures.slots),
            soft_slots: host.slots_in_service(self.identity.soft_slots(figures)),
            used: figures.used.unwrap_or_default(),
            pid: figures.pid,
            models: self.identity.models(figures).keys().cloned().collect(),
            reason: self.reason(engine, host, heard),
        }
    }

    fn state(&self, engine: NodeState, host: &Host, heard: Option<&Heard>) -> NodeState {
        let goes = heard.is_some_and(|heard| heard.drains(self.identity.on_rebalance));
        match (engine, self.door) {
            (_, Door::Closed) => NodeState::Draining,
            (NodeState::Serving, Door::Open) if host.is_out() => NodeState::Failing,
            (NodeState::Serving, Door::Open) if goes => NodeState::Draining,
            (state, Door::Open) => state,
        }
    }

    /// Says why the node does not serve, or serves less than it could.
    fn reason(&self, engine: &Engine, host: &Host, heard: Option<&Heard>) -> Option<String> {
        let door = match self.door {
            Door::Open => None,
            Door::Closed => Some("its agent was told to end".to_owned()),
        };
        let heard = heard.map(|heard| heard.text.clone());
        let engine = engine.problem.clone().or_else(|| engine.figures.remark.clone());
        let reasons: Vec<_> = [heard, door, host.why_out(), engine].into_iter().flatten().collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// Returns the gauges that the reports are counted on.
    pub(crate) fn gauges(&self) -> &Gauges {
        &self.gauges
    }

    /// Returns what does not change.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }
}

fn load(figures: &Figures) -> Ratio {
    let used = figures.used.unwrap_or_default();
    if figures.slots == 0 { Ratio::ZERO } else { Ratio::clamped(used as f32 / figures.slots as f32) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(soft_slots: Option<u32>) -> Identity {
        Identity {
            node: "aws-1".parse().unwrap(),
            pool: "aws".parse().unwrap(),
            address: "127.0.0.1:8090".to_owned(),
            api: EngineApi::Listen,
            models: BTreeMap::new(),
            soft_slots: soft_slots.and_then(NonZeroU32::new),
            on_rebalance: OnRebalance::Tell,
        }
    }

    fn engine(used: u32) -> Engine {
        let figures = Figures { slots: 10, used: Some(used), ..Figures::default() };
        Engine { state: NodeState::Serving, figures, problem: None }
    }

    fn reporter() -> Reporter {
        Reporter::new(identity(None), Gpus::none(), watch::channel(Notices::default()).1, Gauges::default())
    }

    #[test]
    fn soft_slots_come_from_operator_then_engine_then_slots() {
        let says = |slots, soft_slots| Figures { slots, soft_slots, ..Figures::default() };
        assert_eq!(identity(Some(3)).soft_slots(&says(10, Some(9))), 3);
        assert_eq!(identity(None).soft_slots(&says(10, Some(9))), 9);
        assert_eq!(identity(None).soft_slots(&says(10, None)), 8);
        assert_eq!(identity(None).soft_slots(&says(1, None)), 1);
        assert_eq!(identity(None).soft_slots(&says(0, None)), 0);
        assert_eq!(identity(Some(30)).soft_slots(&says(10, None)), 10);
    }

    #[test]
    fn a_slot_taken_is_urgent_and_a_deeper_queue_is_not() {
        let mut reporter = reporter();
        assert!(reporter.is_urgent(&engine(1)), "nothing was said yet");
        let report = reporter.report(&engine(1));
        reporter.note_sent(&report);
        let mut deeper = engine(1);
        deeper.figures.queue_depth = 9;
        assert!(!reporter.is_urgent(&deeper));
        assert!(reporter.is_urgent(&engine(2)));
    }

    #[test]
    fn every_report_counts_up() {
        let mut reporter = reporter();
        let sequences = [reporter.report(&engine(0)).sequence, reporter.report(&engine(0)).sequence];
        assert_eq!(sequences, [1, 2]);
    }

    #[test]
    fn an_agent_that_was_told_to_end_says_draining() {
        let mut reporter = reporter();
        reporter.drain();
        let report = reporter.report(&engine(2));
        assert_eq!((report.state, report.reason.as_deref()), (NodeState::Draining, Some("its agent was told to end")));
    }

    #[test]
    fn a_host_without_a_card_in_service_fails_and_says_why() {
        let out = crate::gpus::Out { index: 0, why: "GPU 0: XID 79".to_owned() };
        let host = Host { cards: Vec::new(), out: vec![out] };
        let urgent = reporter().urgent(&engine(2), &host, None);
        assert_eq!((urgent.state, urgent.slots, urgent.used), (NodeState::Failing, 0, 2));
        assert_eq!(urgent.reason.as_deref(), Some("GPU 0: XID 79"));
    }

    #[test]
    fn a_host_that_will_be_taken_away_takes_no_more() {
        let heard = |kind| Heard { kind, deadline: None, text: "AWS will terminate this host".to_owned() };
        let urgent = reporter().urgent(&engine(0), &Host::default(), Some(&heard(scheduler::NoticeKind::Preemption)));
        assert_eq!(
            (urgent.state, urgent.reason.unwrap()),
            (NodeState::Draining, "AWS will terminate this host".to_owned())
        );
        let told = reporter().urgent(&engine(0), &Host::default(), Some(&heard(scheduler::NoticeKind::Rebalance)));
        assert_eq!(told.state, NodeState::Serving);
    }
}
