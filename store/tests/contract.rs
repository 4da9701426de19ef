//! The contract that every backend keeps: embedded, and a real Redis.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod redis;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use async_trait::async_trait;
use crosspoint_store::{
    Aged, Claim, Cursor, Embedded, KeyError, Keys, LEASE_LIFE, Leases, REPORT_BATCH, REPORT_LIFE, Reports, Rest, Secret,
};
use scheduler::{NodeId, NodeState, Report, SessionId, Timestamp};

/// Time passes in steps that are long beside what a slow machine takes for a test.
const STEP: Duration = Duration::from_secs(5);

/// A backend and its time.
#[async_trait]
trait Bench {
    fn leases(&self) -> &dyn Leases;
    fn reports(&self) -> &dyn Reports;
    fn now(&self) -> Timestamp;
    /// Lets time pass.
    async fn pass(&mut self, time: Duration);
}

struct InMemory {
    store: Embedded,
    now: Timestamp,
}

impl InMemory {
    fn new() -> Self {
        Self { store: Embedded::new(), now: Timestamp::at(3_600 * STEP) }
    }
}

#[async_trait]
impl Bench for InMemory {
    fn leases(&self) -> &dyn Leases {
        &self.store
    }

    fn reports(&self) -> &dyn Reports {
        &self.store
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    async fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }
}

fn node() -> NodeId {
    "aws-1".parse().unwrap()
}

fn session(number: u128) -> SessionId {
    SessionId::from_random(number)
}

fn report(node: &str, sequence: u64) -> Report {
    Report {
        node: node.parse().unwrap(),
        pool: "aws".parse().unwrap(),
        address: format!("{node}:80"),
        state: NodeState::Serving,
        models: BTreeSet::from(["m".parse().unwrap()]),
        api: scheduler::EngineApi::Listen,
        engine_models: [].into(),
        soft_slots: 4,
        hard_slots: 5,
        used_slots: 1,
        queue_depth: 0,
        chunk_latency_p95: Duration::from_millis(25),
        realtime_factor: 0.1,
        gpus: Vec::new(),
        sequence,
        engine_pid: None,
    }
}

fn aged(node: &str, sequence: u64, age: Duration) -> Aged {
    Aged { report: report(node, sequence), age }
}

async fn a_node_is_never_promised_beyond_its_slots(bench: &mut dyn Bench) {
    let (store, now, node) = (bench.leases(), bench.now(), node());
    let claim = async |number| store.claim(&node, session(number), 2, now).await;
    let claims = [claim(1).await, claim(2).await, claim(3).await];
    assert_eq!(claims, [Ok(Claim::Held), Ok(Claim::Held), Ok(Claim::Full)]);
    assert_eq!(claim(2).await, Ok(Claim::Held), "a claim is idempotent");
    assert_eq!(store.count(&node, now).await, Ok(2));
    assert_eq!(store.count(&"aws-2".parse().unwrap(), now).await, Ok(0), "nodes do not share slots");
}

async fn a_slot_that_is_given_back_can_be_claimed(bench: &mut dyn Bench) {
    let (store, now, node) = (bench.leases(), bench.now(), node());
    let claim = async |number| store.claim(&node, session(number), 1, now).await;
    assert_eq!(claim(1).await, Ok(Claim::Held));
    store.release(&node, session(1)).await.unwrap();
    store.release(&node, session(1)).await.unwrap();
    assert_eq!([claim(2).await, claim(1).await], [Ok(Claim::Held), Ok(Claim::Full)]);
}

async fn a_lease_that_nobody_renews_ends_after_its_life(bench: &mut dyn Bench) {
    assert_eq!(bench.leases().claim(&node(), session(1), 1, bench.now()).await, Ok(Claim::Held));
    bench.pass(LEASE_LIFE - STEP).await;
    assert_eq!(bench.leases().claim(&node(), session(2), 1, bench.now()).await, Ok(Claim::Full));
    bench.leases().renew(&node(), session(1), bench.now()).await.unwrap();
    bench.pass(STEP).await;
    assert_eq!(bench.leases().claim(&node(), session(2), 1, bench.now()).await, Ok(Claim::Full));
    bench.pass(LEASE_LIFE - STEP).await;
    assert_eq!(bench.leases().count(&node(), bench.now()).await, Ok(0));
    assert_eq!(bench.leases().claim(&node(), session(2), 1, bench.now()).await, Ok(Claim::Held));
}

async fn a_renewal_writes_a_lost_lease_again(bench: &mut dyn Bench) {
    bench.leases().renew(&node(), session(1), bench.now()).await.unwrap();
    assert_eq!(bench.leases().claim(&node(), session(2), 1, bench.now()).await, Ok(Claim::Full));
}

