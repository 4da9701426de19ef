//! What is recorded is enough: read back from JSON, every decision comes out the same, and by another policy another one.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::fleet::{Demand, Fleet};
use crate::policy::Method;
use crate::testing::{noon, pool, report, request};

/// A fleet with a history: reports, promises, failures, a tick, and promises after the record.
fn fleet(nodes: u32, dice: &mut impl rand::Rng) -> Fleet {
    let mut fleet = Fleet::new(["a", "b", "c"].map(pool).to_vec());
    fleet.set_routers(3);
    for number in 0..nodes {
        let pool = ["a", "b", "c"][number as usize % 3];
        let used_slots = dice.random_range(0..27);
        let node = Report { used_slots, ..report(&format!("{pool}{number}"), pool) };
        let name = node.node.clone();
        let index = fleet.report(node, noon()).unwrap();
        fleet.view().reserve(index, noon());
        if number % 5 == 0 {
            fleet.note_failed(&name, noon());
        }
    }
    let demand = Demand { streams: fleet.streams(), arrivals: 10 };
    fleet.tick(demand, &Policy::default(), noon() + Duration::from_millis(300));
    fleet
}

fn through_json<T: Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    let text = serde_json::to_string(value).unwrap();
    assert!(!text.contains('\n'), "a record is one line");
    serde_json::from_str(&text).unwrap()
}

fn any_method() -> impl Strategy<Value = Method> {
    prop::sample::select(Method::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_decision_is_made_again_bit_for_bit(nodes in 0..40_u32, seed: u64, method in any_method(), promises in 0..20_u32) {
        let mut dice = Dice::new(seed);
        let fleet = fleet(nodes, &mut dice);
        let snapshot = fleet.view().record();
        let policy = Policy { method, ..Policy::default() };
        for promised in 0..promises.min(nodes) {
            let later = noon() + Duration::from_millis(400);
            fleet.view().reserve(crate::NodeIndex(promised), later);
        }
        let at = noon() + Duration::from_millis(700);
        let record = DecisionRecord::make(&snapshot, fleet.view(), &request(), &policy, (at, seed));
        let (record, snapshot): (DecisionRecord, FleetSnapshot) = (through_json(&record), through_json(&snapshot));
        prop_assert_eq!(record.replay(&snapshot, &policy), Ok(record.decision));
    }
}

#[test]
fn a_record_carries_what_changed_since_the_fleet_was_recorded_and_no_more() {
    let mut dice = Dice::new(3);
    let fleet = fleet(30, &mut dice);
    let snapshot = fleet.view().record();
    fleet.view().reserve(crate::NodeIndex(7), noon() + Duration::from_millis(400));
    let record = DecisionRecord::make(&snapshot, fleet.view(), &request(), &Policy::default(), (noon(), 1));
    assert_eq!(record.in_flight.iter().map(|on| on.node).collect::<Vec<_>>(), [7]);
}

#[test]
fn a_record_of_another_fleet_is_refused() {
    let mut fleet = fleet(3, &mut Dice::new(1));
    let record =
        DecisionRecord::make(&fleet.view().record(), fleet.view(), &request(), &Policy::default(), (noon(), 1));
    fleet.report(report("a0", "a"), noon()).unwrap();
    let version = fleet.view().version();
    let error = record.replay(&fleet.view().record(), &Policy::default()).unwrap_err();
    let expected =
        format!("the decision was made on fleet version {}, this is version {version}", record.fleet_version);
    assert_eq!(error.to_string(), expected);
}
