//! What a report says: the node's identity, the engine's figures and the GPUs, put together when a report is due. It
//! also knows which changes cannot wait for that.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use scheduler::{EngineApi, ModelName, NodeId, NodeState, PoolName, Ratio, Report};
use tokio::time::Instant;

use crate::engine::{Engine, Figures};
use crate::gauges::Gauges;
use crate::gpus::Gpus;

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
        }
    }
}

/// Writes this node's reports.
#[derive(Debug)]
pub(crate) struct Reporter {
    identity: Identity,
    gpus: Gpus,
    gauges: Gauges,
    sequence: u64,
    said: Option<Urgent>,
}

impl Reporter {
    /// Makes a reporter that has said nothing yet.
    pub(crate) fn new(identity: Identity, gpus: Gpus, gauges: Gauges) -> Self {
        Self { identity, gpus, gauges, sequence: 0, said: None }
    }

    /// Writes the next report.
    pub(crate) fn report(&mut self, engine: &Engine) -> Report {
        let figures = &engine.figures;
        let cards = self.gpus.read(load(figures), Instant::now());
        self.gauges.cards(&cards);
        self.sequence += 1;
        let models = self.identity.models(figures);
        Report {
            node: self.identity.node.clone(),
            pool: self.identity.pool.clone(),
            address: self.identity.address.clone(),
            state: engine.state,
            models: models.keys().cloned().collect(),
            api: self.identity.api,
            engine_models: models
                .iter()
                .filter(|(ours, theirs)| ours != theirs)
                .map(|(ours, theirs)| (ours.clone(), theirs.clone()))
                .collect(),
            soft_slots: self.identity.soft_slots(figures),
            hard_slots: figures.slots,
            used_slots: figures.used,
            queue_depth: figures.queue_depth,
            chunk_latency_p95: figures.chunk_latency_p95,
            realtime_factor: figures.realtime_factor,
            gpus: cards.into_iter().map(|card| card.gpu).collect(),
            sequence: self.sequence,
            engine_pid: figures.pid,
        }
    }

    /// Writes the report that says goodbye.
    pub(crate) fn farewell(&mut self, engine: &Engine) -> Report {
        Report { state: NodeState::Draining, ..self.report(engine) }
    }

    /// Notes that a report is on its way to the router.
    pub(crate) fn note_sent(&mut self, report: &Report) {
        self.said = Some(Urgent::from(report));
    }

    /// Forgets what was said: a router that was just reached has heard nothing.
    pub(crate) fn forget(&mut self) {
        self.said = None;
    }

    /// Tells whether the engine has changed so that the router must hear of it at once.
    pub(crate) fn is_urgent(&self, engine: &Engine) -> bool {
        let now = Urgent {
            state: engine.state,
            slots: engine.figures.slots,
            soft_slots: self.identity.soft_slots(&engine.figures),
            used: engine.figures.used,
            pid: engine.figures.pid,
            models: self.identity.models(&engine.figures).keys().cloned().collect(),
        };
        self.said.as_ref() != Some(&now)
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
    if figures.slots == 0 { Ratio::ZERO } else { Ratio::clamped(figures.used as f32 / figures.slots as f32) }
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
        }
    }

    fn engine(used: u32) -> Engine {
        let figures = Figures { slots: 10, used, ..Figures::default() };
        Engine { state: NodeState::Serving, figures, problem: None }
    }

    fn reporter() -> Reporter {
        Reporter::new(identity(None), Gpus::none(), Gauges::default())
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
        let sequences = [reporter.report(&engine(0)).sequence, reporter.farewell(&engine(0)).sequence];
        assert_eq!(sequences, [1, 2]);
    }

    #[test]
    fn the_last_report_says_draining() {
        assert_eq!(reporter().farewell(&engine(2)).state, NodeState::Draining);
    }
}
