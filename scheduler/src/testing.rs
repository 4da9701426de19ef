//! Pools, reports and requests for this crate's tests: ordinary ones, to be changed where a test needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::{
    Class, EngineApi, Link, LinkMode, Market, MicroDollars, NodeState, Pool, Price, Provider, Report, Request,
    Residency, SessionId, Tier, Timestamp, Work,
};

/// A moment long after the clock's start, so that there is a past.
pub(crate) fn noon() -> Timestamp {
    Timestamp::at(Duration::from_secs(12 * 3600))
}

/// An on-demand pool in the US at 52.6 cents a node-hour, 15 ms away.
pub(crate) fn pool(name: &str) -> Pool {
    Pool {
        name: name.parse().unwrap(),
        provider: Provider::Aws,
        region: "us-west-2".parse().unwrap(),
        tier: Tier::Overflow,
        market: Market::OnDemand,
        price: Price { node_hour: MicroDollars(526_000), egress_gb: MicroDollars(90_000) },
        residency: Residency("us".to_owned()),
        compliance: BTreeSet::new(),
        link: Link { mode: LinkMode::Public, round_trip: Duration::from_millis(15), bandwidth: None },
        scaling: None,
        endpoint: None,
    }
}

/// An idle node with 24 soft and 27 hard slots that serves model `m`.
pub(crate) fn report(node: &str, pool: &str) -> Report {
    Report {
        node: node.parse().unwrap(),
        pool: pool.parse().unwrap(),
        address: format!("{node}:80"),
        state: NodeState::Serving,
        models: BTreeSet::from(["m".parse().unwrap()]),
        api: EngineApi::Listen,
        engine_models: BTreeMap::new(),
        soft_slots: 24,
        hard_slots: 27,
        used_slots: 0,
        queue_depth: 0,
        chunk_latency_p95: Duration::from_millis(25),
        realtime_factor: 0.1,
        gpus: Vec::new(),
        sequence: 1,
        engine_pid: None,
        reason: None,
        notice: None,
    }
}

/// A new stream of 16 kHz linear PCM for model `m`, at home anywhere.
pub(crate) fn request() -> Request {
    Request {
        session: SessionId::from_random(1),
        key: None,
        file: None,
        tenant: "t".parse().unwrap(),
        model: "m".parse().unwrap(),
        work: Work::Stream,
        class: Class::New,
        priority: crate::Priority::Live,
        pools: None,
        residency: None,
        compliance: BTreeSet::new(),
        max_cost: None,
        latency_limit: Duration::from_millis(800),
        audio_bytes_per_second: 32_000,
        exclude: BTreeSet::new(),
        prefer: None,
        facts: crate::rules::Facts::default(),
    }
}
