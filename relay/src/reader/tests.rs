//! Frames byte by byte: what peers may send, what they may not, and that no bytes at all bring the reader down.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::head::write;

/// A frame that a test writes by hand.
#[derive(Clone, Debug)]
struct Written {
    first: u8,
    payload: Vec<u8>,
}

impl Written {
    fn new(first: u8, payload: &[u8]) -> Self {
        Self { first, payload: payload.to_vec() }
    }

    /// The bytes of a client.
    fn masked(&self) -> Vec<u8> {
        let mask = Mask([7, 77, 177, 1]);
        let mut bytes = Vec::new();
        write(Opcode::Binary, self.payload.len(), Some(mask), &mut bytes);
        bytes[0] = self.first;
        let at = bytes.len();
        bytes.extend(&self.payload);
        mask.apply(&mut bytes[at..]);
        bytes
    }
}

fn client(frames: &[(u8, &[u8])]) -> Vec<u8> {
    frames.iter().flat_map(|(first, payload)| Written::new(*first, payload).masked()).collect()
}

/// Reads bytes in pieces of the given sizes, over and over.
fn read(bytes: &[u8], pieces: &[usize]) -> (Vec<Message>, Option<Violation>) {
    let mut reader = Reader::new(Role::Client, Limits::default());
    let (mut messages, mut rest) = (Vec::new(), bytes);
    for piece in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at((*piece).clamp(1, rest.len()));
        reader.push(now);
        rest = later;
        loop {
            match reader.message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(violation) => return (messages, Some(violation)),
            }
        }
    }
    (messages, None)
}

fn all(bytes: &[u8]) -> (Vec<Message>, Option<Violation>) {
    read(bytes, &[usize::MAX])
}

fn payloads(messages: &[Message]) -> Vec<&[u8]> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::Text(frame) | Message::Binary(frame) | Message::Ping(frame) | Message::Pong(frame) => {
                Some(&frame.payload()[..])
            }
            Message::Close(_) => None,
        })
        .collect()
}

#[test]
fn a_frame_keeps_its_header_and_mask_as_they_came() {
    let bytes = client(&[(0x82, b"sound"), (0x81, b"text")]);
    let (messages, violation) = all(&bytes);
    assert_eq!(violation, None);
    let [Message::Binary(sound), Message::Text(text)] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!((&sound.payload()[..], text.as_text()), (&b"sound"[..], "text"));
    assert_eq!([&sound.wire()[..], text.wire()].concat(), bytes);
}

#[test]
fn a_message_in_several_frames_is_put_together_around_pings() {
    let bytes = client(&[(0x01, "ü".as_bytes().split_at(1).0), (0x89, b"?"), (0x00, &[0xbc]), (0x80, b"")]);
    let (messages, violation) = all(&bytes);
    assert_eq!(violation, None);
    assert_eq!(payloads(&messages), [&b"?"[..], "ü".as_bytes()]);
    assert!(matches!(messages[1], Message::Text(_)));
}

#[test]
fn what_breaks_the_rules_is_refused_after_what_kept_them() {
    let long = vec![b'x'; 1 << 19];
    let parts = |count: usize| -> Vec<(u8, &[u8])> {
        let first = [(0x02, &b"x"[..])].into_iter();
        first.chain(std::iter::repeat_n((0x00, &b"x"[..]), count - 1)).collect()
    };
    for (bytes, expected) in [
        (client(&[(0x80, b"")]), Violation::NothingToContinue),
        (client(&[(0x01, b"a"), (0x81, b"b")]), Violation::Interrupted),
        (client(&[(0x81, &[0xc3, 0x28])]), Violation::Utf8),
        (client(&[(0x81, &[0xc3])]), Violation::Utf8),
        (client(&[(0x01, &[0xff])]), Violation::Utf8),
        (client(&[(0x01, &[0xc3]), (0x80, b"")]), Violation::Utf8),
        (client(&[(0x88, &[3])]), Violation::HalfCloseCode),
        (client(&[(0x88, &[3, 0xed])]), Violation::CloseCode(1005)),
        (client(&[(0x88, &[3, 0xe8, 0xff])]), Violation::Utf8),
        (client(&parts(65)), Violation::TooManyFragments(64)),
        (
            client(&[(0x02, &long), (0x00, &long), (0x00, b"x")]),
            Violation::TooLong { bytes: (1 << 20) + 1, limit: 1 << 20 },
        ),
        (vec![0x82, 1, 0], Violation::Unmasked),
    ] {
        let good = client(&[(0x82, b"good")]);
        let (messages, violation) = all(&[good, bytes].concat());
        assert_eq!((payloads(&messages), violation), (vec![&b"good"[..]], Some(expected)));
    }
    assert_eq!(all(&client(&parts(64))).1, None);
}

