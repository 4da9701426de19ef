use scheduler::plan::{Planner, PlannerConfig};

use super::*;
use crate::bound::blocking;
use crate::router::plain::Plain;
use crate::scenario::{Holding, Streams};
use crate::testing::case;

fn run(case: &Case, trial: &Trial) -> Record {
    let routers = (0..case.telemetry.routers).map(|_| Box::new(Plain::default()) as Box<dyn Router>).collect();
    let scaler = Box::new(Planner::new(PlannerConfig::default()));
    World::new(case, trial, Mechanisms::default(), routers, scaler).run()
}

fn loss_system(slots: u32, load: f64, law: Holding) -> Case {
    case("W8", |scenario| {
        scenario.fleet = format!("erlang-{slots}");
        scenario.duration = Duration::from_secs(4 * 86_400);
        let Streams::Stationary(stationary) = &mut scenario.streams else { return };
        (stationary.load, stationary.holding) = (load, law);
    })
}

#[test]
fn blocking_is_erlangs_whatever_the_law_of_the_holding_time() {
    for law in [Holding::Exponential, Holding::Lognormal, Holding::Constant] {
        let case = loss_system(64, 60.0, law);
        let shares: Vec<f64> = (0..8).map(|seed| 1.0 - run(&case, &case.trial(seed)).attainment()).collect();
        let mean = shares.iter().sum::<f64>() / 8.0;
        let deviation = (shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / 7.0).sqrt();
        // Student's t for 7 degrees of freedom, 99.9 %.
        let margin = 5.41 * deviation / 8.0_f64.sqrt();
        let expected = blocking(64, 60.0);
        assert!((mean - expected).abs() < margin, "{law:?}: {mean} +- {margin}, expected {expected}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let case = case("S", |scenario| scenario.duration = Duration::from_secs(6 * 3600));
    let (one, two) = (run(&case, &case.trial(1)), run(&case, &case.trial(1)));
    assert_eq!((one.digests.clone(), one.dollars()), (two.digests.clone(), two.dollars()));
    assert_ne!(one.digests, run(&case, &case.trial(2)).digests);
}

#[test]
fn nothing_depends_on_the_future() {
    let case = case("S", |scenario| scenario.duration = Duration::from_secs(6 * 3600));
    let trial = case.trial(1);
    let mut other = trial.clone();
    let turn = Timestamp::at(Duration::from_secs(3 * 3600));
    let later = other.workload.sessions.partition_point(|session| session.at < turn);
    let lengths: Vec<Duration> = other.workload.sessions[later..].iter().rev().map(|session| session.length).collect();
    for (session, length) in other.workload.sessions[later..].iter_mut().zip(lengths) {
        session.length = length;
    }
    let (one, two) = (run(&case, &trial), run(&case, &other));
    assert_eq!(one.digests[..180], two.digests[..180]);
    assert_ne!(one.digests[200], two.digests[200]);
}

#[test]
fn a_scheduler_that_forgets_its_promises_is_found_out() {
    let case = case("S", |scenario| scenario.duration = Duration::from_secs(6 * 3600));
    let trial = case.trial(1);
    let run = |router: fn() -> Plain| {
        let routers = (0..case.telemetry.routers).map(|_| Box::new(router()) as Box<dyn Router>).collect();
        let scaler = Box::new(Planner::new(PlannerConfig::default()));
        World::new(&case, &trial, Mechanisms::default(), routers, scaler).run()
    };
    let (sound, mutant) = (run(Plain::default), run(Plain::heedless));
    assert!(mutant.nacks > 10 * sound.nacks.max(10), "{} {}", mutant.nacks, sound.nacks);
}
