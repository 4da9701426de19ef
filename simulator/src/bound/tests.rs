use std::time::Duration;

use super::*;
use crate::policy::built_in;
use crate::run::Bounded;
use crate::testing::case;

#[test]
fn wider_bins_give_a_lower_bound() {
    let case = case("S", |scenario| scenario.duration = Duration::from_secs(12 * 3600));
    let trial = case.trial(1);
    let [wide, middle, narrow] = [60, 20, 10].map(|minutes| Clairvoyant::solve(&case, &trial, minutes).dollars());
    assert!(wide <= middle && middle <= narrow && wide > 0.9 * narrow, "{wide} {middle} {narrow}");
}

#[test]
fn no_run_costs_less_than_what_it_served_must() {
    let case = case("S", |scenario| scenario.duration = Duration::from_secs(12 * 3600));
    let bounded = Bounded::draw(&case, 1);
    for name in ["crosspoint", "target_tracking", "spot_hedge/a", "static_peak", "hpa/a"] {
        let contender = built_in(name, None, &bounded.trial).unwrap();
        let outcome = bounded.run(&case, &contender).unwrap().outcome;
        assert!(
            outcome.cost_usd >= outcome.lb1_served_usd && outcome.lb1_served_usd > 0.5 * outcome.lb1s_usd,
            "{name}"
        );
    }
}

#[test]
fn a_run_that_is_too_cheap_to_be_true_is_refused() {
    let honest = case("S", |scenario| scenario.duration = Duration::from_secs(6 * 3600));
    let bounded = Bounded::draw(&honest, 1);
    let contender = built_in("crosspoint", None, &bounded.trial).unwrap();
    let half_price = case("S", |scenario| {
        scenario.duration = Duration::from_secs(6 * 3600);
        scenario.factors.price = 0.5;
    });
    let error = bounded.run(&half_price, &contender).unwrap_err().to_string();
    assert!(error.contains("below the bound"), "{error}");
}
