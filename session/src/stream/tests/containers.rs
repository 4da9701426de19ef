//! Streams in containers, which the shell cuts.

use super::*;
use crate::units::{Failover, Unit, UnitKind};

const RATE: NonZeroU32 = NonZeroU32::new(48_000).unwrap();
/// 80 ms.
const PREROLL: u64 = 3_840;

/// A session of which so many packets of 20 ms and 50 bytes came, after the header.
fn packets(count: u32) -> Session {
    let mut session = live_with(Layout::Opaque, Limits::default());
    assert!(session.cuts_into_units(RATE, PREROLL, None));
    session.caller_sent(80, at(0.1));
    session.caller_unit(Unit { start: 0, samples: 0, kind: UnitKind::Header }, &[1; 80], at(0.1));
    (0..count).for_each(|number| packet(&mut session, number));
    session
}

fn packet(session: &mut Session, number: u32) {
    let unit = Unit { start: u64::from(number) * 960, samples: 960, kind: UnitKind::Whole };
    session.caller_sent(54, at(0.1));
    session.caller_unit(unit, &[2; 50], at(0.1));
}

fn units(session: &mut Session, epoch: u32, seconds: f64) -> Vec<Unit> {
    let pieces = outgoing(session, epoch, seconds).into_iter().flat_map(|outgoing| match outgoing {
        Outgoing::Units(units) => units,
        Outgoing::Audio(_) | Outgoing::Control(..) => Vec::new(),
    });
    pieces.map(|(unit, _)| unit).collect()
}

#[test]
fn a_new_leg_is_sent_what_its_decoder_needs_to_hear_where_words_paused() {
    let mut session = packets(400);
    assert_eq!(units(&mut session, 1, 0.2).len(), 401, "the first leg gets the header and everything");
    assert_eq!(say(&mut session, 1, Said::Final(heard(7)), 0.3), Verdict::Relay);
    session.leg_failed(1, Cause::Lost, at(0.4));
    session.leg_opened(2, at(0.5));
    // The last word begins at 6.2 s: a leg begins 0.2 s before it, and is sent 0.08 s more.
    let first = units(&mut session, 2, 0.5)[0];
    assert_eq!(first, Unit { start: 296 * 960, samples: 960, kind: UnitKind::Whole });
}

#[test]
fn what_is_billed_is_what_the_units_last_and_the_bytes_that_came() {
    let mut session = packets(100);
    units(&mut session, 1, 0.2);
    say(&mut session, 1, Said::Final(heard(1)), 0.3);
    let usage = session.usage(at(0.4));
    assert_eq!((usage.audio, usage.bytes_in), (Duration::from_secs(2), 80 + 100 * 54));
    session.end(CloseReason::Completed);
    assert_eq!(session.usage(at(0.5)).audio, Duration::from_secs(2));
}

#[test]
fn what_cannot_be_cut_any_further_goes_to_the_leg_that_serves_and_to_no_other() {
    let mut session = packets(50);
    assert_eq!(session.failover(), Some(Failover::Full));
    session.caller_control(Control::Finalize, &text(), at(0.2));
    (50..60).for_each(|number| packet(&mut session, number));
    let rest = session.stop_cutting(at(0.3));
    assert!(matches!(rest[..], [Outgoing::Units(_), Outgoing::Control(..), Outgoing::Units(_)]), "{rest:?}");
    assert_eq!(session.failover(), Some(Failover::None));
    assert_eq!(session.caller_audio(&audio(200), at(0.4)), Verdict::Relay);
    assert_eq!(session.usage(at(0.4)).bytes_in, 80 + 60 * 54 + 200);
    session.leg_failed(1, Cause::Lost, at(0.5));
    assert_eq!(session.ended(), Some(CloseReason::NodeLost));
}

#[test]
fn without_a_leg_a_stream_that_cannot_be_cut_any_further_is_over() {
    let mut session = packets(50);
    session.leg_failed(1, Cause::Lost, at(0.2));
    assert_eq!(session.stop_cutting(at(0.3)), []);
    assert_eq!(session.ended(), Some(CloseReason::BadAudio));
}

#[test]
fn raw_audio_of_which_too_little_could_be_kept_is_not_cut() {
    let mut session = live_with(Layout::Opaque, Limits::default());
    assert!(!session.cuts_into_units(RATE, 0, Some(2 << 20)));
    assert_eq!(session.failover(), Some(Failover::Limited));
}

#[test]
fn the_caller_waits_when_more_than_a_minute_of_packets_is_not_final() {
    let mut session = packets(2_999);
    assert!(session.has_room());
    packet(&mut session, 2_999);
    assert!(!session.has_room());
}
