use super::*;
use crate::testing::placement;

/// 16 kHz PCM.
const RATE: u64 = 32_000;

fn at(seconds: f64) -> Timestamp {
    Timestamp::at(Duration::from_secs_f64(seconds))
}

fn audio(bytes: usize) -> Bytes {
    Bytes::from(vec![7; bytes])
}

fn text() -> Bytes {
    Bytes::from_static(b"{}")
}

fn open(epoch: u32, node: &str) -> Action {
    Action::Open { epoch, placement: placement(node) }
}

/// A session with three candidates whose first leg, to node `a`, opened at 0 s.
fn live() -> Session {
    live_within(Limits::default())
}

fn live_within(limits: Limits) -> Session {
    let (mut session, first) = Session::begin(["a", "b", "c"].map(placement).to_vec(), Some(RATE), limits, at(0.0));
    assert_eq!(first, open(1, "a"));
    assert_eq!(session.leg_opened(at(0.0)), None);
    session
}

fn interim() -> Said {
    Said::Interim { end: Duration::from_secs(1) }
}

fn last() -> Said {
    Said::Final { end: Duration::from_secs(1) }
}

fn lost() -> Said {
    Said::Closed(LegClose::Lost)
}

/// Lets the caller keep itself alive each five seconds, and returns when time alone brought what about.
fn wait(session: &mut Session, mut second: u32) -> (u32, Action) {
    for _ in 0..100 {
        second += 1;
        if second.is_multiple_of(5) {
            session.caller_alive(at(second.into()));
        }
        if let Some(action) = session.tick(at(second.into())) {
            return (second, action);
        }
    }
    panic!("nothing happened until {second} s");
}

#[test]
fn a_refused_leg_costs_nothing_but_the_next_candidate() {
    let (mut session, _) = Session::begin(["a", "b"].map(placement).to_vec(), None, Limits::default(), at(0.0));
    assert_eq!(session.leg_failed(CloseReason::NodeFailed), open(2, "b"));
    assert_eq!(session.leg_failed(CloseReason::NodeFailed), Action::Ask);
    assert_eq!(session.placed(Ok(["b", "a", "c"].map(placement).to_vec())), open(3, "c"));
    assert_eq!(session.leg_failed(CloseReason::NodeFailed), Action::Ask);
    assert_eq!(session.placed(Err(CloseReason::NoCapacity)), Action::End(CloseReason::NoCapacity));
}

#[test]
fn a_router_that_names_only_failed_nodes_is_asked_twice() {
    let (mut session, _) = Session::begin(vec![placement("a")], None, Limits::default(), at(0.0));
    assert_eq!(session.leg_failed(CloseReason::NodeFailed), Action::Ask);
    assert_eq!(session.placed(Ok(vec![placement("a")])), Action::Ask);
    assert_eq!(session.placed(Ok(Vec::new())), Action::End(CloseReason::NoCapacity));
}

#[test]
fn a_node_that_dies_after_finalize_is_replaced_and_its_successor_owes_the_answer() {
    let mut session = live();
    session.caller_audio(&audio(100), at(1.0));
    session.caller_control(Control::Finalize, &text(), at(1.0));
    assert_eq!(session.leg_said(lost(), at(1.5)), (Verdict::Drop, Some(open(2, "b"))));
    assert_eq!(session.leg_opened(at(2.0)), Some(Action::Replay));
    let replayed: Vec<_> = session.ring().iter().cloned().collect();
    assert_eq!(replayed, [Kept::Audio(audio(100)), Kept::Control(Control::Finalize, text())]);
    assert_eq!(wait(&mut session, 2), (17, open(3, "c")));
}

#[test]
fn an_interim_is_no_answer_to_finalize() {
    let mut session = live();
    session.caller_audio(&audio(100), at(1.0));
    session.caller_control(Control::Finalize, &text(), at(1.0));
    session.leg_said(interim(), at(2.0));
    assert_eq!(wait(&mut session, 2), (17, open(2, "b")));
}

