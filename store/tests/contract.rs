//! The contract that every backend keeps: embedded, a real Redis, and a real cluster of three.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod redis;

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use crosspoint_store::{
    AFFINITY_LIFE, Admission, Admitting, Affinity, Aged, Amounts, Charge, Claim, Cursor, DAYS_KEPT, Day, Digest,
    DrainOrder, DrainOrders, Drains, Embedded, Environment, Exceeded, Grants, KEY_BATCH, KeyIndex, KeyOrder, KeyRecord,
    LEASE_LIFE, LOCK_LIFE, LastLeg, Lease, Leases, Ledger, Limits, Lock, PUBLISHED_LONGEST, Period, Place, Publication,
    Quotas, REPORT_BATCH, REPORT_LIFE, Reports, Resource, Rest, Secret, Task, Teller, Token, Total, Turn, UnixTime,
    Used, Verdict, Verdicts, Wanted,
};
use scheduler::{MicroDollars, NodeId, NodeState, Report, SessionId, Timestamp};

/// Time passes in steps that are long beside what a slow machine takes for a test.
const STEP: Duration = Duration::from_secs(5);

/// Everything that a backend does.
trait Store: Leases + Reports + Quotas + Affinity + Verdicts + Drains + Ledger + KeyIndex + Lock {}

impl<T: Leases + Reports + Quotas + Affinity + Verdicts + Drains + Ledger + KeyIndex + Lock> Store for T {}