#[test]
fn a_frame_that_announces_60_mb_is_refused_by_its_header_alone() {
    let header = [0x82, 0xff, 0, 0, 0, 0, 0x03, 0x93, 0x87, 0x00];
    let (messages, violation) = all(&header);
    assert!(messages.is_empty());
    assert_eq!(violation.map(Violation::close_code), Some(1009));
}

#[test]
fn a_last_fragment_is_refused_before_its_payload_has_come() {
    let long = vec![0; 1 << 20];
    let mut bytes = client(&[(0x02, &long)]);
    bytes.extend(&client(&[(0x80, &[0; 100])])[..6]);
    assert!(matches!(all(&bytes).1, Some(Violation::TooLong { .. })));
}

#[test]
fn what_is_announced_takes_no_memory_before_it_comes() {
    let mut reader = Reader::new(Role::Client, Limits::default());
    reader.push(&[0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 2, 3, 4, 5]);
    assert_eq!(reader.message(), Ok(None));
    assert!(reader.held() < 64, "{}", reader.held());
}

#[test]
fn nothing_is_held_between_messages() {
    let mut reader = Reader::new(Role::Client, Limits::default());
    for bytes in [client(&[(0x82, &[1; 640])]), client(&[(0x82, &[1; 640]), (0x82, &[2; 640])])] {
        reader.push(&bytes);
        while reader.message().unwrap().is_some() {}
        assert_eq!(reader.held(), 0);
    }
}

/// Frames that mostly make sense: messages whole and in parts, pings between.
fn sensible() -> impl Strategy<Value = Vec<Written>> {
    let first = prop_oneof![Just(0x82), Just(0x02), Just(0x00), Just(0x80), Just(0x89), Just(0x8a), Just(0x81)];
    // A long payload is one letter: what matters of it is its length, and drawing it must not take long.
    let long = prop_oneof![8 => 0_usize..300, 1 => 65_530_usize..65_540];
    let payload = prop_oneof![vec(any::<u8>(), 0..20), long.prop_map(|length| vec![b'a'; length])];
    vec((first, payload).prop_map(|(first, payload)| Written { first, payload }), 0..8)
}

proptest! {
    #[test]
    fn cuts_do_not_matter(frames in sensible(), pieces in vec(1_usize..700, 1..5)) {
        let bytes: Vec<u8> = frames.iter().flat_map(Written::masked).collect();
        prop_assert_eq!(read(&bytes, &pieces), all(&bytes));
    }

    #[test]
    fn no_bytes_bring_it_down(bytes in vec(any::<u8>(), 0..400), pieces in vec(1_usize..50, 1..5)) {
        let (messages, _violation) = read(&bytes, &pieces);
        prop_assert!(payloads(&messages).concat().len() <= bytes.len());
    }

    #[test]
    fn broken_frames_do_not_bring_it_down(frames in sensible(), place: usize, bit in 0..8) {
        let mut bytes: Vec<u8> = frames.iter().flat_map(Written::masked).collect();
        if let Some(length) = bytes.len().checked_sub(1) {
            bytes[place % (length + 1)] ^= 1_u8 << bit;
        }
        prop_assert_eq!(read(&bytes, &[3, 50]), all(&bytes));
    }

    #[test]
    fn what_is_sent_is_received_by_either_side(byte: u8, length in 0_usize..70_000, mask: [u8; 4]) {
        let frame = Frame::binary(&vec![byte; length]);
        for (role, wire) in [
            (Role::Client, frame.for_sending(Role::Client, || Mask(mask))),
            (Role::Server, frame.for_sending(Role::Server, || Mask(mask))),
        ] {
            let mut reader = Reader::new(role, Limits::default());
            reader.push(&wire);
            let Ok(Some(Message::Binary(received))) = reader.message() else { panic!("no message") };
            prop_assert_eq!(received.payload(), frame.payload());
            prop_assert_eq!(received.for_sending(role, || Mask([0; 4])), wire, "relayed as it came");
        }
    }
}