#[test]
fn a_node_that_answered_owes_nothing_to_a_caller_who_keeps_itself_alive() {
    for answer in [Said::Event, last()] {
        let mut session = live();
        session.caller_audio(&audio(100), at(1.0));
        session.caller_control(Control::Configure, &text(), at(1.0));
        session.leg_said(answer, at(2.0));
        for second in 3..200 {
            session.caller_alive(at(second.into()));
            assert_eq!(session.tick(at(second.into())), None);
        }
    }
}

#[test]
fn a_node_that_dies_after_close_stream_and_before_a_final_is_replaced() {
    let mut session = live();
    session.caller_audio(&audio(100), at(1.0));
    session.caller_control(Control::CloseStream, &text(), at(1.0));
    assert_eq!(session.leg_said(lost(), at(2.0)).1, Some(open(2, "b")));
    assert_eq!(session.deadline(), None);
    assert_eq!(session.leg_opened(at(30.0)), Some(Action::Replay));
    assert_eq!(session.deadline(), Some(at(45.0)));
    let (_, end) = session.leg_said(Said::Closed(LegClose::Normal), at(31.0));
    assert_eq!(end, Some(Action::End(CloseReason::Completed)));
}

#[test]
fn a_node_that_dies_after_close_stream_and_a_final_ends_the_stream() {
    let mut session = live();
    session.caller_audio(&audio(100), at(1.0));
    session.leg_said(last(), at(1.5));
    session.caller_control(Control::CloseStream, &text(), at(2.0));
    assert_eq!(session.leg_said(lost(), at(2.5)).1, Some(Action::End(CloseReason::NodeLost)));
}

#[test]
fn a_node_that_closes_unasked_is_lost() {
    let closed = Said::Closed(LegClose::Normal);
    assert_eq!(live().leg_said(closed, at(1.0)).1, Some(open(2, "b")));
    let mut session = live();
    session.leg_said(last(), at(1.0));
    assert_eq!(session.leg_said(closed, at(2.0)).1, Some(Action::End(CloseReason::NodeLost)));
}

#[test]
fn a_node_that_blames_the_caller_ends_the_stream_for_the_callers_reason() {
    for (close, reason) in
        [(LegClose::BadAudio, CloseReason::BadAudio), (LegClose::CallerSilent, CloseReason::CallerSilent)]
    {
        assert_eq!(live().leg_said(Said::Closed(close), at(1.0)).1, Some(Action::End(reason)));
    }
    let mut session = live();
    session.caller_control(Control::CloseStream, &text(), at(1.0));
    let (_, action) = session.leg_said(Said::Closed(LegClose::CallerSilent), at(12.0));
    assert_eq!(action, Some(open(2, "b")), "a caller who has finished is not silent");
}

#[test]
fn interims_and_events_leave_the_stream_movable() {
    let mut session = live();
    session.caller_audio(&audio(100), at(1.0));
    assert_eq!(session.leg_said(interim(), at(1.0)), (Verdict::Relay, None));
    assert_eq!(session.leg_said(Said::Event, at(1.0)), (Verdict::Relay, None));
    assert_eq!(session.ring().bytes(), 100);
    assert_eq!(session.leg_failed(CloseReason::NodeFailed), open(2, "b"));
}

#[test]
fn what_a_lost_leg_says_late_changes_nothing() {
    let mut session = live();
    session.caller_audio(&audio(100), at(1.0));
    session.leg_failed(CloseReason::NodeFailed);
    assert_eq!(session.leg_said(last(), at(1.0)), (Verdict::Drop, None));
    assert_eq!(session.leg_said(lost(), at(1.0)), (Verdict::Drop, None));
    assert_eq!(session.leg_opened(at(2.0)), Some(Action::Replay));
    assert_eq!(session.ring().bytes(), 100);
}

#[test]
fn audio_before_the_first_leg_is_replayed_to_it() {
    let (mut session, _) = Session::begin(vec![placement("a")], Some(RATE), Limits::default(), at(0.0));
    assert_eq!(session.caller_audio(&audio(100), at(0.1)), Verdict::Drop);
    assert_eq!(session.leg_opened(at(0.2)), Some(Action::Replay));
}