/// A backend and its time.
#[async_trait]
trait Bench {
    fn store(&self) -> &dyn Store;
    fn leases(&self) -> &dyn Leases {
        self.store()
    }
    fn reports(&self) -> &dyn Reports {
        self.store()
    }
    fn quotas(&self) -> &dyn Quotas {
        self.store()
    }
    fn affinity(&self) -> &dyn Affinity {
        self.store()
    }
    fn verdicts(&self) -> &dyn Verdicts {
        self.store()
    }
    fn drains(&self) -> &dyn Drains {
        self.store()
    }
    fn ledger(&self) -> &dyn Ledger {
        self.store()
    }
    fn keys(&self) -> &dyn KeyIndex {
        self.store()
    }
    fn locks(&self) -> &dyn Lock {
        self.store()
    }
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
    fn store(&self) -> &dyn Store {
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

fn slots() -> Resource {
    Resource::Slots(node())
}

fn slot(number: u128) -> Lease {
    Lease::slot(&node(), session(number))
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
        reason: None,
        notice: None,
    }
}

fn aged(node: &str, sequence: u64, age: Duration) -> Aged {
    Aged { report: report(node, sequence), age }
}

async fn a_node_is_never_promised_beyond_its_slots(bench: &mut dyn Bench) {
    let (store, now) = (bench.leases(), bench.now());
    let claim = async |number| store.claim(&slot(number), 2, now).await;
    let claims = [claim(1).await, claim(2).await, claim(3).await];
    assert_eq!(claims, [Ok(Claim::Held), Ok(Claim::Held), Ok(Claim::Full)]);
    assert_eq!(claim(2).await, Ok(Claim::Kept), "a claim is idempotent");
    assert_eq!(store.count(&slots(), now).await, Ok(2));
    assert_eq!(store.count(&Resource::Slots("aws-2".parse().unwrap()), now).await, Ok(0), "nodes do not share slots");
    assert_eq!(store.count(&Resource::Sessions("aws-1".parse().unwrap()), now).await, Ok(0), "a key is no node");
}

async fn a_key_has_no_more_sessions_than_it_may(bench: &mut dyn Bench) {
    let (store, now) = (bench.leases(), bench.now());
    let [mine, other] = ["k1", "k2"].map(|key| key.parse().unwrap());
    let claim = async |key, number| store.claim(&Lease::concurrency(key, session(number)), 1, now).await;
    assert_eq!([claim(&mine, 1).await, claim(&mine, 2).await], [Ok(Claim::Held), Ok(Claim::Full)]);
    assert_eq!(claim(&mine, 1).await, Ok(Claim::Kept), "the chunks of a file count as one");
    assert_eq!(claim(&other, 2).await, Ok(Claim::Held), "keys do not share sessions");
    store.release(&Lease::concurrency(&mine, session(1))).await.unwrap();
    assert_eq!(claim(&mine, 2).await, Ok(Claim::Held));
}

async fn a_slot_that_is_given_back_can_be_claimed(bench: &mut dyn Bench) {
    let (store, now) = (bench.leases(), bench.now());
    let claim = async |number| store.claim(&slot(number), 1, now).await;
    assert_eq!(claim(1).await, Ok(Claim::Held));
    assert!(store.release(&slot(1)).await.unwrap());
    assert!(!store.release(&slot(1)).await.unwrap());
    assert_eq!([claim(2).await, claim(1).await], [Ok(Claim::Held), Ok(Claim::Full)]);
}

async fn a_lease_that_nobody_renews_ends_after_its_life(bench: &mut dyn Bench) {
    assert_eq!(bench.leases().claim(&slot(1), 1, bench.now()).await, Ok(Claim::Held));
    bench.pass(LEASE_LIFE - STEP).await;
    assert_eq!(bench.leases().claim(&slot(2), 1, bench.now()).await, Ok(Claim::Full));
    bench.leases().renew(&[slot(1)], bench.now()).await.unwrap();
    bench.pass(STEP).await;
    assert_eq!(bench.leases().claim(&slot(2), 1, bench.now()).await, Ok(Claim::Full));
    bench.pass(LEASE_LIFE - STEP).await;
    assert_eq!(bench.leases().count(&slots(), bench.now()).await, Ok(0));
    assert_eq!(bench.leases().claim(&slot(2), 1, bench.now()).await, Ok(Claim::Held));
}

async fn renewals_write_lost_leases_again(bench: &mut dyn Bench) {
    let [first, second] = ["aws-1", "gcp-1"].map(|node| node.parse().unwrap());
    let mut leases: Vec<_> = (0..1_200).map(|number| Lease::slot(&first, session(number))).collect();
    leases.extend([Lease::slot(&second, session(1)), Lease::concurrency(&"k1".parse().unwrap(), session(1))]);
    bench.leases().renew(&leases, bench.now()).await.unwrap();
    for (resource, held) in
        [(Resource::Slots(first), 1_200), (Resource::Slots(second), 1), (Resource::Sessions("k1".parse().unwrap()), 1)]
    {
        assert_eq!(bench.leases().count(&resource, bench.now()).await, Ok(held));
        let late = Lease { resource, session: session(2_000) };
        assert_eq!(bench.leases().claim(&late, held, bench.now()).await, Ok(Claim::Full));
    }
    bench.leases().renew(&[], bench.now()).await.unwrap();
}

async fn admit(bench: &dyn Bench, limits: Limits, upload_bytes: u64) -> Admitting {
    bench.quotas().admit(&"k1".parse().unwrap(), &limits, upload_bytes, bench.now()).await.unwrap()
}

/// Returns what refused it, and the whole seconds it would have to wait.
async fn refused(bench: &dyn Bench, limits: Limits, upload_bytes: u64) -> Option<(Exceeded, u64)> {
    match admit(bench, limits, upload_bytes).await.admission {
        Admission::Admitted => None,
        Admission::Refused { by, wait } => Some((by, (wait + Duration::from_millis(999)).as_secs())),
    }
}

async fn new_sessions_keep_to_their_rate(bench: &mut dyn Bench) {
    let limits = Limits { sessions_per_minute: Some(6), ..Limits::default() };
    for left in (0..6).rev() {
        let Admitting { admission, allowance } = admit(bench, limits, 0).await;
        let allowance = allowance.unwrap();
        assert_eq!((admission, allowance.limit, allowance.remaining), (Admission::Admitted, 6, left));
    }
    assert_eq!(refused(bench, limits, 0).await, Some((Exceeded::Sessions, 10)));
    let reset = admit(bench, limits, 0).await.allowance.unwrap().reset;
    assert!(reset > Duration::from_secs(50) && reset <= Duration::from_secs(60), "{reset:?}");
    bench.pass(2 * STEP).await;
    assert_eq!(refused(bench, limits, 0).await, None, "who waits as told is let in");
    assert_eq!(refused(bench, limits, 0).await, Some((Exceeded::Sessions, 10)));
}

async fn the_whole_limit_may_come_at_once(bench: &mut dyn Bench) {
    let limits = Limits { sessions_per_minute: Some(17), ..Limits::default() };
    let mut admitted = 0;
    for _ in 0..19 {
        admitted += u32::from(refused(bench, limits, 0).await.is_none());
    }
    assert_eq!(admitted, 17);
}

async fn keys_share_no_rate_and_none_is_kept_without_a_limit(bench: &mut dyn Bench) {
    let limits = Limits { sessions_per_minute: Some(1), ..Limits::default() };
    assert_eq!(refused(bench, limits, 0).await, None);
    let other = bench.quotas().admit(&"k2".parse().unwrap(), &limits, 0, bench.now()).await.unwrap();
    assert_eq!(other.admission, Admission::Admitted);
    assert_eq!(admit(bench, Limits::default(), 0).await, Admitting { admission: Admission::Admitted, allowance: None });
    let nothing = Limits { sessions_per_minute: Some(0), ..limits };
    assert_eq!(refused(bench, nothing, 0).await, Some((Exceeded::Sessions, 60)));
}

async fn uploads_keep_to_their_rate_and_pay_back_what_was_not_known(bench: &mut dyn Bench) {
    let limits = Limits { upload_bytes_per_minute: Some(600), sessions_per_minute: Some(4), ..Limits::default() };
    assert_eq!(refused(bench, limits, 500).await, None);
    assert_eq!(refused(bench, limits, 200).await, Some((Exceeded::Uploads, 10)));
    assert_eq!(admit(bench, limits, 100).await.allowance.unwrap().remaining, 2, "what is refused is not charged");
    let used = Used { upload_bytes: 100, ..Used::default() };
    bench.quotas().charge(&"k1".parse().unwrap(), &limits, used, bench.now()).await.unwrap();
    assert_eq!(refused(bench, limits, 0).await, Some((Exceeded::Uploads, 10)));
    bench.pass(14 * STEP).await;
    assert_eq!(refused(bench, limits, 6_000).await, None, "more than a minute holds comes alone");
    assert_eq!(refused(bench, limits, 0).await, Some((Exceeded::Uploads, 540)));
}

async fn audio_is_spent_until_the_day_ends(bench: &mut dyn Bench) {
    let limits = Limits { audio_minutes_per_day: Some(2), ..Limits::default() };
    assert_eq!(refused(bench, limits, 0).await, None);
    for _ in 0..2 {
        let used = Used { audio: Duration::from_secs(60), ..Used::default() };
        bench.quotas().charge(&"k1".parse().unwrap(), &limits, used, bench.now()).await.unwrap();
    }
    let (by, wait) = refused(bench, limits, 0).await.unwrap();
    assert!(by == Exceeded::Audio && wait > 0 && wait <= 24 * 3600);
    bench.pass(Duration::from_secs(24 * 3600)).await;
    assert_eq!(refused(bench, limits, 0).await, None);
}

fn leg(node: &str, epoch: u32) -> LastLeg {
    LastLeg { node: node.parse().unwrap(), epoch }
}

async fn last_leg(bench: &dyn Bench, number: u128) -> Option<LastLeg> {
    bench.affinity().last_leg(session(number), bench.now()).await.unwrap()
}

async fn a_sessions_last_node_is_remembered(bench: &mut dyn Bench) {
    assert_eq!(last_leg(bench, 1).await, None);
    for leg in [leg("aws-1", 1), leg("gcp/zone:1", 2)] {
        bench.affinity().remember(session(1), &leg, bench.now()).await.unwrap();
        assert_eq!(last_leg(bench, 1).await, Some(leg));
    }
    bench.pass(2 * AFFINITY_LIFE).await;
    assert_eq!(last_leg(bench, 1).await, Some(leg("gcp/zone:1", 2)));
}

async fn an_ended_session_is_forgotten_before_long(bench: &mut dyn Bench) {
    bench.affinity().remember(session(1), &leg("aws-1", 1), bench.now()).await.unwrap();
    bench.affinity().let_go(session(1), bench.now()).await.unwrap();
    bench.affinity().let_go(session(2), bench.now()).await.unwrap();
    bench.pass(AFFINITY_LIFE - STEP).await;
    assert_eq!(last_leg(bench, 1).await, Some(leg("aws-1", 1)));
    bench.pass(STEP).await;
    assert_eq!([last_leg(bench, 1).await, last_leg(bench, 2).await], [None, None]);
}

async fn what_one_router_tells_of_nodes_the_others_hear_once(bench: &mut dyn Bench) {
    let [one, two] = [1, 2].map(Teller);
    let verdict = |node: &str, failed| Verdict { node: node.parse().unwrap(), opened: 7, failed };
    bench.verdicts().tell(one, &[verdict("aws-1", 1), verdict("aws-2", 2)], bench.now()).await.unwrap();
    let heard = async |bench: &dyn Bench, place: &Place, who| {
        bench.verdicts().told_since(place, who, bench.now()).await.unwrap()
    };
    let (told, place) = heard(bench, &Place::default(), two).await;
    assert_eq!(told, [verdict("aws-1", 1), verdict("aws-2", 2)]);
    assert_eq!(heard(bench, &Place::default(), one).await, (vec![], place.clone()), "nobody hears itself");
    assert_eq!(heard(bench, &place, two).await, (vec![], place.clone()));
    bench.verdicts().tell(one, &[verdict("aws-1", 3)], bench.now()).await.unwrap();
    assert_eq!(heard(bench, &place, two).await.0, [verdict("aws-1", 3)]);
}

async fn of_an_operators_orders_the_latest_counts_in_whatever_order_they_come(bench: &mut dyn Bench) {
    let orders = |orders: &[(&str, u64, Wanted)]| -> DrainOrders {
        orders
            .iter()
            .map(|(node, number, wanted)| (node.parse().unwrap(), DrainOrder { number: *number, wanted: *wanted }))
            .collect()
    };
    let exchange =
        async |bench: &dyn Bench, given: &DrainOrders| bench.drains().exchange(given, bench.now()).await.unwrap();
    let first = orders(&[("aws-1", 1_790_000_000_000, Wanted::Drained), ("gcp/zone:1", 7, Wanted::Drained)]);
    assert_eq!(exchange(bench, &first).await, first);
    let later = orders(&[("aws-1", 1_790_000_000_001, Wanted::Serving), ("gcp/zone:1", 6, Wanted::Serving)]);
    let merged = orders(&[("aws-1", 1_790_000_000_001, Wanted::Serving), ("gcp/zone:1", 7, Wanted::Drained)]);
    assert_eq!(exchange(bench, &later).await, merged);
    assert_eq!(exchange(bench, &first).await, merged, "what is old is not taken");
    assert_eq!(exchange(bench, &DrainOrders::new()).await, merged);
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

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

fn amounts(seconds: u64) -> Amounts {
    Amounts {
        audio: Duration::from_secs(seconds),
        slot: Duration::from_secs(seconds + 1),
        bytes_in: seconds * 32_000,
        bytes_out: seconds * 10,
        gpu: MicroDollars(7),
        egress: MicroDollars(3),
        sessions: 0,
    }
}

/// A charge of a session's first part, in the pool `aws`.
fn charge(number: u128, key: &str, on: &str, seconds: u64) -> Charge {
    Charge {
        session: session(number),
        part: 1,
        key: key.parse().unwrap(),
        pool: "aws".parse().unwrap(),
        model: "m".parse().unwrap(),
        day: day(on),
        amounts: amounts(seconds),
    }
}

fn elsewhere(charge: Charge) -> Charge {
    Charge { part: 2, pool: "on-prem".parse().unwrap(), ..charge }
}

const TODAY: &str = "2026-11-20";

async fn add(bench: &dyn Bench, charges: &[Charge]) -> Vec<Amounts> {
    bench.ledger().charge(charges, day(TODAY)).await.unwrap()
}

async fn totals(bench: &dyn Bench, since: &str, key: Option<&str>) -> Vec<Total> {
    let period = Period { since: day(since), until: day(TODAY), key: key.map(|key| key.parse().unwrap()) };
    bench.ledger().totals(&period).await.unwrap()
}

/// Reads day, key, pool, seconds of audio and sessions.
async fn audio(bench: &dyn Bench, since: &str, key: Option<&str>) -> Vec<(String, String, String, u64, u64)> {
    let row = |total: Total| {
        let Total { day, key, pool, amounts, .. } = total;
        (day.to_string(), key.to_string(), pool.to_string(), amounts.audio.as_secs(), amounts.sessions)
    };
    totals(bench, since, key).await.into_iter().map(row).collect()
}

fn row(day: &str, key: &str, pool: &str, seconds: u64, sessions: u64) -> (String, String, String, u64, u64) {
    (day.to_owned(), key.to_owned(), pool.to_owned(), seconds, sessions)
}

async fn charges_are_added_up_by_day_key_and_pool(bench: &mut dyn Bench) {
    assert_eq!(totals(bench, TODAY, None).await, []);
    let moved = elsewhere(charge(1, "k1", TODAY, 20));
    add(bench, &[charge(1, "k1", TODAY, 10), moved, charge(2, "k1", TODAY, 5), charge(3, "k2", TODAY, 1)]).await;
    let expected = [row(TODAY, "k1", "aws", 15, 2), row(TODAY, "k1", "on-prem", 20, 0), row(TODAY, "k2", "aws", 1, 1)];
    assert_eq!(audio(bench, TODAY, None).await, expected);
    let all = &totals(bench, TODAY, None).await[0];
    let expected = Amounts { sessions: 2, ..amounts(10) + amounts(5) };
    assert_eq!((all.model.as_str(), all.amounts), ("m", expected));
}

async fn a_charge_that_is_heard_twice_late_or_out_of_order_counts_once(bench: &mut dyn Bench) {
    let charges = [4, 9, 9, 4, 12].map(|seconds| charge(1, "k", TODAY, seconds));
    let added = add(bench, &charges).await;
    let seconds: Vec<_> = added.iter().map(|more| (more.audio.as_secs(), more.gpu.0, more.sessions)).collect();
    assert_eq!(seconds, [(4, 7, 1), (5, 0, 0), (0, 0, 0), (0, 0, 0), (3, 0, 0)]);
    add(bench, &charges[..2]).await;
    assert_eq!(audio(bench, TODAY, None).await, [row(TODAY, "k", "aws", 12, 1)]);
}

async fn a_session_over_midnight_is_shared_between_its_days(bench: &mut dyn Bench) {
    add(bench, &[charge(1, "k", "2026-11-19", 4)]).await;
    add(bench, &[charge(1, "k", TODAY, 10)]).await;
    add(bench, &[charge(1, "k", "2026-11-19", 4)]).await;
    let (before, after) = (row("2026-11-19", "k", "aws", 4, 1), row(TODAY, "k", "aws", 6, 0));
    assert_eq!(audio(bench, "2026-11-01", None).await, [before, after.clone()]);
    assert_eq!(audio(bench, TODAY, None).await, [after]);
}

async fn a_key_that_is_asked_for_is_alone(bench: &mut dyn Bench) {
    let keys: Vec<_> = (0..150).map(|number| charge(number, &format!("k{number}"), TODAY, 1)).collect();
    add(bench, &keys).await;
    assert_eq!(audio(bench, TODAY, Some("k7")).await, [row(TODAY, "k7", "aws", 1, 1)]);
    assert_eq!(audio(bench, TODAY, Some("nobody")).await, []);
    assert_eq!(audio(bench, TODAY, None).await.len(), 150, "more than are looked at in one call");
}

#[test]
fn a_charge_that_cannot_be_is_bounded() {
    let mad = Charge { amounts: Amounts::from([u64::MAX; 7]), ..charge(1, "k", "2031-01-01", 1) };
    let sane = mad.sane(day(TODAY));
    assert_eq!((sane.day, sane.amounts), (day(TODAY), Amounts { sessions: 0, ..Amounts::from([1 << 50; 7]) }));
    let old = charge(1, "k", "2020-01-01", 1).sane(day(TODAY));
    assert_eq!(old.day, day(TODAY));
    let kept = day(TODAY).before(DAYS_KEPT - 1);
    assert_eq!(Charge { day: kept, ..old }.sane(day(TODAY)).day, kept);
}

fn key(tenant: &str) -> KeyRecord {
    let order = KeyOrder {
        environment: Environment::default(),
        tenant: tenant.parse().unwrap(),
        label: "a \"label\" of some – length".to_owned(),
        grants: Grants { pools: Some(BTreeSet::from(["aws".parse().unwrap()])), ..Grants::everything() },
        expires: Some(UnixTime(4_000_000_000)),
    };
    order.fill(UnixTime(1_700_000_000)).unwrap().0
}

fn revoked(record: &KeyRecord, at: u64) -> KeyRecord {
    KeyRecord { revoked: Some(UnixTime(at)), ..record.clone() }
}

async fn find(bench: &dyn Bench, records: &[&KeyRecord]) -> Vec<KeyRecord> {
    let ids: Vec<_> = records.iter().map(|record| record.id.clone()).collect();
    bench.keys().find(&ids).await.unwrap()
}

async fn a_key_is_found_as_it_was_written(bench: &mut dyn Bench) {
    let (one, two) = (key("one"), key("two"));
    bench.keys().write(std::slice::from_ref(&one)).await.unwrap();
    assert_eq!(find(bench, &[&one]).await, std::slice::from_ref(&one));
    assert_eq!(find(bench, &[&two, &one]).await, [one], "and what nobody wrote is not");
}

async fn a_key_that_was_revoked_stays_revoked_whoever_writes_it(bench: &mut dyn Bench) {
    let record = key("one");
    for written in [&record, &revoked(&record, 5), &record, &revoked(&record, 7)] {
        bench.keys().write(std::slice::from_ref(written)).await.unwrap();
    }
    assert_eq!(find(bench, &[&record]).await, [revoked(&record, 5)]);
}

async fn whatever_changes_changes_the_edition(bench: &mut dyn Bench) {
    let begun = bench.keys().write(&[]).await.unwrap();
    assert_eq!(bench.keys().edition().await, Ok(Some(begun)), "an index without keys is no lost one");
    let record = key("one");
    let mut editions = vec![begun];
    for written in [&record, &revoked(&record, 5)] {
        editions.push(bench.keys().write(std::slice::from_ref(written)).await.unwrap());
        assert_eq!(bench.keys().edition().await.unwrap().as_ref(), editions.last());
    }
    assert!(editions.windows(2).all(|pair| pair[0].changed != pair[1].changed), "{editions:?}");
    assert!(editions.iter().all(|edition| edition.begun == begun.begun), "{editions:?}");
}

async fn a_token_is_good_once(bench: &mut dyn Bench) {
    let (record, token, life) = (key("one"), Digest::of(&Secret::new("token")), Duration::from_secs(60));
    assert_eq!(bench.keys().redeem(&token).await, Ok(None));
    bench.keys().lend(&token, &record.id, life).await.unwrap();
    assert_eq!(bench.keys().redeem(&Digest::of(&Secret::new("other"))).await, Ok(None));
    assert_eq!(bench.keys().redeem(&token).await, Ok(Some(record.id.clone())));
    assert_eq!(bench.keys().redeem(&token).await, Ok(None));
}

async fn every_key_is_listed(bench: &mut dyn Bench) {
    let mut written: Vec<_> = (0..KEY_BATCH + 1).map(|_| key("many")).collect();
    for batch in written.chunks(KEY_BATCH) {
        bench.keys().write(batch).await.unwrap();
    }
    let mut listed = bench.keys().all().await.unwrap();
    written.sort_by(|a, b| a.id.cmp(&b.id));
    listed.sort_by(|a, b| a.id.cmp(&b.id));
    listed.dedup();
    assert_eq!(listed, written);
}

async fn lead(bench: &dyn Bench, holder: &str) -> Turn {
    bench.locks().lead(Task::Planner, holder, bench.now()).await.unwrap()
}

async fn publish(bench: &dyn Bench, token: u64, text: &str) -> Publication {
    bench.locks().publish(Task::Planner, Token(token), text, bench.now()).await.unwrap()
}

/// Reads what was published, and its age in whole steps.
async fn published(bench: &dyn Bench) -> Option<(String, u64)> {
    let found = bench.locks().published(Task::Planner, bench.now()).await.unwrap();
    found.map(|published| (published.text, published.age.as_secs() / STEP.as_secs()))
}

async fn one_at_a_time_leads(bench: &mut dyn Bench) {
    let first = Turn::Leading(Token(1));
    assert_eq!([lead(bench, "a").await, lead(bench, "b").await], [first, Turn::Following]);
    bench.pass(STEP).await;
    assert_eq!(lead(bench, "a").await, first, "taken again in time");
    bench.pass(STEP).await;
    assert_eq!(lead(bench, "b").await, Turn::Following);
}

async fn whoever_leads_next_has_a_larger_number(bench: &mut dyn Bench) {
    lead(bench, "a").await;
    bench.pass(LOCK_LIFE).await;
    assert_eq!([lead(bench, "b").await, lead(bench, "a").await], [Turn::Leading(Token(2)), Turn::Following]);
}

async fn a_lock_that_is_given_back_is_free_at_once(bench: &mut dyn Bench) {
    lead(bench, "a").await;
    bench.locks().resign(Task::Planner, "b", bench.now()).await.unwrap();
    assert_eq!(lead(bench, "b").await, Turn::Following, "only its holder can give it back");
    bench.locks().resign(Task::Planner, "a", bench.now()).await.unwrap();
    assert_eq!(lead(bench, "b").await, Turn::Leading(Token(2)));
}

async fn only_the_holder_publishes(bench: &mut dyn Bench) {
    let mut outcomes = vec![publish(bench, 1, "nobody leads").await];
    lead(bench, "a").await;
    outcomes.push(publish(bench, 1, "one").await);
    bench.pass(LOCK_LIFE).await;
    outcomes.push(publish(bench, 1, "nobody leads any more").await);
    lead(bench, "b").await;
    outcomes.push(publish(bench, 1, "another leads").await);
    assert_eq!(outcomes, [Publication::Fenced, Publication::Written, Publication::Fenced, Publication::Fenced]);
    assert_eq!(published(bench).await, Some(("one".to_owned(), LOCK_LIFE.as_secs() / STEP.as_secs())));
}

async fn everybody_reads_what_was_published_last(bench: &mut dyn Bench) {
    assert_eq!(published(bench).await, None);
    lead(bench, "a").await;
    for text in ["one", "two \u{e9}"] {
        publish(bench, 1, text).await;
        assert_eq!(published(bench).await, Some((text.to_owned(), 0)));
    }
}

async fn a_text_without_end_is_not_published(bench: &mut dyn Bench) {
    lead(bench, "a").await;
    let endless = "x".repeat(PUBLISHED_LONGEST + 1);
    assert!(bench.locks().publish(Task::Planner, Token(1), &endless, bench.now()).await.is_err());
    assert_eq!(published(bench).await, None);
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

        mod a_cluster_keeps_the_contract {
            $(#[tokio::test]
            async fn $promise() {
                if let Some(mut bench) = super::redis::cluster::Cluster::start().await {
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
    a_key_has_no_more_sessions_than_it_may,
    renewals_write_lost_leases_again,
    new_sessions_keep_to_their_rate,
    the_whole_limit_may_come_at_once,
    keys_share_no_rate_and_none_is_kept_without_a_limit,
    uploads_keep_to_their_rate_and_pay_back_what_was_not_known,
    audio_is_spent_until_the_day_ends,
    a_sessions_last_node_is_remembered,
    an_ended_session_is_forgotten_before_long,
    what_one_router_tells_of_nodes_the_others_hear_once,
    of_an_operators_orders_the_latest_counts_in_whatever_order_they_come,
    a_reader_sees_what_was_written_since_it_looked,
    a_report_is_kept_as_it_was_for_its_life,
    a_large_fleet_is_read_in_parts,
    charges_are_added_up_by_day_key_and_pool,
    a_charge_that_is_heard_twice_late_or_out_of_order_counts_once,
    a_session_over_midnight_is_shared_between_its_days,
    a_key_that_is_asked_for_is_alone,
    a_key_is_found_as_it_was_written,
    a_key_that_was_revoked_stays_revoked_whoever_writes_it,
    whatever_changes_changes_the_edition,
    every_key_is_listed,
    a_token_is_good_once,
    one_at_a_time_leads,
    whoever_leads_next_has_a_larger_number,
    a_lock_that_is_given_back_is_free_at_once,
    only_the_holder_publishes,
    everybody_reads_what_was_published_last,
    a_text_without_end_is_not_published,
);

#[test]
fn a_secret_shows_only_its_length() {
    assert_eq!(format!("{:?}", Secret::new("hunter2")), "[7]");
}
