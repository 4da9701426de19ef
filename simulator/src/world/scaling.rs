//! Scaling: what the scaler is told, and how its plan is carried out.

use scheduler::plan::{
    Demand, DemandGroup, GrowWhen, Limits, NodeStage, NodeSupply, Plan, PoolPlan, PoolSupply, Signals, Situation, Zone,
};
use scheduler::{MicroDollars, NodeId};

use super::nodes::{Node, Phase};
use super::{NodeNumber, World};
use crate::policy::FileSlots;
use crate::scenario::PoolSpec;

/// What happened since the last plan.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SincePlan {
    pub(super) arrivals: u32,
    pub(super) slow_starts: u32,
    pub(super) over: u32,
}

impl World<'_> {
    pub(super) fn plan(&mut self) {
        if let Some(leader) = self.routers.first_mut() {
            leader.look_around(self.now);
        }
        let situation = self.situation();
        self.since_plan = SincePlan::default();
        let plan = self.scaler.plan(&situation, self.now);
        self.carry_out(&plan);
    }

    fn situation(&self) -> Situation {
        let pools = self.case.fleet.pools.iter().enumerate();
        let mut pools: Vec<PoolSupply> =
            pools.map(|(index, pool)| supply(pool, self.nodes.slots(index).soft)).collect();
        for number in self.nodes.live() {
            let node = self.nodes.get(*number);
            pools[node.pool].nodes.push(self.node_supply(*number, node));
        }
        Situation { pools, demand: self.demand() }
    }

    fn node_supply(&self, number: NodeNumber, node: &Node) -> NodeSupply {
        let stage = match node.phase {
            Phase::Booting => NodeStage::Booting { age: self.now.since(node.launched) },
            Phase::Serving => NodeStage::Ready,
            Phase::Draining | Phase::Clearing => NodeStage::Draining,
            Phase::Noticed(_) | Phase::Gone => NodeStage::Noticed,
        };
        let open = self.routers.first().is_none_or(|router| router.is_open(number));
        NodeSupply { node: node.id.clone(), stage, used: node.count(), open }
    }

    fn demand(&self) -> Demand {
        let live = self.nodes.level().streams;
        let group = match self.mechanisms.files {
            FileSlots::Idle => {
                DemandGroup { pools: None, live, waiting: self.waiting_count(), batch: self.files.due(self.now) }
            }
            FileSlots::Own => {
                let live = live + self.files.slots_of_their_own(self.now);
                DemandGroup { pools: None, live, waiting: self.waiting_count(), batch: Vec::new() }
            }
        };
        let SincePlan { arrivals, slow_starts, over } = self.since_plan;
        Demand { groups: vec![group], arrivals, slow_starts, over }
    }

    fn carry_out(&mut self, plan: &Plan) {
        for pool in 0..self.case.fleet.pools.len() {
            if let Some(part) = plan.pool(&self.case.fleet.pools[pool].name) {
                self.carry_out_in(pool, part);
            }
        }
    }

    fn carry_out_in(&mut self, pool: usize, part: &PoolPlan) {
        self.turn(&part.undrain, Phase::Serving);
        self.turn(&part.drain, Phase::Draining);
        self.turn(&part.clear, Phase::Clearing);
        for node in &part.terminate {
            if let Some(number) = self.names.get(node).copied() {
                self.terminate(number);
            }
        }
        for _ in 0..part.launch {
            self.launch(pool);
        }
    }

    /// Changes what running nodes are up to; a notice is final.
    fn turn(&mut self, nodes: &[NodeId], phase: Phase) {
        for node in nodes {
            let Some(number) = self.names.get(node).copied() else { continue };
            let node = self.nodes.get_mut(number);
            if matches!(node.phase, Phase::Serving | Phase::Draining | Phase::Clearing) && node.phase != phase {
                node.phase = phase;
                self.send(number);
            }
        }
    }

    /// Ends a node that has no stream; one that has got one meanwhile drains on.
    fn terminate(&mut self, number: NodeNumber) {
        let node = self.nodes.get(number);
        if node.phase != Phase::Gone && node.streams.is_empty() {
            self.settle(number);
        }
    }
}

fn supply(pool: &PoolSpec, soft_slots: u32) -> PoolSupply {
    PoolSupply {
        pool: pool.name.clone(),
        provider: pool.provider,
        zone: Zone(pool.zone.clone()),
        market: pool.market,
        soft_slots,
        node_hour: pool.node_hour,
        egress_slot_hour: MicroDollars::from_dollars(pool.egress_gb.dollars() * super::GIGABYTES_PER_HOUR),
        boot: pool.boot,
        notice: pool.notice,
        limits: Some(Limits { min: pool.nodes.min, desired: pool.nodes.min, max: pool.nodes.max }),
        grow_when: GrowWhen::default(),
        signals: Signals::default(),
        nodes: Vec::new(),
    }
}
