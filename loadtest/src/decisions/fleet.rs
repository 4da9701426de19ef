//! A fleet and requests made up for the measurement: pools of every kind, nodes two thirds full, requests that ask for
//! everything that can be asked for.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use scheduler::rules::Facts;
use scheduler::{
    Beat, Class, Compliance, Demand, Dice, EngineApi, Fleet, FleetView, Link, LinkMode, Market, MicroDollars,
    NodeIndex, NodeState, Policy, Pool, Price, Priority, Provider, Report, Request, Residency, SessionId, Tier,
    Timestamp, Work,
};

use super::DecisionsError;

/// Soft slots of a node, and those above.
const SLOTS: (u32, u32) = (24, 27);
/// Requests that are asked in turn.
const REQUESTS: u128 = 4_096;
const MODELS: [&str; 3] = ["general", "phone", "medical"];
const PROVIDERS: [Provider; 4] = [Provider::Aws, Provider::Gcp, Provider::Coreweave, Provider::OnPrem];
const TIERS: [(Tier, Market); 3] =
    [(Tier::Baseline, Market::Fixed), (Tier::Burst, Market::Spot), (Tier::Overflow, Market::OnDemand)];

/// A fleet with its requests.
pub(super) struct MadeUp {
    fleet: Fleet,
    nodes: Vec<NodeIndex>,
    requests: Vec<Request>,
    dice: Dice,
}

fn wrong(error: impl std::fmt::Display) -> DecisionsError {
    DecisionsError::Fleet(error.to_string())
}

/// Makes up a fleet.
pub(super) fn made_up(nodes: u32, pools: u8) -> Result<MadeUp, DecisionsError> {
    let mut dice = Dice::new(1);
    let pools = (0..pools).map(|number| pool(number, &mut dice)).collect::<Result<Vec<_>, _>>()?;
    let mut fleet = Fleet::new(pools.clone());
    fleet.set_routers(2);
    let indices = (0..nodes).map(|number| {
        let pool = &pools[number as usize % pools.len()];
        fleet.report(report(number, pool)?, Timestamp::ZERO).map_err(wrong)
    });
    let nodes = indices.collect::<Result<_, _>>()?;
    let requests = (0..REQUESTS).map(|number| request(number, &pools, &mut dice)).collect::<Result<_, _>>()?;
    Ok(MadeUp { fleet, nodes, requests, dice })
}

impl MadeUp {
    /// Lets every node report, and time pass.
    pub(super) fn report_all(&mut self, stretch: u32, policy: &Policy) -> Timestamp {
        let now = Timestamp::at(Duration::from_secs(100) + Duration::from_secs(3) * stretch);
        for node in &self.nodes {
            let beat = Beat {
                state: NodeState::Serving,
                used_slots: self.dice.random_range(8..24),
                queue_depth: 0,
                chunk_latency_p95: Duration::from_micros(self.dice.random_range(20_000..120_000)),
            };
            self.fleet.beat(*node, beat, now);
        }
        let streams = self.fleet.streams();
        self.fleet.tick(Demand { streams, arrivals: 10_000 }, policy, now);
        now
    }

    pub(super) fn snapshot(&self) -> Arc<FleetView> {
        self.fleet.snapshot()
    }

    pub(super) fn requests(&self) -> &[Request] {
        &self.requests
    }
}

fn pool(number: u8, dice: &mut Dice) -> Result<Pool, DecisionsError> {
    let (tier, market) = TIERS[usize::from(number) % TIERS.len()];
    let price = MicroDollars(dice.random_range(200_000..800_000));
    Ok(Pool {
        name: format!("pool-{number}").parse().map_err(wrong)?,
        provider: PROVIDERS[usize::from(number) % PROVIDERS.len()],
        region: format!("region-{}", number / 4).parse().map_err(wrong)?,
        tier,
        market,
        price: Price { node_hour: price, egress_gb: MicroDollars(dice.random_range(0..90_000)) },
        residency: Residency(["us", "eu"][usize::from(number) % 2].to_owned()),
        compliance: ["soc2", "hipaa"]
            .iter()
            .take(usize::from(number) % 3)
            .map(|name| Compliance((*name).to_owned()))
            .collect(),
        link: Link {
            mode: LinkMode::Public,
            round_trip: Duration::from_millis(dice.random_range(1..80)),
            bandwidth: None,
        },
        scaling: None,
        endpoint: None,
    })
}

fn report(number: u32, pool: &Pool) -> Result<Report, DecisionsError> {
    Ok(Report {
        node: format!("{}-node-{number:05}", pool.name).parse().map_err(wrong)?,
        pool: pool.name.clone(),
        address: format!("10.0.{}.{}:8090", number / 256, number % 256),
        state: NodeState::Serving,
        models: MODELS.iter().map(|model| model.parse()).collect::<Result<_, _>>().map_err(wrong)?,
        api: EngineApi::Listen,
        engine_models: [].into(),
        soft_slots: SLOTS.0,
        hard_slots: SLOTS.1,
        used_slots: 0,
        queue_depth: 0,
        chunk_latency_p95: Duration::from_millis(40),
        realtime_factor: 0.1,
        gpus: Vec::new(),
        sequence: 1,
        engine_pid: None,
        reason: None,
        notice: None,
    })
}

/// One in three must stay somewhere, one in five wants an audit, one in ten may use some pools only, one in twenty lost its
/// node and one in twenty comes back to it, one in ten is a batch chunk.
fn request(number: u128, pools: &[Pool], dice: &mut Dice) -> Result<Request, DecisionsError> {
    let mut one_in = |many: u32| dice.random_ratio(1, many);
    let residency = one_in(3).then(|| Residency("eu".to_owned()));
    let compliance = one_in(5).then(|| Compliance("soc2".to_owned())).into_iter().collect();
    let granted = one_in(10).then(|| pools.iter().step_by(2).take(8).map(|pool| pool.name.clone()).collect());
    let node = |number: u128| format!("{}-node-{number:05}", pools[number as usize % pools.len()].name).parse();
    let exclude = one_in(20).then(|| node(number)).transpose().map_err(wrong)?;
    let prefer = one_in(20).then(|| node(number)).transpose().map_err(wrong)?;
    let priority = if one_in(10) { Priority::Batch } else { Priority::Live };
    let max_cost = one_in(5).then_some(MicroDollars(60_000));
    Ok(Request {
        session: SessionId::from_random(number),
        tenant: "bench".parse().map_err(wrong)?,
        key: None,
        file: None,
        model: MODELS[number as usize % MODELS.len()].parse().map_err(wrong)?,
        work: Work::Stream,
        class: if exclude.is_some() { Class::Failover } else { Class::New },
        priority,
        pools: granted,
        residency,
        compliance,
        max_cost,
        latency_limit: Duration::from_millis(300),
        audio_bytes_per_second: 32_000,
        exclude: exclude.into_iter().collect(),
        prefer,
        facts: Facts::default(),
    })
}
