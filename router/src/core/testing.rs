//! A pool, a node's report as an agent makes it, and a request.

use std::collections::BTreeSet;
use std::time::Duration;

use scheduler::rules::Facts;
use scheduler::{
    Class, EngineApi, Link, LinkMode, Market, MicroDollars, NodeState, Pool, Price, Priority, Provider, Report,
    Request, Residency, SessionId, Tier, Work,
};

/// Returns a pool at home.
pub(crate) fn pool(name: &str) -> Pool {
    Pool {
        name: name.parse().unwrap(),
        provider: Provider::OnPrem,
        region: "home".parse().unwrap(),
        tier: Tier::Baseline,
        market: Market::Fixed,
        price: Price { node_hour: MicroDollars(400_000), egress_gb: MicroDollars(0) },
        residency: Residency("eu".to_owned()),
        compliance: BTreeSet::new(),
        link: Link { mode: LinkMode::Public, round_trip: Duration::from_millis(10), bandwidth: None },
        scaling: None,
        endpoint: None,
    }
}

/// Returns the request of a stream.
pub(crate) fn request() -> Request {
    Request {
        session: SessionId::from_random(0),
        key: None,
        file: None,
        tenant: "tenant".parse().unwrap(),
        model: "sphinx-en-us".parse().unwrap(),
        work: Work::Stream,
        class: Class::New,
        priority: Priority::Live,
        pools: None,
        residency: None,
        compliance: BTreeSet::new(),
        max_cost: None,
        latency_limit: Duration::from_millis(800),
        audio_bytes_per_second: 32_000,
        exclude: BTreeSet::new(),
        prefer: None,
        facts: Facts::default(),
    }
}

/// Returns the first report of a node with four slots.
pub(crate) fn report(node: &str, pool: &str) -> Report {
    Report {
        node: node.parse().unwrap(),
        pool: pool.parse().unwrap(),
        address: "127.0.0.1:9".to_owned(),
        state: NodeState::Serving,
        models: ["sphinx-en-us".parse().unwrap()].into(),
        api: EngineApi::Listen,
        engine_models: [].into(),
        soft_slots: 4,
        hard_slots: 4,
        used_slots: 0,
        queue_depth: 0,
        chunk_latency_p95: Duration::from_millis(20),
        realtime_factor: 0.1,
        gpus: Vec::new(),
        sequence: 1,
        engine_pid: None,
        reason: None,
        notice: None,
    }
}
