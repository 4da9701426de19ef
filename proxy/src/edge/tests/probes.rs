//! Requests as attackers and broken clients write them, each with the rule that it breaks.

use super::*;
use crate::edge::Violation::{self, *};

/// Requests, and the rule that each breaks. The texts are whole: what is not written is not sent.
const PROBES: &[(&str, Option<Violation>)] = &[
    ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", None),
    ("GET /?q=%20&x=[1] HTTP/1.1\r\nHost: [::1]:80\r\nX: \t caf\u{e9} \r\n\r\n", None),
    ("OPTIONS / HTTP/1.1\r\nHost:\r\n\r\n", None),
    ("GET / HTTP/1.0\r\n\r\n", None),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", None),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\ncontent-length: 3\r\n\r\nabc", None),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=\"y\"\r\nab\r\n0\r\n\r\n", None),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: identity\r\nContent-Length: 1\r\n\r\na", None),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Some(RequestLine)),
    ("GET /\r\nHost: a\r\n\r\n", Some(RequestLine)),
    ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Some(RequestLine)),
    ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", Some(RequestLine)),
    ("GET / http/1.1\r\nHost: a\r\n\r\n", Some(RequestLine)),
    ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", Some(RequestLine)),
    ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Some(RequestLine)),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Target)),
    ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Some(Target)),
    ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Some(Target)),
    ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Some(Target)),
    ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", Some(Target)),
    ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", Some(Target)),
    ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", Some(Target)),
    ("GET /caf\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", Some(Target)),
    ("GET / HTTP/1.1\nHost: a\n\n", Some(BareLineFeed)),
    ("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", Some(BareLineFeed)),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\n", Some(BareLineFeed)),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", Some(FoldedHeader)),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n", Some(FoldedHeader)),
    ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Some(HeaderName)),
    ("GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", Some(HeaderName)),
    ("GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", Some(HeaderName)),
    ("GET / HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n", Some(HeaderName)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent_Length: 3\r\n\r\nabc", Some(Underscore)),
    ("GET / HTTP/1.1\r\nHost: a\r\n_: target\r\n\r\n", Some(Underscore)),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n", Some(HeaderValue)),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n", Some(HeaderValue)),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: y\x7f\r\n\r\n", Some(HeaderValue)),
    ("GET / HTTP/1.1\r\n\r\n", Some(MissingHost)),
    ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", Some(RepeatedHost)),
    ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Some(RepeatedHost)),
    ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Some(Host)),
    ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", Some(Host)),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Some(Host)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", Some(ContentLength)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", Some(ContentLength)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nabc", Some(ContentLength)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nabc", Some(ContentLength)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", Some(ContentLength)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", Some(ContentLength)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", Some(ContentLengths)),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Some(LengthAndEncoding),
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        Some(LengthAndEncoding),
    ),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", Some(TransferEncoding)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", Some(TransferEncoding)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", Some(HeaderValue)),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Some(TransferEncoding),
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Some(TransferEncoding),
    ),
    ("POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Some(OldTransferEncoding)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", Some(Chunk)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", Some(Chunk)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", Some(Chunk)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\n\r\n", Some(Chunk)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", Some(Chunk)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", Some(Chunk)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;\nx\r\nabc\r\n0\r\n\r\n", Some(Chunk)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\nabc", Some(Chunk)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n", Some(Trailer)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", Some(ContentEncoding)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2147483649\r\n\r\n", Some(UploadTooLarge)),
    ("GET / HTTP/1.1\r\nHost: a\r\n", Some(SlowHead)),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 300\r\n\r\nabc", Some(SlowBody)),
];

/// The requests above, and those too long to write down.
fn probes() -> Vec<(String, Option<Violation>)> {
    let long = |length: usize| "x".repeat(length);
    let with_headers = |headers: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
    let long_ones = [
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(8_191)), None),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(8_192)), Some(TargetTooLong)),
        (format!("GET /{}", long(66_000)), Some(TargetTooLong)),
        (with_headers(&format!("X: {}\r\n", long(16_000))), None),
        (with_headers(&format!("X: {}\r\n", long(16_384))), Some(HeadTooLarge)),
        (with_headers(&format!("X: {}\r\n", long(420_000))), Some(HeadTooLarge)),
        (with_headers(&"X: y\r\n".repeat(63)), None),
        (with_headers(&"X: y\r\n".repeat(64)), Some(TooManyHeaders)),
    ];
    PROBES.iter().map(|&(request, violation)| (request.to_owned(), violation)).chain(long_ones).collect()
}

/// Checks that `answer` ends with the answer to a request that broke `violation`, or with one of the routes'.
fn check(answer: &str, violation: Option<Violation>, request: &str) {
    let last = responses(answer).pop().unwrap_or_default();
    let request = &request[..request.len().min(200)];
    let Some(violation) = violation else {
        assert!(matches!(statuses(last)[..], [200 | 404]), "{request:?} was answered {last:?}");
        return;
    };
    assert_eq!(statuses(last), [violation.status().as_u16()], "{request:?} was answered {last:?}");
    let error = format!("\r\ndg-error: {}\r\n", violation.message());
    assert!(last.contains(&error), "{request:?} was answered {last:?}");
    assert!(last.contains("\r\nconnection: close\r\n") && last.contains("\r\ndg-request-id: "), "{last:?}");
    assert!(last.contains(r#"{"err_code":""#) && last.contains(r#""request_id":""#), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_is_judged_by_its_bytes() {
    let mut edge = edge(Limits::default());
    for (request, violation) in probes() {
        let answer = exchange(connect(&mut edge, ROOM), request.as_bytes()).await;
        check(&answer, violation, &request);
        assert_eq!(statuses(&answer).len(), 1, "{request:?} was answered {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_cuts_between_reads_change_nothing() {
    let mut edge = edge(Limits::default());
    for (request, violation) in probes() {
        check(&exchange(connect(&mut edge, 1), request.as_bytes()).await, violation, &request);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipelined_request_is_judged_after_the_first_is_answered() {
    let mut edge = edge(Limits::default());
    for first in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n00\r\n\r\n",
    ] {
        for (second, violation) in probes() {
            let request = format!("{first}{second}");
            let answer = exchange(connect(&mut edge, ROOM), request.as_bytes()).await;
            check(&answer, violation, &second);
            assert_eq!(statuses(&answer).len(), 2, "{request:?} was answered {answer:?}");
            assert_eq!(statuses(&answer)[0], 200, "{request:?} was answered {answer:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_on_a_kept_connection_is_judged_as_the_first_was() {
    let mut edge = edge(Limits::default());
    for (second, violation) in probes() {
        let mut caller = connect(&mut edge, ROOM);
        caller.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert!(read_until(&mut caller, "ok").await.unwrap().starts_with("HTTP/1.1 200"));
        check(&exchange(caller, second.as_bytes()).await, violation, &second);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_after_a_bad_request_is_read() {
    let mut edge = edge(Limits::default());
    let request = "GET / HTTP/1.1\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(statuses(&exchange(connect(&mut edge, ROOM), request.as_bytes()).await), [400]);
}

#[test]
fn every_rule_has_a_probe() {
    let probes = probes();
    for violation in Violation::ALL {
        assert!(probes.iter().any(|(_, probed)| probed == &Some(*violation)), "{violation:?} has no probe");
    }
}
