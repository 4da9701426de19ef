mod parked;

mod containers;

use std::num::NonZeroU32;

use super::*;
use crate::events::{Answers, Change, Heard, Kind, Leaving, LegClose, Said, Verdict, Word};
use crate::testing::placement;

/// 16 kHz PCM.
const FRAMES: Layout = Layout::Frames { rate: NonZeroU32::new(16_000).unwrap(), bytes: NonZeroU32::new(2).unwrap() };

fn at(seconds: f64) -> Timestamp {
    Timestamp::at(Duration::from_secs_f64(seconds))
}

fn audio(bytes: usize) -> Bytes {
    Bytes::from(vec![7; bytes])
}

fn text() -> Bytes {
    Bytes::from_static(b"{}")
}

fn begun(nodes: &[&str], layout: Layout, limits: Limits) -> Session {
    let placements = nodes.iter().map(|node| placement(node)).collect();
    Session::begin(Begun { placements, layout, limits, seed: 1, parking: None, earlier: None }, at(0.0))
}

/// A session whose first leg, to node `a`, opened at 0 s.
fn live_with(layout: Layout, limits: Limits) -> Session {
    let mut session = begun(&["a", "b", "c"], layout, limits);
    session.leg_opened(1, at(0.0));
    assert_eq!(actions(&mut session), [open(1, "a"), Action::Adopt(1)]);
    session
}

fn live() -> Session {
    live_with(FRAMES, Limits::default())
}

fn actions(session: &mut Session) -> Vec<Action> {
    std::iter::from_fn(|| session.next_action()).collect()
}

fn open(epoch: u32, node: &str) -> Action {
    Action::Open { epoch, placement: placement(node) }
}

fn left(epoch: u32, node: &str, why: Leaving) -> Action {
    Action::Leave { epoch, node: node.parse().unwrap(), why }
}

fn lost(epoch: u32, node: &str) -> Action {
    left(epoch, node, Leaving::Failed(Cause::Lost))
}

/// One word a second, up to `end`.
fn heard(end: u64) -> Heard {
    let word = |second: u64| Word {
        text: format!("w{second}"),
        start: Duration::from_millis(second * 1_000 + 200),
        end: Duration::from_millis(second * 1_000 + 700),
    };
    Heard { channels: 1, end: Duration::from_secs(end), words: (0..end).map(word).collect(), ..Heard::default() }
}

fn say(session: &mut Session, epoch: u32, said: Said, seconds: f64) -> Verdict {
    session.leg_said(epoch, said, &text(), at(seconds))
}

fn outgoing(session: &mut Session, epoch: u32, seconds: f64) -> Vec<Outgoing> {
    std::iter::from_fn(|| session.next_for(epoch, at(seconds))).collect()
}

fn bytes(outgoing: &[Outgoing]) -> usize {
    let bytes = outgoing.iter().map(|outgoing| match outgoing {
        Outgoing::Audio(audio) => audio.len(),
        Outgoing::Units(units) => units.iter().map(|(_, bytes)| bytes.len()).sum(),
        Outgoing::Control(..) => 0,
    });
    bytes.sum()
}

/// Lets the caller keep itself alive and the node answer its pings, and returns when something else happened.
fn wait(session: &mut Session, from: f64) -> (f64, Vec<Action>) {
    let mut now = from;
    for _ in 0..2_000 {
        now += 0.05;
        session.caller_held(at(now));
        session.tick(at(now));
        let mut happened = actions(session);
        for epoch in 1..10 {
            if happened.contains(&Action::Ping(epoch)) {
                session.leg_alive(epoch, at(now));
            }
        }
        happened.retain(|action| !matches!(action, Action::Ping(_)));
        if !happened.is_empty() {
            return (now, happened);
        }
    }
    panic!("nothing happened until {now} s");
}

