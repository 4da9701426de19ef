//! The embedded ledger: exact, and the same after a restart.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crosspoint_store::{Amounts, Charge, Day, Embedded, Journal, Ledger, Period, Total};
use proptest::prelude::*;
use scheduler::SessionId;
use tempfile::TempDir;

const LIMIT: u64 = 64 << 20;

fn today() -> Day {
    "2026-11-20".parse().unwrap()
}

fn open(path: &Path) -> Embedded {
    let (journal, replay) = Journal::open(path, LIMIT).unwrap();
    Embedded::new().with_ledger(journal, replay.records)
}

async fn totals(store: &Embedded) -> Vec<Total> {
    store.totals(&Period { since: today().before(30), until: today(), key: None }).await.unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// One of few sessions, parts, keys, pools and days, so that they meet. A part's key and pool are always the same.
fn charge() -> impl Strategy<Value = Charge> {
    (0..4_u32, 0..3_u32, 0..3_u32, prop::array::uniform7(0..1_000_000_u64)).prop_map(|(session, part, ago, amounts)| {
        Charge {
            session: SessionId::from_random(session.into()),
            part,
            key: format!("k{}", session % 2).parse().unwrap(),
            pool: format!("p{}", part % 2).parse().unwrap(),
            model: "m".parse().unwrap(),
            day: today().before(ago),
            amounts: Amounts { sessions: 0, ..Amounts::from(amounts) },
        }
    })
}

fn sum_by<K: Ord>(totals: &[Total], key: impl Fn(&Total) -> K) -> Amounts {
    let mut sums = BTreeMap::<K, Amounts>::new();
    for total in totals {
        let sum = sums.entry(key(total)).or_default();
        *sum = *sum + total.amounts;
    }
    sums.into_values().fold(Amounts::default(), |all, sum| all + sum)
}

/// What there is to pay: the greatest that was heard of each part, and each session once.
fn owed(charges: &[Charge]) -> Amounts {
    let mut parts = BTreeMap::<_, Amounts>::new();
    let mut sessions = std::collections::BTreeSet::new();
    for charge in charges {
        sessions.insert(charge.session);
        let known = parts.entry((charge.session, charge.part)).or_default();
        *known = known.merge(charge.amounts);
    }
    let sum = parts.into_values().fold(Amounts::default(), |all, part| all + part);
    Amounts { sessions: sessions.len() as u64, ..sum }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn totals_are_exact_by_key_by_pool_and_by_day_through_restarts(
        charges in prop::collection::vec(charge(), 1..40),
        size in 1..9_usize,
        restart in 0..9_usize,
    ) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("ledger.journal");
        let mut store = open(&path);
        let mut added = Amounts::default();
        for (at, batch) in charges.chunks(size).enumerate() {
            let more = wait(store.charge(batch, today())).unwrap();
            prop_assert_eq!(more.len(), batch.len());
            added = more.into_iter().fold(added, |all, more| all + more);
            if at == restart {
                drop(store);
                store = open(&path);
            }
        }
        wait(store.charge(&charges, today())).unwrap();
        let live = wait(totals(&store));
        drop(store);
        prop_assert_eq!(&wait(totals(&open(&path))), &live);
        let owed = owed(&charges);
        prop_assert_eq!(added, owed);
        prop_assert_eq!(sum_by(&live, |total| total.key.clone()), owed);
        prop_assert_eq!(sum_by(&live, |total| total.pool.clone()), owed);
        prop_assert_eq!(sum_by(&live, |total| total.day), owed);
    }
}

#[tokio::test]
async fn sessions_beyond_those_remembered_are_folded_into_the_same_totals() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.journal");
    let store = open(&path);
    let amounts = Amounts { audio: Duration::from_secs(1), ..Amounts::default() };
    let sessions = 102_500;
    let all: Vec<_> = (0..sessions)
        .map(|number| Charge {
            session: SessionId::from_random(number),
            part: 1,
            key: "k".parse().unwrap(),
            pool: "p".parse().unwrap(),
            model: "m".parse().unwrap(),
            day: today(),
            amounts,
        })
        .collect();
    for batch in all.chunks(500) {
        store.charge(batch, today()).await.unwrap();
    }
    let expected = Amounts { audio: Duration::from_secs(102_500), sessions: 102_500, ..amounts };
    assert_eq!(totals(&store).await[0].amounts, expected);
    drop(store);
    let length = std::fs::metadata(&path).unwrap().len();
    let store = open(&path);
    assert_eq!(totals(&store).await[0].amounts, expected);
    // The last are known still, the first are not.
    let last = store.charge(&all[102_400..], today()).await.unwrap();
    assert!(last.iter().all(|more| *more == Amounts::default()));
    let first = store.charge(&all[..1], today()).await.unwrap();
    assert_eq!(first[0].sessions, 1);
    assert!(length < 60_000_000, "{length}");
}

#[tokio::test]
async fn days_that_nobody_keeps_any_more_go() {
    let store = Embedded::new();
    let charge = Charge {
        session: SessionId::from_random(1),
        part: 1,
        key: "k".parse().unwrap(),
        pool: "p".parse().unwrap(),
        model: "m".parse().unwrap(),
        day: today(),
        amounts: Amounts { bytes_in: 1, ..Amounts::default() },
    };
    store.charge(&[charge], today()).await.unwrap();
    let asked = Period { since: today(), until: today(), key: None };
    assert_eq!(store.totals(&asked).await.unwrap().len(), 1);
    let later = (0..400).fold(today(), |day, _| day.next());
    store.charge(&[], later).await.unwrap();
    assert_eq!(store.totals(&asked).await.unwrap(), []);
}