#[test]
fn the_first_audio_must_come_in_ten_seconds_whatever_else_comes() {
    let mut session = live();
    for second in 1..10 {
        session.caller_alive(at(second.into()));
        session.caller_held(at(second.into()));
    }
    session.caller_control(Control::Configure, &text(), at(9.0));
    session.leg_said(Said::Event, at(9.5));
    assert_eq!(session.deadline(), Some(at(10.0)));
    assert_eq!(session.tick(at(9.999)), None);
    assert_eq!(session.tick(at(10.0)), Some(Action::End(CloseReason::CallerSilent)));
}

#[test]
fn a_caller_who_spoke_may_be_silent_for_ten_seconds() {
    let spoke = |then: fn(&mut Session)| {
        let mut session = live();
        session.caller_audio(&audio(100), at(1.0));
        then(&mut session);
        session.deadline()
    };
    assert_eq!(spoke(|_| {}), Some(at(11.0)));
    assert_eq!(spoke(|session| session.caller_held(at(5.0))), Some(at(15.0)));
    assert_eq!(spoke(|session| assert_eq!(session.caller_alive(at(6.0)), Verdict::Relay)), Some(at(16.0)));
    assert_eq!(spoke(|session| assert_eq!(session.caller_audio(&audio(1), at(7.0)), Verdict::Relay)), Some(at(17.0)));
    let mut session = live();
    session.caller_audio(&audio(100), at(1.0));
    assert_eq!(session.tick(at(10.999)), None);
    assert_eq!(session.tick(at(11.0)), Some(Action::End(CloseReason::CallerSilent)));
}

#[test]
fn a_silent_caller_is_noticed_during_a_switch() {
    let mut session = live();
    session.caller_audio(&audio(100), at(1.0));
    session.leg_failed(CloseReason::NodeFailed);
    assert_eq!(session.deadline(), Some(at(11.0)));
    assert_eq!(session.tick(at(11.0)), Some(Action::End(CloseReason::CallerSilent)));
}

#[test]
fn a_node_that_took_two_seconds_of_audio_answers_within_fifteen() {
    let mut session = live();
    session.caller_audio(&audio(63_999), at(1.0));
    session.caller_held(at(19.0));
    assert_eq!(session.tick(at(20.0)), None, "to less audio no answer is owed");
    session.caller_audio(&audio(1), at(20.0));
    session.caller_held(at(30.0));
    assert_eq!(session.tick(at(34.999)), None);
    assert_eq!(session.tick(at(35.0)), Some(open(2, "b")));
}

#[test]
fn every_word_of_a_node_gives_it_fifteen_seconds_more() {
    let mut session = live();
    session.caller_audio(&audio(64_000), at(1.0));
    session.leg_said(interim(), at(15.0));
    session.caller_audio(&audio(64_000), at(15.5));
    assert_eq!(wait(&mut session, 15), (31, open(2, "b")));
}

#[test]
fn a_replay_is_owed_an_answer_like_the_audio_it_repeats() {
    let mut session = live();
    session.caller_audio(&audio(64_000), at(1.0));
    session.leg_failed(CloseReason::NodeFailed);
    session.leg_opened(at(2.0));
    assert_eq!(wait(&mut session, 2), (17, open(3, "c")));
}

#[test]
fn a_finished_caller_waits_fifteen_seconds_for_every_word_and_for_the_close() {
    let mut session = live();
    session.caller_control(Control::CloseStream, &text(), at(1.0));
    session.leg_said(last(), at(15.0));
    session.leg_said(Said::Event, at(29.0));
    assert_eq!(session.deadline(), Some(at(44.0)));
    assert_eq!(session.tick(at(44.0)), Some(Action::End(CloseReason::NodeStalled)));
}

#[test]
fn a_node_that_stalls_after_a_final_ends_the_stream() {
    let mut session = live();
    session.caller_audio(&audio(64_000), at(1.0));
    session.leg_said(last(), at(2.0));
    session.caller_audio(&audio(64_000), at(3.0));
    assert_eq!(wait(&mut session, 3), (18, Action::End(CloseReason::NodeStalled)));
}