#[test]
fn a_refused_leg_costs_nothing_but_the_next_candidate() {
    let mut session = begun(&["a", "b"], FRAMES, Limits::default());
    session.leg_refused(1, CloseReason::NodeFailed, at(0.1));
    session.leg_refused(2, CloseReason::NodeFailed, at(0.2));
    assert_eq!(actions(&mut session), [open(1, "a"), open(2, "b"), Action::Ask]);
    session.placed(Ok(["b", "a", "c"].map(placement).to_vec()), at(0.3));
    session.leg_refused(3, CloseReason::NodeFailed, at(0.4));
    assert_eq!(actions(&mut session), [open(3, "c"), Action::Ask]);
    session.placed(Err(CloseReason::NoCapacity), at(0.5));
    assert_eq!(actions(&mut session), [Action::End(CloseReason::NoCapacity)]);
}

#[test]
fn a_router_that_names_only_failed_nodes_is_asked_twice() {
    let mut session = begun(&["a"], FRAMES, Limits::default());
    session.leg_refused(1, CloseReason::NodeFailed, at(0.1));
    session.placed(Ok(vec![placement("a")]), at(0.2));
    session.placed(Ok(Vec::new()), at(0.3));
    assert_eq!(actions(&mut session), [open(1, "a"), Action::Ask, Action::Ask, Action::End(CloseReason::NoCapacity)]);
}

#[test]
fn what_a_lost_node_did_not_answer_is_asked_again_in_its_place() {
    let mut session = live();
    session.caller_audio(&audio(100), at(1.0));
    session.caller_control(Control::Finalize, &text(), at(1.0));
    session.caller_audio(&audio(50), at(1.1));
    say(&mut session, 1, Said::Closed(LegClose::Lost), 1.5);
    assert_eq!(actions(&mut session), [lost(1, "a"), open(2, "b")]);
    session.leg_opened(2, at(2.0));
    let finalize = Outgoing::Control(Control::Finalize, text());
    assert_eq!(outgoing(&mut session, 2, 2.0), [Outgoing::Audio(audio(100)), finalize, Outgoing::Audio(audio(50))]);
    let answer = Heard { answers: Answers::Finalize, ..Heard::default() };
    assert_eq!(say(&mut session, 2, Said::Final(answer), 2.1), Verdict::Relay);
    session.leg_failed(2, Cause::Lost, at(2.2));
    session.leg_opened(3, at(2.3));
    let audio_alone = outgoing(&mut session, 3, 2.3);
    assert_eq!((audio_alone.len(), bytes(&audio_alone)), (1, 150));
}

#[test]
fn a_successor_says_what_is_new_in_the_streams_times() {
    let mut session = live();
    for second in 0..10 {
        session.caller_audio(&audio(32_000), at(f64::from(second)));
    }
    assert_eq!(say(&mut session, 1, Said::Final(heard(8)), 9.0), Verdict::Relay);
    session.leg_failed(1, Cause::Lost, at(9.1));
    session.leg_opened(2, at(9.2));
    let base = 320_000 - bytes(&outgoing(&mut session, 2, 9.2));
    assert_eq!(base, (7_700 - 3_000) * 32, "three seconds before the last word");
    // The leg begins at 4.7 s: it hears the words of 5.2 s and later.
    let words = (5..10).map(|second| Word {
        text: format!("W{second}."),
        start: Duration::from_millis(second * 1_000 + 200 - 4_700),
        end: Duration::from_millis(second * 1_000 + 700 - 4_700),
    });
    let result = Heard { channels: 1, end: Duration::from_millis(5_200), words: words.collect(), ..Heard::default() };
    assert_eq!(say(&mut session, 2, Said::Final(result), 9.5), Verdict::Drop);
    let change = Change {
        kind: Kind::Final,
        dropped: 3,
        shift: 4_700_000_000,
        start: Duration::from_secs(8),
        end: Duration::from_millis(9_900),
        answers: Answers::Nothing,
    };
    assert_eq!(session.next_told(), Some(Told::Result(text(), change)));
}

