//! Slots that are short, and the log of what was decided.

use std::sync::Arc;
use std::time::Duration;

use proto::v1::session_order::Order;
use scheduler::{DecisionRecord, FleetSnapshot, NodeId, Priority, Ratio, Refusal, Request, SessionId, Work};
use serde_json::Value;
use store::{Embedded, Lease};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::testing::{pool, report, request};
use super::*;
use crate::decisions::{self, DecisionLogConfig};

const PATIENCE: Duration = Duration::from_secs(4);

fn policy() -> config::Policy {
    config::Policy { pools: vec![pool("home")], ..config::Policy::default() }
}

/// A router with one node of so many slots, soft and hard.
fn core(soft_slots: u32, hard_slots: u32, log: Option<DecisionLog>) -> Arc<Core> {
    let core = Core::new(&policy(), &Arc::new(Embedded::new()), log);
    core.take(Report { soft_slots, hard_slots, ..report("home-1", "home") }).unwrap();
    core.tick();
    core.publish();
    Arc::new(core)
}

fn stream(session: u128) -> Request {
    Request { session: SessionId::from_random(session), ..request() }
}

fn chunk(session: u128) -> Request {
    let file = Some(SessionId::from_random(session + 100));
    Request { file, priority: Priority::Batch, work: Work::File, ..stream(session) }
}

fn home() -> NodeId {
    "home-1".parse().unwrap()
}

fn placed(decision: &Decision) -> bool {
    decision.placements.first().is_some_and(|first| first.node == home())
}

/// Places what has no patience.
async fn place(core: &Core, request: &Request) -> Decision {
    core.place(request, Duration::ZERO).await
}

async fn give_back(core: &Core, session: u128) {
    core.release(Lease::slot(&home(), SessionId::from_random(session))).await;
    core.freed();
}

#[tokio::test(start_paused = true)]
async fn who_has_patience_gets_the_slot_that_is_given_back_first() {
    let core = core(1, 1, None);
    assert!(placed(&place(&core, &stream(1)).await));
    assert_eq!(place(&core, &stream(2)).await.refusal, Some(Refusal::Full));
    let began = Instant::now();
    let (waited, ()) = tokio::join!(async { (core.place(&stream(2), PATIENCE).await, began.elapsed()) }, async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        give_back(&core, 1).await;
    });
    assert!(placed(&waited.0), "{waited:?}");
    assert_eq!(waited.1.as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_vain_is_refused_when_patience_ends() {
    let core = core(1, 1, None);
    assert!(placed(&place(&core, &stream(1)).await));
    let began = Instant::now();
    let decision = core.place(&stream(2), PATIENCE).await;
    assert_eq!((decision.refusal, began.elapsed().as_secs()), (Some(Refusal::Full), PATIENCE.as_secs()));
    core.let_in();
    assert_eq!(core.waiting(), 0, "nobody is left in the queue");
}

/// Fills every soft slot with chunks, lets a stream come and returns the sessions whose proxies are told to stop.
async fn revoked(core: &Core, chunks: u128) -> Vec<String> {
    let (orders, mut told) = mpsc::channel(8);
    for session in 1..=chunks {
        assert!(placed(&place(core, &chunk(session)).await), "chunk {session}");
        core.live(&[(SessionId::from_random(session), home())], &orders);
    }
    place(core, &stream(9)).await;
    drop(orders);
    let mut revoked = Vec::new();
    while let Ok(Ok(order)) = told.try_recv() {
        match order.order {
            Some(Order::Revoke(revoke)) => revoked.push(revoke.session),
            other => panic!("{other:?}"),
        }
    }
    revoked
}

#[tokio::test(start_paused = true)]
async fn a_stream_takes_the_slot_of_one_chunk() {
    assert_eq!(revoked(&core(2, 3, None), 2).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_takes_the_slot_of_a_chunk_where_no_slot_is_above_the_soft_ones() {
    let core = core(2, 2, None);
    let revoked = revoked(&core, 2).await;
    assert_eq!(revoked.len(), 1, "{revoked:?}");
    let lease = Lease::slot(&home(), revoked[0].parse().unwrap());
    let comer = stream(9);
    let (decision, ()) = tokio::join!(core.place(&comer, PATIENCE), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        core.release(lease).await;
        core.freed();
    });
    assert!(placed(&decision), "{decision:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_of_a_log_can_be_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("decisions.jsonl");
    let config = DecisionLogConfig { path: path.clone(), sample: Ratio::clamped(1.0) };
    let (log, file) = DecisionLog::open(&config, &policy().choice).unwrap();
    let core = core(4, 5, Some(log));
    let mut made = Vec::new();
    for session in 0..7 {
        made.push(core.decide(&core.view(), &stream(session), core.now()));
        let view = core.view();
        made.last().filter(|decision| placed(decision)).into_iter().for_each(|_| {
            view.reserve(view.index_of(&home()).unwrap(), core.now());
        });
    }
    drop(core);
    decisions::write(file, process::Shutdown::new()).await;
    let lines: Vec<Value> =
        std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let fleet: FleetSnapshot = serde_json::from_value(lines[1]["fleet"].clone()).unwrap();
    let records = lines.iter().skip(2).map(|line| serde_json::from_value(line["decision"].clone()).unwrap());
    let records: Vec<DecisionRecord> = records.collect();
    let again: Vec<_> = records.iter().map(|record| record.replay(&fleet, &policy().choice).unwrap()).collect();
    assert_eq!(again, records.iter().map(|record| record.decision.clone()).collect::<Vec<_>>());
    let refusals = |decisions: &[Decision]| decisions.iter().map(|one| one.refusal).collect::<Vec<_>>();
    assert_eq!(refusals(&again), refusals(&made));
    assert_eq!(made.iter().filter(|decision| placed(decision)).count(), 5, "{made:?}");
}
