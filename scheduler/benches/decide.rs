//! `decide` and `reserve` on fleets of 100 to 10,000 nodes in 64 pools, each node two thirds full.

#![expect(clippy::panic, reason = "a measurement that cannot go on may panic")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use crosspoint_scheduler::{Beat, Demand, Dice, Fleet, NodeState, Policy, Pool, Report, Request, Timestamp, decide};
use rand::Rng;
use serde_json::{Value, json};

/// A value of the crate from its JSON: shorter than naming every field, and bound to what records look like.
fn made<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}"))
}

fn pool(number: usize) -> Pool {
    let (tier, market) = [("baseline", "fixed"), ("burst", "spot"), ("overflow", "on_demand")][number % 3];
    made(json!({
        "name": format!("pool-{number}"), "provider": "aws", "region": format!("region-{}", number / 4), "tier": tier,
        "market": market, "price": { "node_hour": 0.2 + 0.01 * number as f64, "egress_gb": 0.02 },
        "residency": (["us", "eu"][number % 2]), "compliance": ["soc2"], "link": { "round_trip": "20ms" },
    }))
}

fn report(number: usize) -> Report {
    made(json!({
        "node": format!("node-{number:05}"), "pool": format!("pool-{}", number % 64), "address": "10.0.0.1:8090",
        "state": "serving", "models": ["general"], "soft_slots": 24, "hard_slots": 27, "used_slots": 0, "queue_depth": 0,
        "chunk_latency_p95": { "secs": 0, "nanos": 40_000_000 }, "realtime_factor": 0.1, "gpus": [], "sequence": 1,
        "engine_pid": null,
    }))
}

fn request() -> Request {
    made(json!({
        "session": "6e4d2a35-2f4b-4c7e-9e0a-5f5e0b6f1c11", "tenant": "bench", "key": null, "file": null, "model": "general",
        "work": "stream", "class": "new", "priority": "live", "pools": null, "residency": null, "compliance": ["soc2"],
        "max_cost": 0.05, "latency_limit": { "secs": 0, "nanos": 300_000_000 }, "audio_bytes_per_second": 32_000,
        "exclude": [],
    }))
}

fn fleet(nodes: usize, policy: &Policy, now: Timestamp) -> Fleet {
    let mut dice = Dice::new(1);
    let mut fleet = Fleet::new((0..64).map(pool).collect());
    for number in 0..nodes {
        let node = fleet.report(report(number), now).unwrap_or_else(|error| panic!("{error}"));
        let beat = Beat {
            state: NodeState::Serving,
            used_slots: dice.random_range(8..24),
            queue_depth: 0,
            chunk_latency_p95: Duration::from_micros(dice.random_range(20_000..120_000)),
        };
        fleet.beat(node, beat, now);
    }
    let streams = fleet.streams();
    fleet.tick(Demand { streams, arrivals: 500 }, policy, now);
    fleet
}

fn decisions(criterion: &mut Criterion) {
    let (policy, request) = (Policy::default(), request());
    let began = Timestamp::at(Duration::from_secs(100));
    let mut group = criterion.benchmark_group("decide + reserve");
    for nodes in [100, 1_000, 10_000] {
        let fleet = fleet(nodes, &policy, began);
        let (view, mut dice, mut step) = (fleet.view(), Dice::new(2), 0_u32);
        // Sessions arrive so fast that four a node are on their way at any time.
        let between = Duration::from_secs(3) / (4 * u32::try_from(nodes).unwrap_or(u32::MAX));
        let steps = u32::try_from(Duration::from_millis(2_900).as_nanos() / between.as_nanos()).unwrap_or(1);
        group.bench_with_input(BenchmarkId::from_parameter(nodes), &nodes, |bencher, _| {
            bencher.iter(|| {
                // Time goes round within the life of the reports, so that promises expire and reports do not.
                step = (step + 1) % steps;
                let now = began + between * step;
                let choice = decide(view, black_box(&request), &policy, now, &mut dice);
                if let Some(best) = choice.best() {
                    view.reserve(best.node, now);
                }
                choice
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