#[test]
fn a_node_that_closes_unasked_is_lost_and_one_that_was_asked_is_done() {
    let mut session = live();
    session.caller_audio(&audio(32_000), at(0.5));
    say(&mut session, 1, Said::Final(heard(1)), 0.6);
    say(&mut session, 1, Said::Closed(LegClose::Normal), 1.0);
    assert_eq!(actions(&mut session), [lost(1, "a"), open(2, "b")]);
    session.caller_control(Control::CloseStream, &text(), at(1.1));
    session.leg_opened(2, at(1.2));
    let sent = outgoing(&mut session, 2, 1.2);
    assert_eq!(sent.last(), Some(&Outgoing::Control(Control::CloseStream, text())));
    say(&mut session, 2, Said::Closed(LegClose::Normal), 1.5);
    assert_eq!(actions(&mut session), [Action::Adopt(2), Action::End(CloseReason::Completed)]);
}

#[test]
fn a_node_that_blames_the_caller_ends_the_stream_for_the_callers_reason() {
    for (close, reason) in
        [(LegClose::BadAudio, CloseReason::BadAudio), (LegClose::CallerSilent, CloseReason::CallerSilent)]
    {
        let mut session = live();
        say(&mut session, 1, Said::Closed(close), 1.0);
        assert_eq!(actions(&mut session), [Action::End(reason)]);
    }
    let mut session = live();
    session.caller_control(Control::CloseStream, &text(), at(1.0));
    say(&mut session, 1, Said::Closed(LegClose::CallerSilent), 12.0);
    assert_eq!(actions(&mut session), [lost(1, "a"), open(2, "b")], "a caller who has finished is not silent");
}

#[test]
fn what_a_lost_leg_says_late_changes_nothing() {
    let mut session = live();
    session.caller_audio(&audio(32_000), at(1.0));
    session.leg_failed(1, Cause::Nonsense, at(1.1));
    assert_eq!(say(&mut session, 1, Said::Final(heard(1)), 1.2), Verdict::Drop);
    session.leg_failed(1, Cause::Lost, at(1.3));
    let nonsense = left(1, "a", Leaving::Failed(Cause::Nonsense));
    assert_eq!((actions(&mut session), session.next_told()), (vec![nonsense, open(2, "b")], None));
}

#[test]
fn the_first_audio_must_come_in_ten_seconds_whatever_else_comes() {
    let mut session = live();
    for second in 1..10 {
        session.caller_alive(at(f64::from(second)));
        session.leg_alive(1, at(f64::from(second)));
    }
    session.tick(at(9.999));
    assert_eq!(session.ended(), None);
    session.tick(at(10.0));
    assert_eq!(session.ended(), Some(CloseReason::CallerSilent));
}

#[test]
fn a_caller_who_spoke_may_be_silent_for_ten_seconds_even_during_a_switch() {
    let mut session = live();
    session.caller_audio(&audio(100), at(1.0));
    session.caller_alive(at(6.0));
    session.leg_failed(1, Cause::Lost, at(7.0));
    session.tick(at(15.999));
    assert_eq!(session.ended(), None);
    session.tick(at(16.0));
    assert_eq!(session.ended(), Some(CloseReason::CallerSilent));
}

#[test]
fn a_node_that_stands_still_gets_a_rival_which_takes_over_when_it_has_heard_as_much() {
    let mut session = live();
    session.caller_audio(&audio(32_000 * 4), at(1.0));
    let (when, happened) = wait(&mut session, 1.0);
    assert_eq!(happened, [open(2, "b")]);
    assert!((2.9..3.2).contains(&when), "{when}");
    session.leg_opened(2, at(3.2));
    assert_eq!(session.serving(), Some(1), "it is only suspect");
    assert_eq!(bytes(&outgoing(&mut session, 2, 3.2)), 32_000 * 4);
    say(&mut session, 2, Said::Final(heard(2)), 3.4);
    assert_eq!(actions(&mut session), [left(1, "a", Leaving::Failed(Cause::Behind)), Action::Adopt(2)]);
    assert_eq!(session.next_told(), Some(Told::Plain(text())), "what it said meanwhile is told");
}

#[test]
fn a_node_that_comes_forward_keeps_its_stream() {
    let mut session = live();
    session.caller_audio(&audio(32_000 * 4), at(1.0));
    wait(&mut session, 1.0);
    session.leg_opened(2, at(3.2));
    assert_eq!(say(&mut session, 1, Said::Interim(heard(2)), 3.3), Verdict::Relay);
    assert_eq!(actions(&mut session), [left(2, "b", Leaving::Unneeded)]);
    assert_eq!(say(&mut session, 2, Said::Final(heard(2)), 3.4), Verdict::Drop);
}