async fn a_reader_sees_what_was_written_since_it_looked(bench: &mut dyn Bench) {
    assert_eq!(read(bench, Cursor::default()).await.0, []);
    write(bench, &[aged("aws-1", 1, Duration::ZERO), aged("aws-2", 1, 2 * STEP)]).await;
    let (seen, cursor) = read(bench, Cursor::default()).await;
    assert_eq!(seen, [("aws-1".to_owned(), 1, 0), ("aws-2".to_owned(), 1, 2)]);
    assert_eq!(read(bench, cursor).await, (Vec::new(), cursor));
    bench.pass(3 * STEP).await;
    write(bench, &[aged("aws-1", 2, STEP)]).await;
    assert_eq!(read(bench, cursor).await.0, [("aws-1".to_owned(), 2, 1)]);
    assert_eq!(read(bench, Cursor::default()).await.0, [("aws-2".to_owned(), 1, 5), ("aws-1".to_owned(), 2, 1)]);
}

async fn a_report_is_kept_as_it_was_for_its_life(bench: &mut dyn Bench) {
    write(bench, &[aged("aws-1", 1, STEP)]).await;
    let changes = bench.reports().changed_since(Cursor::default(), bench.now()).await.unwrap();
    assert_eq!(changes.reports[0].report, report("aws-1", 1));
    bench.pass(REPORT_LIFE - 2 * STEP).await;
    assert_eq!(read(bench, Cursor::default()).await.0.len(), 1);
    bench.pass(STEP).await;
    assert_eq!(read(bench, Cursor::default()).await.0, []);
    write(bench, &[aged("aws-2", 1, Duration::ZERO)]).await;
    assert_eq!(read(bench, Cursor::default()).await.0, [("aws-2".to_owned(), 1, 0)]);
}

async fn a_large_fleet_is_read_in_parts(bench: &mut dyn Bench) {
    let fleet: Vec<_> = (0..REPORT_BATCH + 1).map(|n| aged(&format!("aws-{n}"), 1, Duration::ZERO)).collect();
    write(bench, &fleet).await;
    let first = bench.reports().changed_since(Cursor::default(), bench.now()).await.unwrap();
    assert_eq!((first.reports.len(), first.rest), (REPORT_BATCH, Rest::More));
    let second = bench.reports().changed_since(first.next, bench.now()).await.unwrap();
    assert_eq!((second.reports.len(), second.rest), (1, Rest::Nothing));
}

async fn write(bench: &dyn Bench, reports: &[Aged]) {
    bench.reports().put(reports, bench.now()).await.unwrap();
}

/// Reads nodes, sequences and ages, in whole steps.
async fn read(bench: &dyn Bench, cursor: Cursor) -> (Vec<(String, u64, u64)>, Cursor) {
    let changes = bench.reports().changed_since(cursor, bench.now()).await.unwrap();
    let seen = changes.reports.iter().map(|Aged { report, age }| {
        let steps = age.as_secs() / STEP.as_secs();
        (report.node.to_string(), report.sequence, steps)
    });
    (seen.collect(), changes.next)
}

macro_rules! contract {
    ($($promise:ident),* $(,)?) => {
        mod embedded_keeps_the_contract {
            $(#[tokio::test]
            async fn $promise() {
                super::$promise(&mut super::InMemory::new()).await;
            })*
        }

        mod redis_keeps_the_contract {
            $(#[tokio::test]
            async fn $promise() {
                if let Some(mut bench) = super::redis::Server::start().await {
                    super::$promise(&mut bench).await;
                }
            })*
        }
    };
}

contract!(
    a_node_is_never_promised_beyond_its_slots,
    a_slot_that_is_given_back_can_be_claimed,
    a_lease_that_nobody_renews_ends_after_its_life,
    a_renewal_writes_a_lost_lease_again,
    a_reader_sees_what_was_written_since_it_looked,
    a_report_is_kept_as_it_was_for_its_life,
    a_large_fleet_is_read_in_parts,
);

#[tokio::test]
async fn a_dev_key_opens_on_loopback_only() {
    let store = Embedded::new().with_dev_key(&Secret::new("right"), "dev".parse().unwrap());
    let home = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let away = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    assert_eq!(store.check(&Secret::new("right"), home).await.unwrap().tenant.as_str(), "dev");
    let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
    assert!(store.check(&Secret::new("right"), mapped).await.is_ok(), "as a socket on [::] shows it");
    assert_eq!(store.check(&Secret::new("wrong"), home).await, Err(KeyError::Unknown));
    assert_eq!(store.check(&Secret::new("right"), away).await, Err(KeyError::NotLoopback(away)));
    assert_eq!(Embedded::new().check(&Secret::new("right"), home).await, Err(KeyError::Unknown));
}

#[test]
fn a_secret_shows_only_its_length() {
    assert_eq!(format!("{:?}", Secret::new("hunter2")), "[7]");
}