#[test]
fn a_full_ring_gives_up_the_replay_and_not_the_live_node() {
    let mut session = live_within(Limits { ring_bytes: 1_000, ..Limits::default() });
    for _ in 0..2 {
        assert_eq!(session.caller_audio(&audio(900), at(1.0)), Verdict::Relay);
    }
    assert!(!session.ring().is_empty() && session.has_room());
    assert_eq!(session.caller_audio(&audio(900), at(1.0)), Verdict::Relay);
    assert!(session.ring().is_empty() && session.has_room());
    assert_eq!(session.leg_failed(CloseReason::NodeLost), Action::End(CloseReason::NodeLost));
}

#[test]
fn a_full_ring_stops_the_caller_while_there_is_no_leg() {
    let mut session = live_within(Limits { ring_bytes: 1_000, ..Limits::default() });
    session.leg_failed(CloseReason::NodeLost);
    for _ in 0..2 {
        assert!(session.has_room());
        assert_eq!(session.caller_audio(&audio(900), at(1.0)), Verdict::Drop);
    }
    assert!(!session.has_room());
    assert_eq!(session.leg_opened(at(2.0)), Some(Action::Replay));
    assert!(session.has_room());
}

#[test]
fn a_start_of_speech_is_told_once_though_two_nodes_hear_it() {
    let mut session = live();
    let speech = |seconds: f64| Said::SpeechStarted { at: Duration::from_secs_f64(seconds) };
    session.caller_audio(&audio(32_000), at(1.0));
    assert_eq!(session.leg_said(speech(0.3), at(1.0)).0, Verdict::Relay);
    session.leg_failed(CloseReason::NodeLost);
    session.leg_opened(at(2.0));
    assert_eq!(session.leg_said(speech(0.35), at(2.1)).0, Verdict::Drop);
    assert_eq!(session.leg_said(speech(1.9), at(2.2)).0, Verdict::Relay);
    assert_eq!(session.leg_said(speech(2.1), at(2.3)).0, Verdict::Relay, "the same leg knows what it says");
}

#[test]
fn what_was_accepted_is_billed_and_replays_are_free() {
    let mut session = live();
    session.caller_audio(&audio(32_000), at(1.0));
    session.leg_failed(CloseReason::NodeFailed);
    session.caller_audio(&audio(16_000), at(2.0));
    session.leg_opened(at(3.0));
    session.told_caller(10);
    session.end(CloseReason::CallerGone);
    session.caller_audio(&audio(16_000), at(4.0));
    let usage = session.usage(at(4.0));
    assert_eq!((usage.bytes_in, usage.audio), (48_000, Duration::from_millis(1_500)));
    assert_eq!((usage.bytes_out, usage.slot), (10, Duration::from_secs(4)));
    assert!(session.ring().is_empty());
}

#[test]
fn a_containers_audio_is_as_long_as_the_node_heard() {
    for rate in [None, Some(0)] {
        let (mut session, _) = Session::begin(vec![placement("a")], rate, Limits::default(), at(0.0));
        session.leg_opened(at(0.0));
        session.caller_audio(&audio(1_000), at(1.0));
        session.leg_said(Said::Interim { end: Duration::from_secs(3) }, at(2.0));
        session.leg_said(Said::Final { end: Duration::from_secs(2) }, at(2.0));
        assert_eq!(session.usage(at(2.0)).audio, Duration::from_secs(3));
    }
}

#[test]
fn an_ended_session_says_only_why() {
    let mut session = live();
    assert_eq!(session.end(CloseReason::Draining), Action::End(CloseReason::Draining));
    assert_eq!(session.end(CloseReason::CallerGone), Action::End(CloseReason::Draining));
    assert_eq!(session.leg_failed(CloseReason::NodeFailed), Action::End(CloseReason::Draining));
    assert_eq!(session.placed(Ok(vec![placement("z")])), Action::End(CloseReason::Draining));
    assert_eq!(session.leg_opened(at(1.0)), None);
    assert_eq!(session.tick(at(1_000.0)), None);
    assert_eq!((session.deadline(), session.ended()), (None, Some(CloseReason::Draining)));
}