#[test]
fn a_node_that_answers_pings_and_owes_a_close_is_given_up_after_fifteen_seconds() {
    let mut session = live();
    session.caller_audio(&audio(100), at(0.5));
    session.caller_control(Control::CloseStream, &text(), at(1.0));
    let (when, happened) = wait(&mut session, 1.0);
    assert_eq!(happened, [left(1, "a", Leaving::Failed(Cause::Behind)), open(2, "b")]);
    assert!((15.9..16.2).contains(&when), "{when}");
}

#[test]
fn without_a_node_the_router_is_asked_again_and_again_and_then_the_stream_ends() {
    let mut session = live();
    session.caller_audio(&audio(100), at(1.0));
    session.leg_failed(1, Cause::Lost, at(1.0));
    session.leg_refused(2, CloseReason::NodeFailed, at(1.0));
    session.leg_refused(3, CloseReason::NodeFailed, at(1.0));
    assert_eq!(actions(&mut session).last(), Some(&Action::Ask));
    let mut asked = Vec::new();
    let mut now = 1.0;
    while session.ended().is_none() {
        session.placed(Err(CloseReason::NoLiveNode), at(now));
        now = wait(&mut session, now).0;
        asked.push(now);
    }
    assert!((asked[0] - 1.05).abs() < 0.01 && (asked[1] - 1.25).abs() < 0.06, "{asked:?}");
    assert!((45..62).contains(&asked.len()), "every half second and some more: {}", asked.len());
    assert_eq!(session.ended(), Some(CloseReason::NoLiveNode));
    assert!((30.9..32.0).contains(&now), "{now}");
}

#[test]
fn audio_that_ends_one_node_after_the_other_ends_the_stream() {
    let mut session = live_with(FRAMES, Limits { losses: 2, ..Limits::default() });
    session.caller_audio(&audio(100), at(1.0));
    for epoch in 1..=3 {
        session.leg_failed(epoch, Cause::Lost, at(1.0));
        session.leg_opened(epoch + 1, at(1.0));
    }
    assert_eq!(session.ended(), Some(CloseReason::NodeLost));
}

#[test]
fn the_ring_keeps_three_seconds_before_what_is_final_and_the_caller_waits_when_it_is_full() {
    let mut session = live();
    for second in 0..60 {
        assert!(session.has_room());
        session.caller_audio(&audio(32_000), at(f64::from(second)));
    }
    assert!(!session.has_room());
    outgoing(&mut session, 1, 59.0);
    say(&mut session, 1, Said::Interim(heard(20)), 59.5);
    outgoing(&mut session, 1, 59.6);
    say(&mut session, 1, Said::Final(heard(30)), 60.0);
    assert!(session.has_room());
    // The last word ends at 29.7 s.
    assert_eq!(session.ring.base(), 26_700 * 32);
}

#[test]
fn a_node_that_gives_no_final_result_is_asked_for_one_and_the_caller_does_not_know() {
    let mut session = live();
    for second in 0..32 {
        session.caller_audio(&audio(32_000), at(f64::from(second)));
        outgoing(&mut session, 1, f64::from(second));
        say(&mut session, 1, Said::Interim(heard(second.try_into().unwrap())), f64::from(second));
    }
    session.caller_audio(&audio(32_000), at(32.0));
    let sent = outgoing(&mut session, 1, 32.0);
    let asks = sent.iter().any(|outgoing| matches!(outgoing, Outgoing::Control(Control::Finalize, _)));
    assert!(asks, "{sent:?}");
    let answer = Heard { answers: Answers::Finalize, ..heard(32) };
    assert_eq!(say(&mut session, 1, Said::Final(answer), 32.5), Verdict::Drop);
    let Some(Told::Result(_, change)) = session.next_told() else { panic!("nothing is told") };
    assert_eq!((change.answers, change.dropped, change.end), (Answers::Nothing, 0, Duration::from_secs(32)));
}

