//! Callers whose connections are lost, and come back or do not.

use super::*;
use crate::absence::{Earlier, Parking, Progress};

const PARKING: Parking = Parking { leg: Duration::from_secs(5), keep: Duration::from_secs(60) };

fn parking_with(earlier: Option<Earlier>) -> Session {
    let placements = ["a", "b"].map(placement).to_vec();
    let (parking, limits) = (Some(PARKING), Limits::default());
    let mut session = Session::begin(Begun { placements, layout: FRAMES, limits, seed: 1, parking, earlier }, at(0.0));
    session.leg_opened(1, at(0.0));
    actions(&mut session);
    session
}

fn parked_after(seconds: usize) -> Session {
    let mut session = parking_with(None);
    session.caller_audio(&audio(seconds * 32_000), at(0.0));
    session.caller_lost(CloseReason::CallerGone, at(1.0));
    assert_eq!(actions(&mut session), [Action::Park(CloseReason::CallerGone)]);
    session
}

#[test]
fn a_plain_callers_loss_is_the_end() {
    let mut session = live();
    session.caller_audio(&audio(32_000), at(0.0));
    session.caller_lost(CloseReason::CallerGone, at(1.0));
    assert_eq!(actions(&mut session), [Action::End(CloseReason::CallerGone)]);
}

#[test]
fn a_parked_stream_keeps_its_leg_for_a_while_and_itself_for_longer() {
    let mut session = parked_after(1);
    assert!(!session.is_parked() || session.deadline() <= Some(at(6.0)));
    say(&mut session, 1, Said::Final(heard(1)), 2.0);
    assert_eq!(session.progress(), Some(Progress { received: 16_000, settled: 11_200 }));
    session.tick(at(6.0));
    assert_eq!(actions(&mut session), [left(1, "a", Leaving::Unneeded)]);
    assert_eq!(session.deadline(), Some(at(61.0)));
    session.tick(at(61.0));
    assert_eq!(actions(&mut session), [Action::End(CloseReason::CallerGone)]);
}

#[test]
fn a_caller_that_comes_back_in_time_finds_its_leg_and_later_another_one() {
    let mut session = parked_after(1);
    session.caller_returned(at(3.0));
    assert_eq!((actions(&mut session), session.serving()), (vec![], Some(1)));
    session.caller_lost(CloseReason::CallerSlow, at(4.0));
    session.tick(at(9.0));
    actions(&mut session);
    session.caller_returned(at(30.0));
    assert_eq!(actions(&mut session), [open(2, "b")]);
    session.leg_opened(2, at(30.1));
    assert_eq!(bytes(&outgoing(&mut session, 2, 30.1)), 32_000, "what is not final is heard again");
    assert_eq!(session.usage(at(31.0)).bytes_in, 32_000, "and paid once");
}

#[test]
fn a_leg_that_is_lost_while_the_caller_is_away_is_not_replaced() {
    let mut session = parked_after(1);
    session.leg_failed(1, Cause::Lost, at(2.0));
    assert_eq!(actions(&mut session), [lost(1, "a")]);
    session.tick(at(7.0));
    session.caller_returned(at(8.0));
    assert_eq!(actions(&mut session), [open(2, "b")]);
}

#[test]
fn silence_parks_who_has_spoken_and_ends_who_never_did() {
    let mut session = parking_with(None);
    session.caller_audio(&audio(32_000), at(1.0));
    let (_, happened) = wait_silently(&mut session, 11.0);
    assert_eq!(happened, [Action::Park(CloseReason::CallerSilent)]);
    let mut session = parking_with(None);
    let (_, happened) = wait_silently(&mut session, 11.0);
    assert_eq!(happened, [Action::End(CloseReason::CallerSilent)]);
}

fn wait_silently(session: &mut Session, until: f64) -> (f64, Vec<Action>) {
    session.leg_alive(1, at(until));
    say(session, 1, Said::Interim(heard(1)), until);
    session.tick(at(until));
    let mut happened = actions(session);
    happened.retain(|action| !matches!(action, Action::Ping(_)));
    (until, happened)
}

#[test]
fn half_a_frame_whose_rest_is_lost_is_forgotten_with_the_leg_that_heard_it() {
    let mut session = parking_with(None);
    session.caller_audio(&audio(1_001), at(0.0));
    session.caller_lost(CloseReason::CallerGone, at(1.0));
    actions(&mut session);
    session.caller_returned(at(2.0));
    assert_eq!(actions(&mut session), [left(1, "a", Leaving::Unneeded), open(2, "b")]);
    assert_eq!(session.progress().unwrap().received, 500);
    assert_eq!(session.usage(at(2.0)).bytes_in, 1_000);
}

#[test]
fn what_another_session_accepted_is_not_paid_for_again() {
    let mut session = parking_with(Some(Earlier { from: 16_000, received: 24_000 }));
    assert_eq!(session.progress(), Some(Progress { received: 16_000, settled: 16_000 }));
    session.caller_audio(&audio(32_000), at(0.0));
    assert_eq!(session.progress().unwrap().received, 32_000);
    assert_eq!(session.usage(at(1.0)).bytes_in, 16_000);
    let mut liar = parking_with(Some(Earlier { from: 0, received: u64::MAX }));
    liar.caller_audio(&audio(4_000_000), at(0.0));
    assert_eq!(liar.usage(at(1.0)).bytes_in, 4_000_000 - 1_920_000, "a minute is believed");
}

#[test]
fn results_of_another_session_are_taken_until_audio_comes() {
    let mut session = parking_with(Some(Earlier::default()));
    assert!(session.may_recall());
    session.recall(&heard(2), at(0.0));
    session.caller_audio(&audio(96_000), at(0.0));
    assert!(!session.may_recall());
    assert_eq!(say(&mut session, 1, Said::Final(heard(3)), 1.0), Verdict::Drop);
    let Some(Told::Result(_, change)) = session.next_told() else { panic!("a result is told") };
    assert_eq!((change.dropped, change.start, change.end), (2, Duration::from_secs(2), Duration::from_secs(3)));
}
