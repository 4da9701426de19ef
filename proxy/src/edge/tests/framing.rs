//! Properties of the follower, and its agreement with hyper about where requests end.

use std::num::NonZeroUsize;
use std::sync::Arc;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{ROOM, connect, edge};
use crate::edge::follower::Follower;
use crate::edge::{Limits, Violation};

/// Shows the follower `pieces` one after the other, as the gate does. Returns what passed and what did not.
fn follow(pieces: &[&[u8]], limits: &Arc<Limits>) -> (usize, Option<Violation>) {
    let mut follower = Follower::new(Arc::clone(limits));
    let (mut passed, mut held) = (0, Vec::new());
    for piece in pieces {
        held.extend_from_slice(piece);
        let followed = follower.follow(&held);
        passed += followed.passed;
        if followed.violation.is_some() {
            return (passed, followed.violation);
        }
        held.drain(..followed.passed);
        assert!(held.len() < limits.header_bytes.get(), "held {} bytes", held.len());
    }
    (passed, None)
}

/// Bytes that look like HTTP often enough to reach every state.
fn traffic() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        8 => prop::sample::select(vec![
            "GET / HTTP/1.1\r\n", "POST /a HTTP/1.1\r\nHost: a\r\n", "Host: a\r\n", "\r\n", "\n", "\r", " ", ";x",
            "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "Upgrade: websocket\r\n", "X: y\r\n", "abc",
            "3\r\n", "0\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "_: x\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(fragment, 0..40).prop_map(|fragments| fragments.concat())
}

/// Cuts `bytes` at `cuts`, taken modulo their length.
fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// A well-formed request, and the body that it carries.
fn request() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let chunks = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..30), 0..5);
    (chunks, any::<bool>()).prop_map(|(chunks, in_chunks)| {
        let body = chunks.concat();
        let mut request = b"POST /echo HTTP/1.1\r\nHost: a\r\n".to_vec();
        if in_chunks {
            request.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in &chunks {
                request.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                request.extend_from_slice(chunk);
                request.extend_from_slice(b"\r\n");
            }
            request.extend_from_slice(b"0\r\n\r\n");
        } else {
            request.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            request.extend_from_slice(&body);
        }
        (request, body)
    })
}

/// Sends all of `requests` at once and returns the bodies of the answers, split by their Content-Length.
fn bodies(requests: &[u8], room: usize) -> Vec<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let answer = runtime.block_on(async {
        let caller = connect(&mut edge(Limits::default()), room);
        let (mut reader, mut writer) = tokio::io::split(caller);
        let mut answer = Vec::new();
        let (written, read) = tokio::join!(writer.write_all(requests), reader.read_to_end(&mut answer));
        written.unwrap();
        read.unwrap();
        answer
    });
    let (mut rest, mut bodies) = (&answer[..], Vec::new());
    while let Some(head) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
        let text = String::from_utf8_lossy(&rest[..head]).to_ascii_lowercase();
        let length = text.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
        bodies.push(rest[head + 4..][..length].to_vec());
        rest = &rest[head + 4 + length..];
    }
    bodies
}

proptest! {
    #[test]
    fn the_follower_is_total_and_indifferent_to_cuts(
        bytes in traffic(),
        cuts in prop::collection::vec(any::<usize>(), 0..30),
        header_bytes in 1_usize..200,
    ) {
        let header_bytes = NonZeroUsize::new(header_bytes).unwrap();
        let limits = Arc::new(Limits { header_bytes, ..Limits::default() });
        let whole = follow(&[&bytes], &limits);
        prop_assert_eq!(follow(&cut(&bytes, &cuts), &limits), whole);
        let singly: Vec<_> = bytes.chunks(1).collect();
        prop_assert_eq!(follow(&singly, &limits), whole);
        prop_assert!(whole.0 <= bytes.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_gate_and_hyper_agree_where_requests_end(
        requests in prop::collection::vec(request(), 1..6),
        room in prop::sample::select(vec![1_usize, 7, 100, ROOM]),
    ) {
        let sent: Vec<u8> = requests.iter().flat_map(|(request, _)| request.clone()).collect();
        let expected: Vec<_> = requests.into_iter().map(|(_, body)| body).collect();
        prop_assert_eq!(bodies(&sent, room), expected);
    }
}