#[test]
fn audio_that_cannot_be_cut_is_replayed_whole_while_it_is_kept() {
    let limits = Limits { ring_bytes: 5_000, ..Limits::default() };
    let mut session = live_with(Layout::Opaque, limits);
    session.caller_audio(&audio(900), at(1.0));
    session.leg_failed(1, Cause::Lost, at(1.1));
    session.leg_opened(2, at(1.2));
    assert_eq!(bytes(&outgoing(&mut session, 2, 1.2)), 900);
    session.caller_audio(&audio(900), at(1.3));
    assert_eq!(
        session.caller_audio(&audio(900), at(1.4)),
        Verdict::Relay,
        "a live node does not starve for the replay"
    );
    assert_eq!(session.ring.bytes(), 0);
    session.leg_failed(2, Cause::Lost, at(1.5));
    assert_eq!(session.ended(), Some(CloseReason::NodeLost));
}

#[test]
fn a_start_of_speech_is_told_once_though_two_nodes_hear_it() {
    let mut session = live();
    let speech = |seconds: f64| Said::SpeechStarted { at: Duration::from_secs_f64(seconds) };
    session.caller_audio(&audio(96_000), at(1.0));
    assert_eq!(say(&mut session, 1, speech(0.3), 1.0), Verdict::Relay);
    session.leg_failed(1, Cause::Lost, at(1.1));
    session.leg_opened(2, at(1.2));
    outgoing(&mut session, 2, 1.2);
    assert_eq!(say(&mut session, 2, speech(0.35), 1.3), Verdict::Drop);
    assert_eq!(say(&mut session, 2, speech(1.9), 1.4), Verdict::Relay);
    assert_eq!(say(&mut session, 2, speech(2.1), 1.5), Verdict::Relay, "the same leg knows what it says");
}

#[test]
fn settings_are_repeated_to_the_next_node_and_their_answers_are_told_once() {
    let mut session = live();
    assert_eq!(session.caller_control(Control::Configure, &text(), at(0.1)), Verdict::Relay);
    assert_eq!(say(&mut session, 1, Said::Configured, 0.2), Verdict::Relay);
    session.leg_failed(1, Cause::Lost, at(0.3));
    session.leg_opened(2, at(0.4));
    assert_eq!(outgoing(&mut session, 2, 0.4), [Outgoing::Control(Control::Configure, text())]);
    assert_eq!((say(&mut session, 2, Said::Configured, 0.5), session.next_told()), (Verdict::Drop, None));
}

#[test]
fn what_was_accepted_is_billed_and_replays_are_free() {
    let mut session = live();
    session.caller_audio(&audio(32_000), at(1.0));
    session.leg_failed(1, Cause::Lost, at(1.1));
    session.caller_audio(&audio(16_000), at(2.0));
    session.leg_opened(2, at(3.0));
    outgoing(&mut session, 2, 3.0);
    session.told_caller(10);
    session.end(CloseReason::CallerGone);
    session.caller_audio(&audio(16_000), at(4.0));
    let usage = session.usage(at(4.0));
    assert_eq!((usage.bytes_in, usage.audio), (48_000, Duration::from_millis(1_500)));
    assert_eq!((usage.bytes_out, usage.slot), (10, Duration::from_secs(4)));
}

#[test]
fn an_ended_session_says_only_why() {
    let mut session = live();
    session.end(CloseReason::Draining);
    session.end(CloseReason::CallerGone);
    session.leg_failed(1, Cause::Lost, at(1.0));
    session.placed(Ok(vec![placement("z")]), at(1.0));
    session.leg_opened(1, at(1.0));
    session.tick(at(1_000.0));
    assert_eq!(session.deadline(), None);
    assert_eq!(actions(&mut session).first(), Some(&Action::End(CloseReason::Draining)));
    assert_eq!(session.ended(), Some(CloseReason::Draining));
}

