//! Cases for this crate's tests, from what is built in.

use crate::case::{Case, TraceDirs};
use crate::library::{FLEETS, SCENARIOS, SPOT_SETS, find};
use crate::scenario::Scenario;

/// Reads a built-in scenario and lets a test change it.
pub(crate) fn case(name: &str, change: impl Fn(&mut Scenario)) -> Case {
    let mut scenario: Scenario = serde_saphyr::from_str(find(name, SCENARIOS).unwrap().text).unwrap();
    change(&mut scenario);
    let fleet = serde_saphyr::from_str(find(&scenario.fleet, FLEETS).unwrap().text).unwrap();
    let spot = scenario.spot.as_ref().map(|name| serde_saphyr::from_str(find(name, SPOT_SETS).unwrap().text).unwrap());
    Case::load(&scenario, fleet, spot.as_ref(), &TraceDirs::default()).unwrap()
}
