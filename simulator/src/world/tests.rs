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

/// What comes at `turn` or later comes in the opposite order, streams and files alike, and for an hour no node can be had.
fn otherwise_after(trial: &Trial, turn: Timestamp) -> Trial {
    let mut other = trial.clone();
    let sessions = &mut other.workload.sessions;
    let later = sessions.partition_point(|session| session.at < turn);
    let what: Vec<(Duration, u16)> = sessions[later..].iter().rev().map(|one| (one.length, one.tenant)).collect();
    for (session, (length, tenant)) in sessions[later..].iter_mut().zip(what) {
        (session.length, session.tenant) = (length, tenant);
    }
    let files = &mut other.workload.batch;
    let later = files.partition_point(|files| files.at < turn);
    let work: Vec<f64> = files[later..].iter().rev().map(|files| files.work).collect();
    files[later..].iter_mut().zip(work).for_each(|(files, work)| files.work = work);
    // Two minutes before, notice is given.
    let turn = turn + Duration::from_secs(180);
    let back = turn + Duration::from_secs(3600);
    other.capacity.iter_mut().for_each(|capacity| *capacity = capacity.without(turn, back));
    other
}

#[test]
fn what_is_decided_and_planned_does_not_depend_on_what_is_yet_to_come() {
    let case = case("S", |scenario| scenario.duration = Duration::from_secs(12 * 3600));
    let trial = case.trial(1);
    let other = otherwise_after(&trial, Timestamp::at(Duration::from_secs(6 * 3600)));
    assert_ne!(trial.capacity, other.capacity);
    let mut different = 0;
    for name in ["crosspoint", "two_choices", "target_tracking", "spot_hedge/a", "hpa"] {
        let contender = crate::policy::built_in(name, None, &trial).unwrap();
        let run = |trial: &Trial| {
            let (routers, scaler) = (contender.routers(&case, 1), contender.scaler(&case));
            World::new(&case, trial, contender.mechanisms, routers, scaler).run()
        };
        let (one, two) = (run(&trial), run(&other));
        assert_eq!(one.digests[..360], two.digests[..360], "{name}");
        let dollars = |run: &Record| run.bins[..360].iter().map(|bin| bin.dollars.to_bits()).collect::<Vec<_>>();
        assert_eq!(dollars(&one), dollars(&two), "{name}");
        different += u32::from(one.digests[400] != two.digests[400]);
    }
    assert_eq!(different, 5, "the future was another one");
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