#[test]
fn a_rival_that_answers_what_was_answered_meanwhile_repeats_nothing() {
    let mut session = live();
    session.caller_audio(&audio(32_000 * 4), at(1.0));
    session.caller_control(Control::Finalize, &text(), at(1.0));
    wait(&mut session, 1.0);
    session.leg_opened(2, at(3.2));
    outgoing(&mut session, 2, 3.2);
    let answer = |end| Said::Final(Heard { answers: Answers::Finalize, ..heard(end) });
    assert_eq!(say(&mut session, 2, answer(2), 3.3), Verdict::Drop);
    actions(&mut session);
    while session.next_told().is_some() {}
    session.leg_failed(2, Cause::Lost, at(3.4));
    session.placed(Ok(vec![placement("d")]), at(3.5));
    let opened = |action| if let Action::Open { epoch, .. } = action { Some(epoch) } else { None };
    let epoch = actions(&mut session).into_iter().find_map(opened).unwrap();
    session.leg_opened(epoch, at(3.6));
    outgoing(&mut session, epoch, 3.6);
    assert_eq!(say(&mut session, epoch, answer(1), 3.7), Verdict::Drop);
    assert_eq!(session.next_told(), None, "it is told when the leg has heard beyond what is final");
}

#[test]
fn a_result_that_claims_too_much_is_told_up_to_its_last_word_and_the_next_goes_on_there() {
    let mut session = live();
    session.caller_audio(&audio(64_000), at(1.0));
    let long = Heard { end: Duration::from_secs(900), ..heard(1) };
    let last = long.words.last().unwrap().end;
    assert_eq!(say(&mut session, 1, Said::Final(long), 1.1), Verdict::Drop);
    let Some(Told::Result(_, change)) = session.next_told() else { panic!("nothing is told") };
    assert_eq!((change.start, change.end, session.take_nonsense()), (Duration::ZERO, last, 1));
    let next = Heard { start: last, end: Duration::from_secs(2), words: Vec::new(), ..heard(1) };
    say(&mut session, 1, Said::Final(next), 1.2);
    let Some(Told::Result(_, change)) = session.next_told() else { panic!("nothing is told") };
    assert_eq!((change.start, change.end), (last, Duration::from_secs(2)));
    assert_eq!(actions(&mut session), [], "the node is none the worse for it");
}

#[test]
fn a_last_result_that_could_not_be_read_is_heard_by_another_node() {
    let mut session = live();
    session.caller_audio(&audio(64_000), at(1.0));
    say(&mut session, 1, Said::Final(heard(1)), 1.1);
    session.caller_control(Control::CloseStream, &text(), at(1.2));
    outgoing(&mut session, 1, 1.2);
    session.leg_garbled(1, at(1.3));
    assert_eq!(actions(&mut session), []);
    say(&mut session, 1, Said::Summary, 1.4);
    assert_eq!(
        actions(&mut session),
        [Action::Leave { epoch: 1, node: "a".parse().unwrap(), why: Leaving::Failed(Cause::Nonsense) }, open(2, "b")]
    );
}

#[test]
fn audio_that_ended_two_nodes_is_silence_for_the_third() {
    let mut session = live();
    session.silence_with(9);
    session.caller_audio(&audio(64_000), at(1.0));
    say(&mut session, 1, Said::Interim(heard(1)), 1.1);
    session.leg_failed(1, Cause::Lost, at(1.2));
    session.leg_opened(2, at(1.3));
    outgoing(&mut session, 2, 1.3);
    assert_eq!(session.take_silenced(), Duration::ZERO, "one node may die of anything");
    say(&mut session, 2, Said::Interim(heard(1)), 1.4);
    session.leg_failed(2, Cause::Lost, at(1.5));
    assert_eq!(session.take_silenced(), Duration::from_secs(1));
    session.leg_opened(3, at(1.6));
    let sent: Vec<u8> = outgoing(&mut session, 3, 1.6)
        .into_iter()
        .flat_map(|outgoing| match outgoing {
            Outgoing::Audio(audio) => audio.to_vec(),
            Outgoing::Control(..) | Outgoing::Units(_) => Vec::new(),
        })
        .collect();
    assert_eq!(sent, [vec![7; 32_000], vec![9; 32_000]].concat());
}
