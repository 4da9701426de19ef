use super::*;
use crate::scenario::{Bursts, Holding, Synthetic};

fn sources() -> Sources {
    let bursts = Bursts { per_day: 2.0, height: 3.0, length: Duration::from_secs(1800) };
    let synthetic = Synthetic { mean_load: 50.0, tenants: 10, daily_swing: 0.5, weekend: 0.6, bursts };
    let deadline = Duration::from_secs(3600);
    let batch = Batch { shape: None, first_day: 0, share: 0.4, deadline, chunk: Duration::from_secs(3) };
    Sources {
        demand: Demand::Synthetic(synthetic),
        durations: Durations::default(),
        batch: Some(batch),
        batch_shape: vec![1.0, 3.0, 0.0],
        duration: Duration::from_secs(86_400),
    }
}

#[test]
fn the_same_seed_draws_the_same_workload() {
    let (one, two) = (Workload::draw(&sources(), 1), Workload::draw(&sources(), 1));
    assert_eq!(one.sessions, two.sessions);
    assert_ne!(one.sessions, Workload::draw(&sources(), 2).sessions);
}

#[test]
fn the_mean_load_is_the_one_that_was_asked_for() {
    let mean = (0..4).map(|seed| {
        let workload = Workload::draw(&sources(), seed);
        workload.mean_streams(Duration::from_secs(60), 1440).iter().sum::<f64>() / 1440.0
    });
    let mean = mean.sum::<f64>() / 4.0;
    assert!((mean / 50.0 - 1.0).abs() < 0.06, "{mean}");
}

#[test]
fn files_are_a_share_of_the_streams_work_and_follow_their_shape() {
    let workload = Workload::draw(&sources(), 1);
    let spoken: f64 = workload.sessions.iter().map(|session| within(session, workload.horizon)).sum();
    let work: f64 = workload.batch.iter().map(|files| files.work).sum();
    assert!((work / spoken - 0.4).abs() < 1e-9);
    assert!(workload.batch[15].work > 2.9 * workload.batch[0].work);
}

#[test]
fn bin_means_add_up_to_what_was_spoken() {
    let workload = Workload::draw(&sources(), 1);
    let spoken: f64 = workload.sessions.iter().map(|session| within(session, workload.horizon)).sum();
    let integral: f64 = workload.mean_streams(Duration::from_secs(60), 1440).iter().sum::<f64>() * 60.0;
    assert!((integral / spoken - 1.0).abs() < 1e-9, "{integral} {spoken}");
}

#[test]
fn a_session_counts_for_the_part_of_the_bin_in_which_it_speaks() {
    let session = |at, length| Session {
        at: Timestamp::at(Duration::from_secs(at)),
        length: Duration::from_secs(length),
        tenant: 0,
    };
    let horizon = Timestamp::at(Duration::from_secs(180));
    let workload = Workload { sessions: vec![session(30, 60), session(150, 600)], tenants: 1, batch: vec![], horizon };
    assert_eq!(workload.mean_streams(Duration::from_secs(60), 3), [0.5, 0.5, 0.5]);
}

#[test]
fn a_stationary_process_offers_its_load() {
    let stationary = Stationary { load: 40.0, holding: Holding::Lognormal, mean: Duration::from_secs(100) };
    let sources = Sources { demand: Demand::Stationary(stationary), batch: None, ..sources() };
    let workload = Workload::draw(&sources, 1);
    let spoken: f64 = workload.sessions.iter().map(|session| session.length.as_secs_f64()).sum();
    assert!((spoken / 86_400.0 / 40.0 - 1.0).abs() < 0.03, "{}", spoken / 86_400.0);
}
